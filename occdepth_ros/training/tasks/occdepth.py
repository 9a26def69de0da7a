"""Training task of OccDepth and MonoScene: inputs, targets and losses (OccDepth, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import SEMANTIC_KITTI, ClassTable
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.errors import GridError, ModelError
from occdepth_ros.evaluation.alignment import aligned_labels
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import DEPTH_SCALE, OccDepth, OccDepthOutput, freeze_unused
from occdepth_ros.models.runtime.calibration_cache import CalibrationCache
from occdepth_ros.training.augmentation import Augmentation, jitter, mirrored
from occdepth_ros.training.losses.affinity import SoftCounts, geometric_affinity, semantic_affinity
from occdepth_ros.training.losses.class_weights import class_weights, occupancy_weights
from occdepth_ros.training.losses.cross_entropy import class_cross_entropy, occupancy_cross_entropy
from occdepth_ros.training.losses.depth import NO_BIN, depth_bins, depth_loss
from occdepth_ros.training.losses.frustum import frustum_loss, frustum_tiles
from occdepth_ros.training.losses.relation import relation_loss, relation_targets
from occdepth_ros.training.task import Batch, Prepared

KEPT_CALIBRATIONS = 8
"""Number of calibrations whose tables each worker caches."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; 0 disables it. Terms whose part of the network is absent are disabled automatically."""

    cross_entropy: float = 1.0
    occupancy: float = 1.0
    semantic_affinity: float = 1.0
    geometric_affinity: float = 1.0
    relation: float = 1.0
    frustum: float = 1.0
    depth: float = 1.0


@dataclass(frozen=True)
class _Calibration:
    fit: ImageFit
    geometry: SceneGeometry
    tiles: torch.Tensor


class OccDepthTask:
    """Trains OccDepth in any configuration.

    Args:
        config: the network.
        weights: weights of the loss terms; None = 1 each, as published.
        augmentation: augmentation of training scenes; None = as published.
        align: how voxels of the ground truth and of the network correspond: by "place", or by "index" as for published
            networks, although the benchmark's ground truth lies 0.2 m below the grid that they project with.
        second_view_gradient: whether views after the first also train the 2-D network.
        window: edge of a random square of columns to which full resolution and losses are limited in training, voxels;
            None = no limit. The head takes most of the time of a step; the lower resolutions always process the whole
            scene.
        freeze_encoder: keep the weights and normalization statistics of the 2-D encoder; a step of a small network
            then takes a third of the time, and all views pass the encoder in one batch.

    Raises:
        ModelError: a part of the network has no loss.
    """

    def __init__(
        self,
        config: OccDepthConfig,
        *,
        weights: LossWeights | None = None,
        augmentation: Augmentation | None = None,
        align: Literal["place", "index"] = "place",
        second_view_gradient: bool = True,
        window: int | None = None,
        freeze_encoder: bool = False,
    ) -> None:
        if config.occluded:
            raise ModelError(
                "the head of occluded voxels is not trained here", where=config.name, remedy="Set occluded to false."
            )
        if window is not None and config.layout != "kitti":
            raise ModelError("a window works on columns of the KITTI layout", where=config.name, remedy="Leave it out.")
        self.config = config
        self.window = window
        self.weights = weights or LossWeights()
        self.augmentation = augmentation or Augmentation()
        self.align = align
        self.second_view_gradient = second_view_gradient
        self.network: nn.Module = freeze_unused(OccDepth(config))
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            self.network.get_submodule("net_rgb.encoder").requires_grad_(False)
        self.classes = class_table(config.n_classes)
        self._requested = tuple({*config.scales, DEPTH_SCALE} if config.depth else config.scales)
        self._class_weights = class_weights(config.n_classes)
        self._occupancy_weights = occupancy_weights(config.n_classes)
        self._calibrations: CalibrationCache[_Calibration] = CalibrationCache(KEPT_CALIBRATIONS)

    def prepare(self, example: SceneExample, rng: np.random.Generator | None) -> Prepared:
        """Create inputs and targets of one scene.

        Returns:
            `images` `[V, 3, H, W]`, `target` `[X, Y, Z]`, `coarse` labels of the relations along the volume's axes,
            `depth_bins` `[V, h, w]`, `geometry`, `tiles` `[V, X, Y, Z]`; `depth` `[H, W]` for a virtual view;
            `window` in training with windows, to which `target` and `tiles` are then cropped.

        Raises:
            GridError: the ground truth does not share the network's voxels.
            ModelError: a virtual view needs depth and the scene has none.
        """
        config, virtual = self.config, self.config.virtual_bf is not None
        depth, depth_view = example.depth, 0
        if rng is not None and rng.random() < self.augmentation.mirror:
            if not virtual:
                # the depth belongs to the image that becomes the right one
                depth, depth_view = None if depth is None else depth[:, ::-1].copy(), 1
            example = mirrored(example, swap_views=not virtual)
            depth = example.depth if virtual else depth
        grid, target = self._grid_and_target(example)
        tables = self._calibration(example.rig, grid)
        images = torch.from_numpy(np.stack([example.left, example.right][: config.images]))
        if rng is not None:
            images = jitter(images.movedim(-1, 1), self.augmentation, rng).movedim(1, -1)
        resized_depth = None if depth is None else tables.fit.apply_depth(torch.from_numpy(depth))
        prepared: Prepared = {
            "images": tables.fit.apply(images),
            "target": torch.from_numpy(target),
            "geometry": tables.geometry,
            "tiles": tables.tiles,
        }
        if config.crp:
            coarse = downsample_labels(target, 4 * config.project_scale)
            prepared["coarse"] = torch.from_numpy(self._along_volume(coarse))
        if config.depth is not None:
            prepared["depth_bins"] = self._depth_bins(resized_depth, depth_view)
        if virtual:
            if resized_depth is None:
                raise ModelError(
                    "the scene has no depth, from which this network makes its second view",
                    where=example.name,
                    remedy="Take a data set with depth, or a depth teacher.",
                )
            prepared["depth"] = resized_depth
        if self.window is not None and rng is not None:
            window = ColumnWindow.draw(self.window, (target.shape[0], target.shape[1]), rng)
            prepared["window"] = window
            for key in ("target", "tiles"):
                prepared[key] = window.crop(prepared[key])
        return prepared

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted terms of one scene.

        Raises:
            ModelError: the batch holds several scenes, whose calibrations may differ.
        """
        output = self._forward(batch)
        target = batch["target"]
        logits = self._along_grid(output.completion.logits).float()
        occupancy, relations = output.completion.occupancy_logits, output.completion.relation_logits
        weight = self.weights
        terms: dict[str, torch.Tensor] = {}

        def add(name: str, term: Callable[[], torch.Tensor]) -> None:
            factor: float = getattr(weight, name)
            if factor:
                terms[name] = factor * term()

        add("cross_entropy", lambda: class_cross_entropy(logits, target, self._class_weights))
        if occupancy is not None:
            free_or_not = self._along_grid(occupancy)
            add("occupancy", lambda: occupancy_cross_entropy(free_or_not, target, self._occupancy_weights))
        if relations is not None:
            coarse = batch["coarse"]
            add("relation", lambda: relation_loss(relations, relation_targets(coarse, self.config.n_relations)))
        if output.depth is not None:
            distribution = output.depth.flatten(0, 1)
            add("depth", lambda: depth_loss(distribution, batch["depth_bins"].flatten(0, 1)))
        if weight.semantic_affinity or weight.geometric_affinity or weight.frustum:
            probabilities = logits.softmax(dim=1)
            counts = SoftCounts.of(probabilities, target)
            add("semantic_affinity", lambda: semantic_affinity(counts))
            add("geometric_affinity", lambda: geometric_affinity(counts))
            add("frustum", lambda: frustum_loss(probabilities, target, batch["tiles"]))
        return terms

    def logits(self, batch: Batch) -> torch.Tensor:
        """Return the class logits of one scene, `[1, classes, X, Y, Z]`; raises as `losses`."""
        return self._along_grid(self._forward(batch).completion.logits)

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return the labels of one scene, `[1, X, Y, Z]` uint8; raises as `losses`."""
        return self.logits(batch).argmax(dim=1).to(torch.uint8)

    def _forward(self, batch: Batch) -> OccDepthOutput:
        network, images = self.network, batch["images"]
        assert isinstance(network, OccDepth)
        if len(images) != 1:
            raise ModelError(
                f"{len(images)} scenes in a batch may have as many calibrations",
                where="batch_size",
                remedy="Set it to 1 and accumulate gradients instead.",
            )
        geometry: SceneGeometry = batch["geometry"][0]
        features = self._features(network, images)
        if self.config.virtual_bf is not None:
            features = network.with_virtual_view(features, batch["depth"])
        depth = network.depth(features, geometry)
        volume = network.weigh(network.lift(features, geometry), depth, geometry)
        window: ColumnWindow | None = batch["window"][0] if "window" in batch else None
        return OccDepthOutput(network.net_3d_decoder(volume, window), depth)

    def _features(self, network: OccDepth, images: torch.Tensor) -> dict[int, torch.Tensor]:
        if self.freeze_encoder:
            # every epoch calls `train()`, which re-enables batch statistics of normalization layers
            network.net_rgb.encoder.eval()
        if not network.training or self.second_view_gradient:
            return network.features(images, self._requested)
        first = network.features(images[:, :1], self._requested)
        with torch.no_grad():
            others = network.features(images[:, 1:], self._requested)
        return {scale: torch.cat([first[scale], others[scale]], dim=1) for scale in first}

    def _grid_and_target(self, example: SceneExample) -> tuple[VoxelGrid, npt.NDArray[np.uint8]]:
        """Return the prediction grid and the ground truth on it; smaller networks get a crop."""
        own, given = self.config.grid, example.grid
        if own.size == given.size:
            self.config.check_grid(given)
            return (given if self.align == "place" else replace(own, frame_id=given.frame_id)), example.target
        if self.align == "index":
            given = replace(given, origin=VoxelGrid.semantic_kitti().origin)
        target = aligned_labels(example.target, given, own)
        if (target == 255).all() and not (example.target == 255).all():
            raise GridError(
                f"nothing of the ground truth lies on the voxels of {self.config.name}",
                where=example.name,
                remedy="Give the network a grid that overlaps the data set's.",
            )
        return own, target

    def _calibration(self, rig: StereoRig, grid: VoxelGrid) -> _Calibration:
        return self._calibrations.get(rig, grid, lambda: self._tables(rig, grid))

    def _tables(self, rig: StereoRig, grid: VoxelGrid) -> _Calibration:
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        resized = fit.rig(rig)
        views = [(resized.left, resized.left_from_grid), (resized.right, resized.right_from_grid)]
        views = views[: self.config.views]
        return _Calibration(fit, SceneGeometry.of_views(self.config, views, grid), frustum_tiles(grid, views))

    def _depth_bins(self, depth: torch.Tensor | None, view: int) -> torch.Tensor:
        assert self.config.depth is not None
        height, width = (-(-n // DEPTH_SCALE) for n in self.config.image)
        bins = torch.full((self.config.views, height, width), NO_BIN)
        if depth is not None and view < self.config.views:
            bins[view] = depth_bins(depth[None], (height, width), self.config.depth, DEPTH_SCALE)[0]
        return bins

    def _along_volume(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return labels if self.config.layout == "kitti" else np.ascontiguousarray(labels.swapaxes(1, 2))

    def _along_grid(self, volume: torch.Tensor) -> torch.Tensor:
        return volume if self.config.layout == "kitti" else volume.transpose(3, 4)


def class_table(n_classes: int) -> ClassTable:
    """Return the SemanticKITTI classes for 20 classes, otherwise a table with numbered names."""
    if n_classes == len(SEMANTIC_KITTI):
        return SEMANTIC_KITTI
    names = ("empty", *(f"class {i}" for i in range(1, n_classes)))
    same = {i: i for i in range(n_classes)}
    return ClassTable(names, ((128, 128, 128),) * n_classes, same, same, frozenset())
