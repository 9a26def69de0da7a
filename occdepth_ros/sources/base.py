"""Interface of a recorded stereo sequence, independent of its layout on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import InputWarning
from occdepth_ros.grid import VoxelGrid


@dataclass(frozen=True)
class SceneGroundTruth:
    """Ground truth of one frame.

    Args:
        labels: `[X, Y, Z]` uint8 class ids, 255 = unknown (not scored).
        grid: grid of the labels; it may be shifted by whole voxels relative to a prediction's grid.
        name: name of the ground truth, for reports ("synthetic", "recon10", "semantic_kitti").
    """

    labels: npt.NDArray[np.uint8]
    grid: VoxelGrid
    name: str


@dataclass(frozen=True)
class SourceOptions:
    """Options of the user for sources with several cameras or frames; empty = chosen automatically.

    Args:
        topics: part of the names of the image topics of a bag, such as the namespace of a robot.
        left, right: image topics of a bag.
        grid_frame: frame of a bag's TF in which the voxel grid is fixed.
    """

    topics: str = ""
    left: str = ""
    right: str = ""
    grid_frame: str = ""

    @property
    def of_topics(self) -> bool:
        """Whether an option names a topic."""
        return bool(self.topics or self.left or self.right)


@dataclass(frozen=True)
class SourceDescription:
    """Origin of the images and of the calibration, for reports.

    Args:
        images: the left and the right image topic or folder.
        choice: why this pair was chosen, empty if there is only one.
        pose: origin of the pose of the cameras in the grid's frame, such as "TF" or "calib.txt".
        warnings: doubtful inputs, in the order in which they were found.
    """

    images: str = ""
    choice: str = ""
    pose: str = ""
    warnings: tuple[InputWarning, ...] = ()

    def with_warnings(self, *warnings: InputWarning) -> SourceDescription:
        """Return the description with more warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


@dataclass(frozen=True)
class StereoFrame:
    """One rectified stereo pair.

    Args:
        name: name of the frame on disk, such as "000000".
        stamp_ns: recording time, nanoseconds.
        left, right: `[H, W, 3]` RGB uint8; grey images are repeated over the channels.
        world_from_grid: pose of the grid's frame (LiDAR, or vehicle) in a fixed frame, `[4, 4]`, None = unknown.
        grey: whether the cameras are grey, so that the three channels are equal.
        rig: calibration of this pair, if the cameras move relative to the grid's frame; None = the source's rig.
    """

    name: str
    stamp_ns: int
    left: npt.NDArray[np.uint8]
    right: npt.NDArray[np.uint8]
    world_from_grid: npt.NDArray[np.float64] | None = None
    grey: bool = False
    rig: StereoRig | None = None


class StereoSource(Protocol):
    """A finite, ordered stereo sequence with one pair of cameras.

    Indexing reads images from disk and raises ImageError or SourceError.
    """

    name: str
    """Path given by the user, for titles and reports."""
    rig: StereoRig
    grid_frame: str
    """Name of the frame in which voxel grids are fixed ("velodyne" for KITTI)."""
    description: SourceDescription
    """Origin of images and calibration, and warnings; reading frames may add warnings."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> StereoFrame: ...

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        """Return the ground truth of a frame, None if there is none."""

    def period_s(self) -> float:
        """Return the median time between frames, seconds."""


@runtime_checkable
class SizedSource(Protocol):
    """A source that checks image sizes without decoding the images."""

    def check_sizes(self, frames: Sequence[int]) -> None:
        """Check the image sizes of frames against the calibration.

        Raises:
            ImageError: an image has another size; the text names the first ones.
        """
