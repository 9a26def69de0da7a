"""Result of one stereo pair: class, confidence and visibility of each voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN, ClassTable
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid


class Visibility(IntEnum):
    """Relation of a voxel to the stereo measurement of the frame."""

    OUTSIDE = 0
    """Outside the left image: the label was completed by the model."""
    SEEN = 1
    """A ray with a valid match passes through the voxel or ends in it."""
    HIDDEN = 2
    """Inside the left image, but behind the first surface or without a valid match: the label was completed."""


@dataclass(frozen=True)
class OccupancyPrediction:
    """Semantic occupancy of one stereo pair.

    Args:
        grid: grid of the voxels.
        labels: `[X, Y, Z]` uint8, class id (0 = free), 255 = unknown.
        confidence: `[X, Y, Z]` uint8, probability of the label times 255; 0 where unknown.
        visibility: `[X, Y, Z]` uint8, values of `Visibility`.
        depth: `[H, W]` float32, expected depth (z) of the left image's pixels, metres, NaN = none.
        stamp_ns: time of the image, nanoseconds.
        model: name of the model.
        classes: the class table of the labels.
        timings_ms: stage name to duration, milliseconds.
    """

    grid: VoxelGrid
    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    visibility: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    stamp_ns: int = 0
    model: str = ""
    classes: ClassTable = SEMANTIC_KITTI
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("labels", "confidence", "visibility"):
            array = getattr(self, name)
            if array.shape != self.grid.size or array.dtype != np.uint8:
                raise GridError(
                    f"{name} is {array.dtype} {array.shape}, not uint8 {self.grid.size}", where="OccupancyPrediction"
                )

    @property
    def occupied(self) -> npt.NDArray[np.bool_]:
        """Voxels with an occupied class, `[X, Y, Z]`."""
        # one unsigned comparison instead of two: 0 wraps to 255, 255 to 254
        return (self.labels - np.uint8(1)) < np.uint8(UNKNOWN - 1)

    @property
    def free(self) -> npt.NDArray[np.bool_]:
        """Voxels predicted as free, `[X, Y, Z]`."""
        return self.labels == EMPTY

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """Voxels without a prediction, `[X, Y, Z]`."""
        return self.labels == UNKNOWN

    @property
    def completed(self) -> npt.NDArray[np.bool_]:
        """Occupied voxels that the cameras did not see, `[X, Y, Z]`."""
        # int(): with an IntEnum member numpy compares in 64 bits, which takes 14 times as long
        return self.occupied & (self.visibility != int(Visibility.SEEN))
