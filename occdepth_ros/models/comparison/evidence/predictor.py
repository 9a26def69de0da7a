"""Matching, then a network that completes what was matched, behind the engine's contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.evidence.config import CompletionConfig
from occdepth_ros.models.comparison.evidence.surface import MatchedSurface
from occdepth_ros.models.device import pick_device
from occdepth_ros.models.layout import channels_last
from occdepth_ros.models.occdepth.readout import VisibilityTable, labels_and_confidence
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.timing import StageClock
from occdepth_ros.models.weights import RANDOM, with_weights
from occdepth_ros.stereo.occupancy import StereoOccupancy

Measured = TypeVar("Measured")
"""What a network takes of a matched pair."""


class CompletionPredictor(ABC, Generic[Measured]):
    """A network with loaded weights on one device, and the matcher that feeds it.

    Args:
        config: sizes of the network.
        make: makes the network.
        name: the name it is registered under.
        weights: a weights file, or "random".
        device: "auto" (a CUDA device where there is one), "cpu", "cuda" or "cuda:N"; matching runs on the CPU.

    Raises:
        ModelError: the device does not exist.
        CheckpointError: the weights are missing, damaged, or of another network.
    """

    def __init__(
        self,
        config: CompletionConfig,
        make: Callable[[], nn.Module],
        *,
        name: str,
        weights: Path | str | None,
        device: str,
    ) -> None:
        self.device = pick_device(device)
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        self._config = config
        network = with_weights(make, name, weights).eval().requires_grad_(False)
        self.network = channels_last(network.to(self.device))
        self._stereo: StereoOccupancy | None = None

    @abstractmethod
    def measured(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> Measured:
        """What the network takes, on its device; arguments as for `MatchedSurface.of`."""

    @abstractmethod
    def logits(self, measured: Measured) -> torch.Tensor:
        """Class logits of every voxel, `[n_classes, X, Y, Z]`."""

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration.

        Raises:
            GridError: the network cannot complete this grid.
            CalibrationError: the images are too small to be matched.
        """
        self._config.check_grid(grid)
        self._stereo = StereoOccupancy(rig, grid)
        self._visibility = VisibilityTable.of_camera(grid, rig.left, rig.left_from_grid)

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: it was not calibrated.
        """
        if self._stereo is None:
            raise ModelError(
                "the predictor knows no calibration yet", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        stereo, clock = self._stereo, StageClock(self.device)
        small = stereo.resized(left)
        disparity, depth = stereo.match(small, stereo.resized(right))
        clock.lap("matching")
        measured = self.measured(stereo, small, disparity)
        clock.lap("surface")
        logits = self.logits(measured)
        clock.lap("network")
        labels, confidence = labels_and_confidence(logits)
        visibility = self._visibility.classify(torch.from_numpy(depth))
        result = Occupancy(labels.cpu().numpy(), confidence.cpu().numpy(), visibility.numpy(), depth)
        clock.lap("postprocess")
        result.timings_ms = clock.milliseconds()
        return result


class SurfacePredictor(CompletionPredictor[MatchedSurface]):
    """A network from a `MatchedSurface` to logits `[1, n_classes, X, Y, Z]`; arguments as `CompletionPredictor`."""

    def measured(self, stereo: StereoOccupancy, left: ImageArray, disparity: npt.NDArray[np.int16]) -> MatchedSurface:
        """The matched surface."""
        return MatchedSurface.of(stereo, left, disparity).to(self.device)

    def logits(self, measured: MatchedSurface) -> torch.Tensor:
        """Class logits, `[n_classes, X, Y, Z]`."""
        found: torch.Tensor = self.network(measured)[0]
        return found
