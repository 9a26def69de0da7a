"""What a recorded stereo sequence offers, whatever its layout on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid


@dataclass(frozen=True)
class SceneGroundTruth:
    """Ground truth of one frame.

    Args:
        labels: `[X, Y, Z]` uint8 class ids, 255 = unknown (not scored).
        grid: where the labels are; may be shifted by whole voxels against a prediction's grid.
        name: which ground truth it is, for reports ("synthetic", "recon10", "semantic_kitti").
    """

    labels: npt.NDArray[np.uint8]
    grid: VoxelGrid
    name: str


@dataclass(frozen=True)
class StereoFrame:
    """One rectified stereo pair.

    Args:
        name: the frame's name on disk, such as "000000".
        stamp_ns: recording time, nanoseconds.
        left, right: `[H, W, 3]` RGB uint8; grey images are repeated over the channels.
        world_from_grid: pose of the grid's frame (LiDAR, or vehicle) in a fixed frame, `[4, 4]`, None = not known.
        grey: whether the cameras are grey, so that the three channels are equal.
    """

    name: str
    stamp_ns: int
    left: npt.NDArray[np.uint8]
    right: npt.NDArray[np.uint8]
    world_from_grid: npt.NDArray[np.float64] | None = None
    grey: bool = False


class StereoSource(Protocol):
    """A finite, ordered stereo sequence with one calibration.

    Indexing reads images from disk and raises ImageError or SourceError with file name and remedy.
    """

    name: str
    """What the user gave, for titles and reports."""
    rig: StereoRig
    grid_frame: str
    """Name of the frame that voxel grids are fixed in ("velodyne" for KITTI)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> StereoFrame: ...

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        """Ground truth of a frame, None where there is none."""

    def period_s(self) -> float:
        """Median time between frames, seconds."""


@runtime_checkable
class SizedSource(Protocol):
    """A source that checks image sizes without decoding the images."""

    def check_sizes(self, frames: Sequence[int]) -> None:
        """Check the image sizes of frames against the calibration.

        Raises:
            ImageError: an image has another size; the text names the first ones.
        """
