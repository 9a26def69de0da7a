"""Surface points: unprojection of matched pixels into the grid, and the voxels that contain them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import NO_MATCH, SIGMA_PX, STEPS
from occdepth_ros.stereo.surface_loops import BLOCK, write_hits, write_points

MIN_HITS = 3
"""Minimum number of surface points in an occupied voxel."""
MIN_SHARE = 0.35
"""Minimum number of points in far voxels, as a share of the pixels that a face of the voxel covers; at least one
point."""
MIN_NEAR_REGION_PX = 400
"""Smallest area of a connected region of near matches, pixels; "near" means that a voxel's face covers at least half of
this area. Smaller regions are wrong matches, frequent in sky and glare, and would appear as obstacles a few metres
ahead."""


@dataclass(frozen=True)
class SurfacePoints:
    """Matched pixels whose surface point lies in the grid; coordinates in voxel edges from the grid's lower corner.

    Args:
        x, y, z: `[N]` float32.
        voxel: flat voxel index, `[N]`.
        pixel: flat index of the pixel in the disparity image, `[N]`, ascending.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    z: npt.NDArray[np.float32]
    voxel: npt.NDArray[np.intp]
    pixel: npt.NDArray[np.intp]


class SurfaceBinning:
    """Computes surface points of one calibration and counts them by voxel.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        focal_baseline: product of depth and disparity, pixel metres.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, focal_baseline: float) -> None:
        camera = rig.left
        k = camera.projection
        column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        optical = np.stack([(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1], np.ones(column.shape)])
        grid_from_left = np.linalg.inv(rig.left_from_grid)
        scale = focal_baseline * STEPS / grid.resolution
        rays = scale * np.tensordot(grid_from_left[:3, :3], optical, 1)
        self._rays = rays.reshape(3, -1).astype(np.float32)
        self.camera_center: npt.NDArray[np.float32] = ((grid_from_left[:3, 3] - grid.origin) / grid.resolution).astype(
            np.float32
        )
        """The left camera's centre in voxel edges, `[3]`."""
        self._size = grid.size
        self._count = grid.count
        self._edge = grid.resolution
        self._focal_baseline = focal_baseline
        self._face = (k[0, 0] * grid.resolution) * (k[1, 1] * grid.resolution)
        # a face covers (disparity * edge / baseline)^2 pixels
        self._near_steps = STEPS * rig.baseline / grid.resolution * math.sqrt(MIN_NEAR_REGION_PX / 2)
        self._forward = (rig.left_from_grid[2, :3] * grid.resolution).astype(np.float32)

    def without_near_speckles(self, disparity: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Remove connected regions of near matches smaller than `MIN_NEAR_REGION_PX` from a disparity map, `[H, W]`."""
        near = (disparity > self._near_steps).astype(np.uint8)
        rows, columns = (np.flatnonzero(near.any(axis)) for axis in (1, 0))
        if not len(rows):
            return disparity
        # near matches cover the lower part of most images
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        _, component, statistics, _ = cv2.connectedComponentsWithStats(near[part], connectivity=4, ltype=cv2.CV_32S)
        small = statistics[:, cv2.CC_STAT_AREA] < MIN_NEAR_REGION_PX
        small[0] = False
        if not small.any():
            return disparity
        found = disparity.copy()
        found[part][small[component]] = NO_MATCH
        return found

    def points(self, disparity: npt.NDArray[np.int16]) -> SurfacePoints:
        """Unproject a disparity map, `[H, W]` as from `SemiGlobalMatcher.match`, to points."""
        flat = disparity.ravel()
        axes = np.empty((3, flat.size), np.float32)
        voxel, pixel = np.empty((2, flat.size), np.intp)
        count = write_points(flat, self._rays, self.camera_center, self._size, axes, voxel, pixel)
        x, y, z = axes[:, :count]
        return SurfacePoints(x, y, z, voxel[:count], pixel[:count])

    def hits(self, points: SurfacePoints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the flat indices of voxels that contain points, ascending, and the number of points in each, `[K]`."""
        used = np.zeros(-(-self._count // BLOCK), bool)
        counters = np.empty(len(used) * BLOCK, np.int32)
        voxels, hits = np.empty((2, len(points.voxel)), np.intp)
        count = write_hits(points.voxel, used, counters, voxels, hits)
        return voxels[:count], hits[:count]

    def occupied(self, points: SurfacePoints) -> npt.NDArray[np.intp]:
        """Return the flat indices of the voxels that contain enough points, `[K]`, ascending."""
        return self.occupied_of(*self.hits(points))

    def occupied_of(self, voxels: npt.NDArray[np.intp], hits: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the voxels that contain enough points, `[L]`, from the results of `hits`, `[K]` each."""
        required = np.clip(MIN_SHARE * self._face / np.square(self._depth(voxels)), 1, MIN_HITS)
        return voxels[hits >= np.rint(required)]

    def sharpness(self, voxels: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """Return 255 * edge / (edge + depth error), `[N]`; the depth error is depth^2 sigma / (fx * baseline)."""
        error = np.square(self._depth(voxels)) * np.float32(SIGMA_PX / self._focal_baseline)
        return (255 * self._edge / (self._edge + error)).astype(np.uint8)

    def _depth(self, voxels: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Return the depth of voxel centres in the left camera, metres, at least half an edge, `[N]`."""
        index = np.stack(np.unravel_index(voxels, self._size), 1).astype(np.float32) + np.float32(0.5)
        return np.maximum((index - self.camera_center) @ self._forward, np.float32(self._edge / 2))
