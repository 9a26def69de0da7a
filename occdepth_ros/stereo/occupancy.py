"""Occupancy of matched surfaces, the input of networks that complete a measured volume."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import ImageArray, SemiGlobalMatcher
from occdepth_ros.stereo.surface import SurfaceBinning

WORKING_WIDTH = 640
"""Approximate width at which images are matched, pixels. The full KITTI size takes 2.5 times as long (76 instead of 30
ms) and has a higher SC IoU by 0.6 points on recon10 (`make bench`)."""
NEAREST_VOXELS = 15
"""Smallest depth that is matched, voxel edges: 3 m in the 0.2 m grid of the benchmark. If the cameras show nearer
ground, it is smaller, see `nearest_depth`."""


class StereoOccupancy:
    """Matching at a working size, and binning of the matched surfaces, for one calibration.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        working_width: larger images are matched at the integer fraction of their size that is nearest to this width,
            pixels.

    Raises:
        CalibrationError: the images are too small to be matched.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, *, working_width: int = WORKING_WIDTH) -> None:
        self.grid = grid
        self._size = (rig.left.width, rig.left.height)
        shrink = max(1, round(rig.left.width / working_width))
        self.rig = rig.scaled(rig.left.width // shrink, rig.left.height // shrink) if shrink > 1 else rig
        """The cameras at working size."""
        self._working_size = (self.rig.left.width, self.rig.left.height)
        self.matcher = SemiGlobalMatcher(self.rig, nearest_m=nearest_depth(self.rig, grid))
        self.binning = SurfaceBinning(self.rig, grid, self.matcher.focal_baseline)

    def resized(self, image: ImageArray) -> ImageArray:
        """Resize an image of the rig, `[H, W, 3]`, to working size, `[h, w, 3]`."""
        if self._working_size == self._size:
            return image
        return np.asarray(cv2.resize(image, self._working_size, interpolation=cv2.INTER_AREA), np.uint8)

    def match(self, left: ImageArray, right: ImageArray) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
        """Match one rectified pair.

        Args:
            left, right: `[h, w, 3]` RGB uint8 at working size, as from `resized`.

        Returns:
            disparity `[h, w]` as from `SemiGlobalMatcher.match`, without small near regions; and depth of the left
            image at the rig's size, `[H, W]` metres, NaN without a match.
        """
        disparity = self.binning.without_near_speckles(self.matcher.match(left, right))
        depth = self.matcher.depth(disparity)
        if self._working_size != self._size:
            # nearest neighbour: the mean over a depth edge is the depth of neither surface
            depth = np.asarray(cv2.resize(depth, self._size, interpolation=cv2.INTER_NEAREST), np.float32)
        return disparity, depth

    def occupied(self, disparity: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        """Return whether a voxel contains a matched surface, `[X, Y, Z]`; `disparity` as from `match`."""
        volume = np.zeros(self.grid.count, bool)
        volume[self.binning.occupied(self.binning.points(disparity))] = True
        return volume.reshape(self.grid.size)


def nearest_depth(rig: StereoRig, grid: VoxelGrid) -> float:
    """Return the smallest depth to match, metres: the depth of the nearest ground in the image, within limits.

    Ground nearer than the search range would be unknown in the costmap although it is in the image. The search range
    begins at `NEAREST_VOXELS` or nearer and is at most doubled, because matching time is proportional to it. The ground
    is assumed at height 0 of the grid's frame, as for base_link, if the camera is above it; otherwise at the lower face
    of the grid, as for sensor frames.
    """
    usual = NEAREST_VOXELS * grid.resolution
    camera = rig.left
    grid_from_left = np.linalg.inv(rig.left_from_grid)
    height = float(grid_from_left[2, 3])
    above_ground = height if height > grid.resolution else height - grid.origin[2]
    k = camera.projection
    columns = np.array([0.0, camera.width - 1])
    rays = np.stack([(columns - k[0, 2]) / k[0, 0], np.full(2, (camera.height - 1 - k[1, 2]) / k[1, 1]), np.ones(2)])
    slope = float(-(grid_from_left[2, :3] @ rays).min())
    if above_ground <= 0 or slope <= 0:
        return usual
    return float(np.clip(above_ground / slope, usual / 2, usual))
