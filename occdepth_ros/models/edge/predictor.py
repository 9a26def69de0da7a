"""occdepth-edge behind the engine's contract: two images in, arrays of an occupancy prediction out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.calibrations import RecentCalibrations
from occdepth_ros.models.device import pick_device
from occdepth_ros.models.edge.config import PRESETS
from occdepth_ros.models.edge.depth import SCALE, expected_depth, voxel_depth
from occdepth_ros.models.edge.evidence import Measurement, StereoEvidence, evidence
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.edge.readout import decide, thresholds
from occdepth_ros.models.fusion import fold_norms, stored_as
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.layout import channels_last
from occdepth_ros.models.memory import memory_guard
from occdepth_ros.models.occdepth.readout import VisibilityTable
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.trained_height import shifted, trained_grid
from occdepth_ros.models.weights import RANDOM, with_weights

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class _Calibration:
    fit: ImageFit
    evidence: StereoEvidence
    geometry: EdgeGeometry
    visibility: VisibilityTable
    layers: int


class EdgePredictor:
    """occdepth-edge with loaded weights on one device.

    Args:
        name: a key of `SHIPPED`.
        weights: a weights file, "random", or None for those that ship with the package.
        device: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N".
        precision: number format of the convolutions; "auto" takes bfloat16 where the hardware multiplies it.

    Raises:
        ModelError: the name or the device does not exist, or the device has too little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self, *, name: str, weights: Path | str | None = None, device: str = "auto", precision: Precision = "auto"
    ) -> None:
        if name not in SHIPPED:
            raise ModelError(f"there is no network {name!r}", where="model", remedy=f"Known: {', '.join(SHIPPED)}.")
        self.config = PRESETS[name]
        self.device = pick_device(device)
        self.dtype = pick_precision(precision, self.device)
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        network = fold_norms(load_network(name, weights).eval()).requires_grad_(False)
        with memory_guard(self.name, self.device):
            self.network = channels_last(stored_as(network.to(self.device), self.dtype))
        # one calibration is what a robot has; a second one allows for switching back
        self._calibrations: RecentCalibrations[_Calibration] = RecentCalibrations(2)
        self._current: _Calibration | None = None

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration, or take those of an earlier, equal one.

        Raises:
            GridError: the network cannot predict this grid.
            CalibrationError: the images are too small to be matched.
            ModelError: the device has too little memory.
        """
        self.config.check_grid(grid)
        with memory_guard(self.name, self.device):
            self._current = self._calibrations.of(rig, grid, lambda: self._tables(rig, grid))

    def _tables(self, rig: StereoRig, grid: VoxelGrid) -> _Calibration:
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        fitted = fit.rig(rig)
        trained, layers = trained_grid(grid)
        return _Calibration(
            fit,
            StereoEvidence(rig, trained, fit),
            EdgeGeometry.of_rig(self.config, fitted, trained, self.device),
            VisibilityTable.of_camera(grid, fitted.left, fitted.left_from_grid).to(self.device),
            layers,
        )

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: the device ran out of memory.
        """
        if self._current is None:
            raise ModelError(
                "the predictor knows no calibration yet", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        with memory_guard(self.name, self.device):
            return self._infer(self._current, (left, right))

    def _infer(self, tables: _Calibration, images: tuple[ImageArray, ImageArray]) -> Occupancy:
        network, geometry, clock = self.network, tables.geometry, StageClock(self.device)
        measured = tables.evidence.measure(*images).to(self.device)
        clock.lap("matching")
        left, right = (resized(image, tables.fit) for image in images)
        normalized = network.picture_net.normalized(torch.from_numpy(np.stack([left, right])).to(self.device))
        clock.lap("preprocess")
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            pyramid, features = network.picture_net(normalized)
            clock.lap("images")
            distribution = network.depth_net(pyramid[SCALE][:1], measured, geometry)
            known = torch.cat([evidence(measured, geometry), voxel_depth(distribution, geometry)], 1)
            clock.lap("oad")
            lifted = network.lift(features, geometry)
            clock.lap("sfa")
            volume = network.complete(lifted, known)
            clock.lap("net3d")
            occupied = network.occupancy(volume, known)[0].float().sigmoid().flatten(1)  # [8, N]
            threshold = thresholds(known, geometry.visible[0], self.config.thresholds)
            decided = decide(network.head, volume, lifted, occupied, threshold)
        clock.lap("head")
        depth = self._depth(distribution, measured, geometry)
        visibility = tables.visibility.classify(depth)
        result = Occupancy(
            shifted(decided.labels, tables.layers).cpu().numpy(),
            shifted(decided.confidence, tables.layers).cpu().numpy(),
            visibility.cpu().numpy(),
            tables.fit.restore(depth).cpu().numpy(),
        )
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result

    def _depth(self, distribution: torch.Tensor, measured: Measurement, geometry: EdgeGeometry) -> torch.Tensor:
        """Depth of the network's left image, `[h, w]`, metres: matched where it was, else the expectation."""
        coarse = expected_depth(distribution, self.network.depth_net.bin_edges)
        full = F.interpolate(coarse[None, None], size=self.config.image, mode="bilinear", align_corners=False)[0, 0]
        matched = geometry.focal_baseline / measured.disparity.clamp_min(1e-3)
        return torch.where(measured.disparity > 0, matched, full)


SHIPPED: dict[str, str] = {
    "occdepth-edge": "occdepth-edge.safetensors",
    "occdepth-edge-kitti": "occdepth-edge-kitti.safetensors",
}
"""Weights file of each name, in `occdepth_ros/weights`."""


def load_network(name: str, weights: Path | str | None) -> OccDepthEdge:
    """The network on the CPU, in float32, with the weights of a file, those that ship, or seeded random ones.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    with resources.as_file(resources.files("occdepth_ros.weights").joinpath(SHIPPED[name])) as shipped:
        return with_weights(lambda: OccDepthEdge(PRESETS[name]), name, shipped if weights is None else weights)


def pick_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format that was asked for, or the fastest one that the device multiplies in hardware."""
    if precision != "auto":
        chosen: torch.dtype = getattr(torch, precision)
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    optimized: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if optimized else torch.float32
