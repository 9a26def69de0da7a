"""Training task of occdepth-edge-sfa: occupancy, classes, depth and pixel classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.models.edge.config import PRESETS, EdgeConfig
from occdepth_ros.models.edge.depth import SCALE, depth_histogram
from occdepth_ros.models.edge.evidence import StereoEvidence, folded
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.image_encoder import FINEST
from occdepth_ros.models.edge.network import EdgeOutput, OccDepthEdge
from occdepth_ros.models.edge.readout import decide, thresholds
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.layers.imagenet import load_lite0
from occdepth_ros.models.trained_height import trained_grid
from occdepth_ros.training.augmentation import Augmentation, jitter, shifted
from occdepth_ros.training.losses.class_weights import SEMANTIC_KITTI_VOXELS
from occdepth_ros.training.losses.edge_terms import occupancy_terms, weighted_cross_entropy
from occdepth_ros.training.task import Batch, Prepared
from occdepth_ros.training.tasks.edge_scenes import (
    VoxelEvidence,
    crop,
    resized_ground_truth,
    slab,
    without_hidden_free_space,
)
from occdepth_ros.training.typed import updated

Result = TypeVar("Result")

CLASS_POWER = 0.3
"""Exponent of the inverse class frequency in the class weights; below 1, so that weights differ moderately."""
CLASS_FLOOR = 2e-3
"""Lower bound of the class frequency in the class weights."""
ROWS = 12_000
"""Maximum number of occupied lifted voxels that the class loss samples from a scene."""
PIXELS = 20_000
"""Maximum number of labelled pixels that the pixel loss samples from an image."""


@dataclass(frozen=True)
class EdgeLossWeights:
    """Weight of each term."""

    occupancy: float = 2.0
    overlap: float = 0.5
    classes: float = 1.0
    depth: float = 0.3
    pixels: float = 1.0


@dataclass(frozen=True)
class EdgeOptions:
    """The section `task` of a recipe of this family.

    Args:
        network: overrides of the preset, by field of `EdgeConfig`.
        losses: weights of the loss terms.
        augmentation: augmentation of training scenes; mirroring happens after lifting.
        shift: largest random shift of the grid along x, y, z in training, voxels.
        columns: width along y of the random slab to which a training scene is cropped, voxels; None = no cropping.
            Twice as many cropped scenes per time gave higher scores than whole scenes.
        freeze_encoder: keep the weights of the 2-D encoder; a step takes a third of the time.
        imagenet: initialize the 2-D encoder with ImageNet weights.
        compile: compile the network with torch.compile; takes a minute, then halves the time per step on a CPU.
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    losses: EdgeLossWeights = field(default_factory=EdgeLossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    shift: tuple[int, int, int] = (12, 24, 2)
    columns: int | None = 128
    freeze_encoder: bool = True
    imagenet: bool = True
    compile: bool = False

    @cached_property
    def config(self) -> EdgeConfig:
        """The configuration of the network."""
        return updated(PRESETS["occdepth-edge-sfa"], self.network, "task.network")

    @property
    def model(self) -> str:
        """The preset's name."""
        return self.config.name

    def build(self) -> EdgeTask:
        """Create the task with a newly initialized network."""
        return EdgeTask(self)


class EdgeTask:
    """Trains occdepth-edge-sfa in any configuration.

    Args:
        options: the section `task` of a recipe.

    Raises:
        CheckpointError: ImageNet weights are requested but not installed.
    """

    classes = SEMANTIC_KITTI

    def __init__(self, options: EdgeOptions | None = None) -> None:
        self.options = options or EdgeOptions()
        self.config = self.options.config
        network = OccDepthEdge(self.config)
        self._occupancy_terms = occupancy_terms
        if self.options.imagenet:
            load_lite0(network.picture_net.encoder)
        if self.options.freeze_encoder:
            network.picture_net.encoder.requires_grad_(False)
        if self.options.compile:
            for part, name in (
                *((network, name) for name in ("complete", "lift", "occupancy")),
                (network.depth_net, "forward"),
                (network.picture_net, "decode"),
            ):
                setattr(part, name, fused(getattr(part, name)))
            self._occupancy_terms = fused(occupancy_terms)
        self.network: nn.Module = network
        self._net = network
        frequency = np.array(SEMANTIC_KITTI_VOXELS[1:]) / sum(SEMANTIC_KITTI_VOXELS[1:])
        weights = (frequency + CLASS_FLOOR) ** -CLASS_POWER
        self._class_weights = torch.from_numpy((weights / weights.min()).astype(np.float32))

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Match the pair and make the targets of one scene.

        Returns:
            `images` `[2, 3, H, W]`, `target` `[X, Y, Z]`, `depth` `[H, W]` metres, NaN unknown, `semantics` `[H, W]`,
            255 unknown; `stereo`, `evidence`, `geometry` without the tables of `evidence`, and `mirror`,
            whether the scene is mirrored after lifting.

        Raises:
            GridError: the network cannot predict this grid.
            CalibrationError: the images are too small to be matched.
        """
        options = self.options
        _, layers = trained_grid(example.grid)
        if layers:
            example = shifted(example, (0, 0, -layers))
        if rng is not None:
            example = shifted(example, [int(rng.integers(-s, s + 1)) for s in options.shift])
        self.config.check_grid(example.grid)
        fit = ImageFit.between((example.rig.left.height, example.rig.left.width), self.config.image)
        rig = fit.rig(example.rig)
        left, right = (resized(image, fit) for image in (example.left, example.right))
        # match the original images on the whole grid, as at inference
        stereo = StereoEvidence(example.rig, example.grid, fit).measure(example.left, example.right)
        if rng is not None and options.columns is not None:
            whole = example.grid
            example = slab(example, options.columns, rng)
            self.config.check_grid(example.grid)
            stereo = crop(stereo, whole, example.grid)
        images = torch.from_numpy(np.stack([left, right]))
        if rng is not None:
            images = jitter(images.movedim(-1, 1), options.augmentation, rng).movedim(1, -1)
        geometry = EdgeGeometry.of_rig(self.config, rig, example.grid)
        target = torch.from_numpy(example.target)
        if rng is not None and example.seen is not None:
            target = without_hidden_free_space(target, torch.from_numpy(example.seen), geometry)
        nothing = torch.zeros(0)
        depth, semantics = resized_ground_truth(example, fit, self.config.image)
        return {
            "images": self._net.picture_net.normalized(images),
            "target": target,
            "depth": torch.from_numpy(depth),
            "semantics": torch.from_numpy(semantics),
            # computed here, in a worker process, so that the training process does not wait for it
            "evidence": VoxelEvidence.of(stereo, geometry),
            "geometry": replace(geometry, fine_pixel=nothing, fine_depth=nothing, position=nothing),
            "stereo": stereo,
            "mirror": rng is not None and bool(rng.random() < options.augmentation.mirror),
        }

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted terms, averaged over the scenes of a batch."""
        if self.options.freeze_encoder:
            self._net.picture_net.encoder.eval()
        scenes = len(batch["images"])
        total: dict[str, torch.Tensor] = {}
        for i in range(scenes):
            for name, term in self._terms(batch, i).items():
                term = term * (getattr(self.options.losses, name) / scenes)
                total[name] = total[name] + term if name in total else term
        return total

    def predict(self, batch: Batch) -> torch.Tensor:
        """Predict the labels of every scene, `[B, X, Y, Z]` uint8."""
        labels = []
        for i in range(len(batch["images"])):
            output = self._forward(batch, i, mirrored=False)
            occupied = output.occupancy[0].float().sigmoid().flatten(1)
            threshold = thresholds(
                batch["evidence"][i].evidence, batch["geometry"][i].visible[0], self.config.thresholds
            )
            labels.append(decide(self._net.head, output.volume, output.lifted, occupied, threshold).labels)
        return torch.stack(labels)

    def _forward(self, batch: Batch, i: int, *, mirrored: bool) -> EdgeOutput:
        output: EdgeOutput = self._net(
            batch["images"][i],
            batch["stereo"][i],
            batch["geometry"][i],
            batch["evidence"][i].evidence,
            mirrored=mirrored,
        )
        return output

    def _terms(self, batch: Batch, i: int) -> dict[str, torch.Tensor]:
        """Return the unweighted loss terms of one scene; scalars, 0 if the scene lacks the ground truth of a term."""
        mirrored: bool = batch["mirror"][i]
        output = self._forward(batch, i, mirrored=mirrored)
        target = batch["target"][i]
        target = folded((target.flip(1) if mirrored else target).flatten(), batch["geometry"][i].size)  # [8, X, Y, Z]
        occupancy, overlap = self._occupancy_terms(output.occupancy[0].float(), target)
        assert output.semantics is not None
        return {
            "occupancy": occupancy,
            "overlap": overlap,
            "classes": self._class_term(output, target.flatten(1)),
            "depth": self._depth_term(output.depth, batch["depth"][i]),
            "pixels": self._pixel_term(output.semantics[0], batch["semantics"][i]),
        }

    def _class_term(self, output: EdgeOutput, target: torch.Tensor) -> torch.Tensor:
        """Return the cross entropy of the classes of occupied voxels, `target` by lifted voxel, `[8, N]`."""
        occupied = (target != EMPTY) & (target != UNKNOWN)
        rows = occupied.any(0).nonzero()[:, 0]
        if len(rows) > ROWS:
            rows = rows[torch.randperm(len(rows), device=rows.device)[:ROWS]]
        logits = self._net.head.classify(output.volume, output.lifted, rows).float()  # [R, 8, classes]
        chosen = occupied[:, rows].T
        requested = target[:, rows].T[chosen].long() - 1
        return weighted_cross_entropy(logits[chosen], requested, self._class_weights.to(logits.device))

    def _depth_term(self, logits: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """Return the cross entropy against each cell's distribution of true depths over the bins (OccDepth, section
        3.3).
        """
        requested, share = depth_histogram(depth, self._net.depth_net.bin_edges, SCALE)
        labelled = (share[0] > 0).float()
        each = -(requested * logits[0].float().log_softmax(0)).sum(0)
        return (each * labelled).sum() / labelled.sum().clamp_min(1)

    def _pixel_term(self, logits: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
        """Return the cross entropy of the pixels' classes, `logits` `[n_classes, H/4, W/4]`."""
        at = ((semantics != UNKNOWN) & (semantics != EMPTY)).nonzero()
        if len(at) > PIXELS:
            at = at[torch.randint(len(at), (PIXELS,), device=at.device)]
        row, column = at.T
        chosen = logits[1:, row // FINEST, column // FINEST].T.float()
        return weighted_cross_entropy(chosen, semantics[row, column].long() - 1, self._class_weights.to(logits.device))


def fused(function: Callable[..., Result]) -> Callable[..., Result]:
    """Compile a function for training; without gradients the original function runs.

    Validation processes every scene once, on whole grids instead of slabs; compilation would take longer than the
    validation.
    """
    compiled = torch.compile(function)

    @wraps(function)
    def run(*arguments: Any) -> Result:
        return (compiled if torch.is_grad_enabled() else function)(*arguments)

    return run
