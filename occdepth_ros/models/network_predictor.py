"""Base class of the predictors that run a network: calibration tables, device memory and stage times."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Generic, TypeVar

import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.loading.weights import RANDOM
from occdepth_ros.models.predictor import ImageArray, Occupancy
from occdepth_ros.models.runtime.calibration_cache import CalibrationCache
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.models.runtime.memory import memory_guard
from occdepth_ros.models.runtime.timing import StageClock

Tables = TypeVar("Tables")
"""Tables that a predictor precomputes for one calibration."""

KEPT_CALIBRATIONS = 2
"""Number of calibrations whose tables are kept: the current and the previous one."""


class NetworkPredictor(ABC, Generic[Tables]):
    """A `Predictor` that runs a network on one device.

    Subclasses load their network in `__init__` and implement `check_grid`, `tables` and `predict`.

    Args:
        name: the registered name; random weights are marked in the attribute `name`.
        weights: a weights file, "random", or None.
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".
        names: names of the networks of this predictor; None accepts any name.

    Raises:
        ModelError: the name or the device does not exist.
    """

    def __init__(
        self, name: str, weights: Path | str | None, device: str, names: Collection[str] | None = None
    ) -> None:
        if names is not None and name not in names:
            raise ModelError(
                f"there is no network {name!r}", where="model", remedy=f"Choose one of {', '.join(names)}."
            )
        self.name = name if str(weights) != RANDOM else f"{name} (random weights)"
        self.device = pick_device(device)
        self._calibrations: CalibrationCache[Tables] = CalibrationCache(KEPT_CALIBRATIONS)
        self._current: Tables | None = None

    @abstractmethod
    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept the grids that the network can predict.

        Raises:
            GridError: the network cannot predict this grid.
        """

    @abstractmethod
    def tables(self, rig: StereoRig, grid: VoxelGrid) -> Tables:
        """Compute the tables of a calibration on the predictor's device."""

    @abstractmethod
    def predict(self, tables: Tables, images: tuple[ImageArray, ImageArray], clock: StageClock) -> Occupancy:
        """Predict one pair.

        Args:
            tables: tables of the current calibration.
            images: left and right, `[H, W, 3]` RGB uint8.
            clock: takes a lap at the end of every stage; the last stage, "postprocess", is ended by the caller.

        Returns:
            the prediction, without times.
        """

    def clock(self) -> StageClock:
        """Return a clock for the stages of one pair."""
        return StageClock(self.device)

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Compute the tables of a calibration, or reuse those of an equal earlier one.

        Raises:
            GridError: the network cannot predict this grid.
            CalibrationError: the images are too small to be matched.
            ModelError: the device has too little memory.
        """
        self.check_grid(grid)
        with memory_guard(self.name, self.device):
            self._current = self._calibrations.get(rig, grid, lambda: self.tables(rig, grid))

    @torch.inference_mode()
    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size.

        Raises:
            ModelError: `calibrate` was not called, or the device ran out of memory.
        """
        tables = self._calibrated()
        with memory_guard(self.name, self.device):
            clock = self.clock()
            return timed(self.predict(tables, (left, right), clock), clock)

    def _calibrated(self) -> Tables:
        """Tables of the current calibration.

        Raises:
            ModelError: `calibrate` was not called.
        """
        if self._current is None:
            raise ModelError(
                "the predictor has no calibration", where=self.name, remedy="Call calibrate(rig, grid) first."
            )
        return self._current


def timed(result: Occupancy, clock: StageClock) -> Occupancy:
    """A result with the times of its stages; ends the last one, "postprocess"."""
    clock.lap("postprocess")
    result.timings_ms = clock.milliseconds()
    return result


def occupancy_of(
    labels: torch.Tensor, confidence: torch.Tensor, visibility: torch.Tensor, depth: torch.Tensor
) -> Occupancy:
    """Create the result of a predictor from tensors on any device; shapes as in `Occupancy`."""
    return Occupancy(labels.cpu().numpy(), confidence.cpu().numpy(), visibility.cpu().numpy(), depth.cpu().numpy())
