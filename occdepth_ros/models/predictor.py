"""The protocol of a model, which `Engine` uses for networks and for the geometric baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.grid import VoxelGrid

ImageArray = npt.NDArray[np.uint8]


@dataclass
class Occupancy:
    """Result of a predictor: the arrays of an OccupancyPrediction on the calibrated grid.

    Args:
        labels: class ids, `[X, Y, Z]`; 0 = free, 255 = unknown.
        confidence: probability of the label times 255, `[X, Y, Z]`.
        visibility: values of `occdepth_ros.prediction.Visibility`, `[X, Y, Z]`.
        depth: depth of the left image, `[H, W]`, metres; NaN = none.
        timings_ms: duration of every stage, milliseconds.
    """

    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    visibility: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    timings_ms: dict[str, float] = field(default_factory=dict)


class FreeSpace(Enum):
    """Limitation of the free space of a predictor to space that stereo matches support.

    A predictor states it in the class attribute `free_space`; the default is `UNSUPPORTED`.
    """

    SUPPORTED = "supported"
    """The predictor labels free space without a match as unknown itself."""
    MATCHED_DEPTH = "matched_depth"
    """Its depth is matched, NaN without a match; the engine limits free space by it."""
    UNSUPPORTED = "unsupported"
    """Its depth is predicted; the engine matches the images and limits free space by the result."""


@runtime_checkable
class StatefulPredictor(Protocol):
    """A predictor that also uses earlier pairs and requires their poses."""

    def set_pose(self, world_from_grid: Matrix | None) -> None:
        """Set the pose of the grid's frame at the time of the next pair.

        Args:
            world_from_grid: pose in a fixed frame, `[4, 4]`; None = unknown, the earlier pairs are dropped.
        """


@runtime_checkable
class StagedPredictor(Protocol):
    """A predictor whose computation on the images of a pair can overlap with the completion of the pair before."""

    def begin(self, left: ImageArray, right: ImageArray) -> Callable[[], Occupancy]:
        """Begin a pair with the current calibration and pose.

        Args:
            left, right: as of `Predictor.infer`.

        Returns:
            a function that completes the pair. The functions are called in the order of the pairs, one at a time; a
            pair whose function is not called has no effect on later ones.
        """


@runtime_checkable
class PixelClassifier(Protocol):
    """A predictor that also classifies the pixels of the left image."""

    def pixel_classes(self, left: ImageArray) -> npt.NDArray[np.uint8]:
        """Return the class ids of the pixels without sky, `[H, W]` uint8, 255 for pixels outside the network's image.

        Args:
            left: `[H, W, 3]` RGB uint8, of the calibrated size.
        """


@runtime_checkable
class GroundFollower(Protocol):
    """A predictor whose frame can follow the measured ground."""

    follows_ground: bool
    """Whether it does."""


class Predictor(Protocol):
    """A model that completes the scene in front of a stereo rig."""

    name: str

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        """Precompute the tables of a calibration; called before the first `infer` and on every change.

        Raises:
            CalibrationError, GridError, ModelError: the model cannot work on this rig or grid.
        """

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        """Predict from one rectified pair, `[H, W, 3]` RGB uint8 each, of the calibrated size."""
