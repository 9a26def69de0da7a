"""Training of the bird's-eye-view architecture on scenes: occupancy, classes, ground layout and pixel classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import TrainingError
from occdepth_ros.models.edge_bev.config import PRESETS, BevConfig
from occdepth_ros.models.edge_bev.evidence import StereoEvidence
from occdepth_ros.models.edge_bev.image_network import STRIDE, normalized
from occdepth_ros.models.edge_bev.loading import weights_file
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.readout import decide, zones
from occdepth_ros.models.edge_bev.scene_inputs import scene_inputs
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.layers.imagenet import load_lite0
from occdepth_ros.models.loading.state import load_strict, read_state
from occdepth_ros.models.trained_height import trained_grid
from occdepth_ros.training.augmentation import Augmentation, jitter, rotated, shifted, without_patches
from occdepth_ros.training.losses.bev_terms import pixel_term, voxel_terms
from occdepth_ros.training.task import Batch, Prepared
from occdepth_ros.training.tasks.edge_bev_memory import EarlierMeasurements
from occdepth_ros.training.tasks.edge_bev_scenes import (
    PreparedInputs,
    image_labels,
    mirrored_inputs,
    mirrored_target,
    training_target,
)
from occdepth_ros.training.typed import updated

_IMAGE_PARTS = ("encoder", "lateral", "context", "smooth", "head", "classes")
IMAGE_LAYERS = tuple(f"image_network.{part}." for part in _IMAGE_PARTS)
"""Prefixes of the image network's parameters, without the features that are lifted."""
FEATURE_SCALE = 0.3
"""Factor of the initial weights of the features that are lifted."""


@dataclass(frozen=True)
class BevLossWeights:
    """Weight of each term; `pixels` applies only while the image network is trained."""

    occupancy: float = 2.0
    overlap: float = 0.5
    classes: float = 1.0
    pixels: float = 0.0


@dataclass(frozen=True)
class EdgeBevOptions:
    """The section `task` of a recipe of this family.

    Args:
        preset: name of the configuration.
        network: overrides of the preset, by field of `BevConfig`.
        losses: weights of the loss terms.
        augmentation: augmentation of the left image; mirroring happens after lifting.
        shift: largest shift of the grid along x, y, z, voxels.
        yaw: largest rotation of the grid about the vertical axis, degrees.
        patches: probability that the matches in up to three patches of the image are removed.
        columns: number of randomly sampled lifted columns for the loss; 0 = all.
        kinds_factor, ground_factor: factors of the direct paths from pixel classes to the classes of voxels and to the
            layout of the ground, applied to the weights when they are written.
        image_weights: weights of the image network, from a training of the family `image`; none = ImageNet weights for
            the encoder and random weights for the rest.
        voxel_weights: weights of the same network, or the name of shipped ones, from which all parts except the image
            network are taken; none = random.
        freeze_image: freeze the image network, except the lifted features.
        before: largest number of earlier pairs of a scene; data sets without poses have none.
        memory: share of these scenes that are trained with a memory of a random number of their earlier pairs; in
            validation all scenes have a memory of all their earlier pairs.
        dropout: probability that a channel of a coarser stage of the bird's-eye view is dropped in training.
    """

    preset: str = "occdepth-edge-kitti"
    network: Mapping[str, Any] = field(default_factory=dict)
    losses: BevLossWeights = field(default_factory=BevLossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    shift: tuple[int, int, int] = (8, 24, 1)
    yaw: float = 0.0
    patches: float = 0.0
    columns: int = 0
    kinds_factor: float = 1.0
    ground_factor: float = 1.0
    image_weights: str = ""
    voxel_weights: str = ""
    freeze_image: bool = True
    before: int = 0
    memory: float = 0.0
    dropout: float = 0.0

    @cached_property
    def config(self) -> BevConfig:
        """The configuration of the network."""
        return updated(PRESETS[self.preset], self.network, "task.network")

    @property
    def model(self) -> str:
        """The preset's name."""
        return self.config.name

    def build(self) -> EdgeBevTask:
        """Create the task with a newly initialized network."""
        return EdgeBevTask(self)


class EdgeBevTask:
    """Trains the bird's-eye-view architecture in any configuration.

    Args:
        options: the section `task` of a recipe.

    Raises:
        CheckpointError: the weights of the image network are missing, damaged, or of another network.
        TrainingError: scenes have a memory, but no network classifies the pixels of earlier pairs.
    """

    classes = SEMANTIC_KITTI

    def __init__(self, options: EdgeBevOptions | None = None) -> None:
        self.options = options or EdgeBevOptions()
        self.config = self.options.config
        network = EdgeBev(self.config)
        if self.options.image_weights:
            path = Path(self.options.image_weights)
            load_strict(network.image_network, read_state(path), where=str(path))
            # untrained features, at the scale of the class probabilities
            with torch.no_grad():
                network.image_network.features.weight.mul_(FEATURE_SCALE)
        else:
            load_lite0(network.image_network.encoder)
        if self.options.voxel_weights:
            with weights_file(self.options.voxel_weights) as path:
                own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(IMAGE_LAYERS)}
                load_strict(network, {**read_state(path), **own}, where=str(path))
        if self.options.freeze_image:
            network.image_network.requires_grad_(False)
            network.image_network.features.requires_grad_(True)
        if self.options.dropout > 0:
            for blocks in list(network.unet.blocks)[1:]:
                blocks.register_forward_hook(partial(_dropped, share=self.options.dropout))
        self.network: nn.Module = network
        self._net = network
        self._earlier: EarlierMeasurements | None = None
        if self.options.memory > 0:
            if not self.options.image_weights or not self.options.freeze_image:
                raise TrainingError(
                    "the classes of earlier pairs require a trained and frozen image network",
                    where="task.memory",
                    remedy="Set task.image_weights and freeze_image, or memory: 0.",
                )
            self._earlier = EarlierMeasurements(network.image_network, self._input, self.config.inverse_depth_error)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and create the inputs and targets of one scene.

        Returns:
            `image` `[3, H, W]`, `target` `[X, Y, Z]`, `labels` by lifted voxel `[N, 8]`, `semantics` by cell `[h, w]`,
            `inputs`, and `terms` as in `SceneExample`.

        Raises:
            GridError: the network cannot predict this grid.
            CalibrationError: the images are too small to be matched.
        """
        options = self.options
        _, layers = trained_grid(example.grid)
        if layers:
            example = shifted(example, (0, 0, -layers))
        if rng is not None:
            if options.yaw > 0:
                example = rotated(example, math.radians(rng.uniform(-options.yaw, options.yaw)))
            example = shifted(example, [int(rng.integers(-s, s + 1)) for s in options.shift])
        self.config.check_grid(example.grid)
        fit = ImageFit.between((example.rig.left.height, example.rig.left.width), self.config.image)
        rig = fit.rig(example.rig)
        tables = BevTables.of_rig(rig, example.grid, self.config.image)
        evidence = StereoEvidence(rig, example.grid)
        disparity = evidence.matcher.match(resized(example.left, fit), resized(example.right, fit))
        if rng is not None and rng.random() < options.patches:
            disparity = without_patches(disparity, rng)
        memory = None
        if self._earlier is not None and (rng is None or rng.random() < options.memory):
            # from 0 on, so that the network also works for the first pair of a drive
            pairs = options.before if rng is None else int(rng.integers(0, options.before + 1))
            memory = self._earlier.read(example, fit, evidence, tables, pairs)
        measured = evidence.of_disparity(evidence.as_trained(disparity, self.config.inverse_depth_error))
        scene = scene_inputs(measured, tables, memory=memory)
        labels = training_target(example)
        if rng is not None and rng.random() < options.augmentation.mirror:
            scene = mirrored_inputs(scene, self.config.layers)
            labels = mirrored_target(labels, tables.size)
        image = resized(example.left, fit)
        if rng is not None:
            jittered = jitter(torch.from_numpy(image).movedim(2, 0)[None], options.augmentation, rng)
            image = jittered[0].movedim(0, 2).numpy()
        height, width = self.config.image
        return {
            "image": self._input(image),
            "target": torch.from_numpy(example.target),
            "labels": labels,
            "semantics": image_labels(example, fit.scaled, (height // STRIDE, width // STRIDE), STRIDE),
            "inputs": PreparedInputs(scene),
            "terms": example.terms,
        }

    def _input(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return the image network's input `[3, H, W]`: the resized image, padded with grey."""
        padded = torch.full((*self.config.image, 3), 127, dtype=torch.uint8)
        padded[: image.shape[0], : image.shape[1]] = torch.from_numpy(image)
        return normalized(padded[None])[0]

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted terms, averaged over the scenes of a batch."""
        if self.options.freeze_image:
            self._net.image_network.eval()
        weights, scenes = self.options.losses, len(batch["image"])
        logits, features = self._net.image_network(batch["image"])
        outputs = self._net.complete(logits, features, [inputs.scene for inputs in batch["inputs"]])
        total: dict[str, torch.Tensor] = {}
        for output, labels, terms in zip(outputs, batch["labels"], batch["terms"], strict=True):
            for name, term in voxel_terms(output, labels, self.options.columns).items():
                # terms that this ground truth does not supervise are kept with weight 0, so that all parameters have
                # gradients
                weight = getattr(weights, name) if terms is None or name in terms else 0.0
                total[name] = total.get(name, 0.0) + term * (weight / scenes)
        if weights.pixels > 0 and not self.options.freeze_image:
            total["pixels"] = weights.pixels * pixel_term(logits, batch["semantics"])
        return total

    def finished(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the weights to write: the direct paths of classes and ground layout are multiplied by their factors,
        and `inverse_depth_error` is that of this training, not that of its initial weights."""
        state = {**state, "inverse_depth_error": torch.tensor(self.config.inverse_depth_error)}
        factors = {"pixel_kinds.": self.options.kinds_factor, "pixel_ground.": self.options.ground_factor}
        return {
            name: tensor * next((f for prefix, f in factors.items() if name.startswith(prefix)), 1.0)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in state.items()
        }

    def predict(self, batch: Batch) -> torch.Tensor:
        """Predict the labels of every scene, `[B, X, Y, Z]` uint8."""
        network = self._net
        outputs: list[BevOutput] = network(batch["image"], [inputs.scene for inputs in batch["inputs"]])
        labels = []
        for output, inputs, target in zip(outputs, batch["inputs"], batch["target"], strict=True):
            x, y, z = (n // 2 for n in target.shape)
            scene = inputs.scene
            zone = zones(scene.state, scene.evidence, scene.rows, scene.columns)
            rule = network.limits, network.calibration
            decision = decide(output, zone, *rule, (x, y, z), person_offset=network.config.person_offset)
            labels.append(decision.labels)
        return torch.stack(labels)


def _dropped(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor, share: float) -> torch.Tensor:
    """Drop a random share of the channels of a stage's output in training; a forward hook."""
    return F.dropout2d(output, share, module.training)
