"""OccDepth behind the engine's contract: two images in, arrays of an occupancy prediction out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.calibrations import RecentCalibrations
from occdepth_ros.models.device import pick_device
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.memory import keep_freed_memory, memory_guard
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.optimized.network import OptimizedOccDepth, Precision, compiled
from occdepth_ros.models.occdepth.optimized.tables import OptimizedTables
from occdepth_ros.models.occdepth.readout import VisibilityTable, expected_depth, labels_and_confidence
from occdepth_ros.models.occdepth.recognition import recognise
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.weights import RANDOM, with_weights


@dataclass(frozen=True)
class _Calibration:
    fit: ImageFit
    tables: OptimizedTables
    visibility: VisibilityTable


class OccDepthPredictor:
    """OccDepth with loaded weights on one device, on the inference path (`models/occdepth/optimized`).

    Args:
        name: a preset of `occdepth_ros.models.occdepth.config.PRESETS`.
        weights: a weights file, or "random".
        device: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N".
        precision: number formats. "float32" keeps the labels; "mixed" computes the finest 2-D maps, the 3-D
            network and the head in bfloat16, which is where most of the time goes, and "bfloat16" everything. What
            they keep of the labels is in benchmarks/README.md; trained weights differ: measure with yours.
        compile: hand the networks to torch.compile and CUDA graphs; CUDA devices only.

    Raises:
        ModelError: the name or the device does not exist, or the device has too little memory.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        *,
        name: str,
        weights: Path | str | None = None,
        device: str = "auto",
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        if name not in PRESETS:
            raise ModelError(f"there is no network {name!r}", where="model", remedy=f"Known: {', '.join(PRESETS)}.")
        self.config = PRESETS[name]
        self.device = pick_device(device)
        self.precision: Precision = precision
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        if compile and self.device.type != "cuda":
            raise ModelError(
                f"compile is for CUDA devices, not for {self.device}", where="compile", remedy="Leave it out."
            )
        network = load_network(name, weights).eval().requires_grad_(False)
        keep_freed_memory(self.device)
        with memory_guard(self.name, self.device):
            self.network = OptimizedOccDepth(network, precision, self.device).to(self.device)
        self._compiled = compile
        if compile:
            compiled(self.network)
        # one calibration is what a robot has; a second one allows for switching back
        self._calibrations: RecentCalibrations[_Calibration] = RecentCalibrations(2)
        self._current: _Calibration | None = None

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration, or take those of an earlier, equal one.

        Raises:
            GridError: the network cannot predict this grid.
            ModelError: the device has too little memory.
        """
        self.config.check_grid(grid)
        with memory_guard(self.name, self.device):
            self._current = self._calibrations.of(rig, grid, lambda: self._tables(rig, grid))

    def _tables(self, rig: StereoRig, grid: VoxelGrid) -> _Calibration:
        fit = ImageFit.between((rig.left.height, rig.left.width), self.config.image)
        fitted = fit.rig(rig)
        return _Calibration(
            fit,
            self.network.tables(SceneGeometry.of_rig(self.config, fitted, grid)).to(self.device),
            VisibilityTable.of_camera(grid, fitted.left, fitted.left_from_grid).to(self.device),
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
            return self._infer(self._current, (left, right)[: self.config.views])

    def _infer(self, calibration: _Calibration, images: tuple[ImageArray, ...]) -> Occupancy:
        network, tables = self.network, calibration.tables
        if self._compiled:
            # what the graphs of the last pair returned may be overwritten from here on
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        clock = StageClock(self.device)
        uploaded = torch.from_numpy(np.stack(images)).to(self.device)
        prepared = network.prepared(calibration.fit.apply(uploaded))
        clock.lap("preprocess")
        coarse = network.encoder(prepared)
        clock.lap("encoder")
        maps, rows = network.features(coarse, tables)
        del coarse
        clock.lap("decoder2d")
        lifted = network.lift(maps, rows, tables)
        clock.lap("sfa")
        depth = network.depth(maps, tables)
        volume = network.weigh(lifted, depth, tables)
        del maps, rows, lifted
        clock.lap("oad")
        volume = network.unet.volume(volume)
        clock.lap("net3d")
        logits = network.unet.head(volume)
        del volume
        clock.lap("head")
        labels, confidence = labels_and_confidence(logits[0])
        pixels = expected_depth(depth, self.config)
        visibility = calibration.visibility.classify(pixels)
        result = Occupancy(
            labels.cpu().numpy(),
            confidence.cpu().numpy(),
            visibility.cpu().numpy(),
            calibration.fit.restore(pixels).cpu().numpy(),
        )
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result


def load_network(name: str, weights: Path | str | None) -> OccDepth:
    """The network of a preset on the CPU, with the weights of a file or, for "random", seeded random ones.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    return with_weights(partial(OccDepth, PRESETS[name]), name, weights, recognise)
