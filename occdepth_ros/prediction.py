"""The typed result of one stereo pair: what is where, how surely, and whether it was seen."""

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
    """How a voxel relates to what the cameras measured in this frame."""

    OUTSIDE = 0
    """Outside the left camera's view: whatever is said of it was completed."""
    SEEN = 1
    """A line of sight passed through it or ended in it."""
    HIDDEN = 2
    """Inside the view but behind the first surface, or without measured depth: completed."""


@dataclass(frozen=True)
class OccupancyPrediction:
    """Semantic occupancy of one stereo pair.

    Args:
        grid: where the voxels are.
        labels: `[X, Y, Z]` uint8, class id (0 = free), 255 = unknown.
        confidence: `[X, Y, Z]` uint8, probability of the label times 255; 0 where unknown.
        visibility: `[X, Y, Z]` uint8, values of `Visibility`.
        depth: `[H, W]` float32, expected depth (z) of the left image's pixels, metres, NaN = none.
        stamp_ns: time of the image, nanoseconds.
        model: name of the model that predicted it.
        classes: what the labels mean.
        timings_ms: stage name to milliseconds.
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
        """Voxels that hold something, `[X, Y, Z]`."""
        # one unsigned comparison instead of two: 0 wraps to 255, 255 to 254
        return (self.labels - np.uint8(1)) < np.uint8(UNKNOWN - 1)

    @property
    def free(self) -> npt.NDArray[np.bool_]:
        """Voxels that are known to be empty, `[X, Y, Z]`."""
        return self.labels == EMPTY

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """Voxels that nothing is said of, `[X, Y, Z]`."""
        return self.labels == UNKNOWN

    @property
    def completed(self) -> npt.NDArray[np.bool_]:
        """Occupied voxels that no line of sight reached, `[X, Y, Z]`."""
        # the bare int: an IntEnum member makes numpy compare in 64 bits, 14 times as slow
        return self.occupied & (self.visibility != int(Visibility.SEEN))
