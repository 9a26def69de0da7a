"""What a model has to offer to the Engine: the joint between networks, geometry and everything that uses them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.grid import VoxelGrid

ImageArray = npt.NDArray[np.uint8]


@dataclass
class Occupancy:
    """What a predictor returns: the arrays of an OccupancyPrediction, on the predictor's grid."""

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    visibility: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    timings_ms: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class PlacedPredictor(Protocol):
    """A predictor that also looks at earlier pairs, where it is told from where they were taken."""

    def place(self, world_from_grid: Matrix | None) -> None:
        """Say where the grid's frame is when the next pair is taken.

        Args:
            world_from_grid: its pose in a frame that does not move, `[4, 4]`; None = not known, which ends the memory.
        """


class Predictor(Protocol):
    """A model that completes the scene in front of a stereo rig."""

    name: str

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Precompute what depends on the calibration only; called before the first `infer` and on every change.

        Raises:
            CalibrationError, GridError, ModelError: the model cannot work on this rig or grid.
        """

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size."""
