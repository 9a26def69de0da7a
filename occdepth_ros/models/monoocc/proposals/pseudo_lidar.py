"""Points of the grid's frame from depth images, buffered over several pairs, and their voxels."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.proposals.source import Depth, Volume

Points = npt.NDArray[np.float32]
"""`[3, N]` metres."""

MAX_DEPTH_M = 80.0
"""Depth above which a point is left out, metres, as published."""


class PseudoLidar:
    """Rays of one camera (Wang et al., CVPR 2019, section 3).

    Args:
        rig: the calibrated cameras.
        size: height and width of the depth images, to which the rig's images are resized.
    """

    def __init__(self, rig: StereoRig, size: tuple[int, int]) -> None:
        height, width = self.size = size
        if size != (rig.left.height, rig.left.width):
            rig = rig.scaled(width, height)
        k = rig.left.intrinsics
        column, row = np.meshgrid(np.arange(width), np.arange(height))
        grid_from_left = np.linalg.inv(rig.left_from_grid)
        y = (row - k[1, 2]) / k[1, 1]
        optical = np.stack([(column - k[0, 2] - k[0, 1] * y) / k[0, 0], y, np.ones_like(y)])
        rays = np.tensordot(grid_from_left[:3, :3], optical, 1)
        self._rays = rays.reshape(3, -1).astype(np.float32)
        self._origin = grid_from_left[:3, 3].astype(np.float32)

    def points(self, depth: Depth) -> Points:
        """Unproject a depth image, `[h, w]` metres, NaN = none, to points in the grid's frame, `[3, N]` metres."""
        flat = depth.ravel()
        with np.errstate(invalid="ignore"):
            seen = np.flatnonzero((flat > 0) & (flat < MAX_DEPTH_M))
        return self._rays[:, seen] * flat[seen] + self._origin[:, None]


@dataclass(frozen=True)
class _Sweep:
    points: Points
    world_from_grid: Matrix


class SweepBuffer:
    """The points of the last pairs, transformed to the present grid's frame.

    Args:
        length: number of earlier pairs that are merged with the present one.
    """

    def __init__(self, length: int = 0) -> None:
        self._sweeps: deque[_Sweep] = deque(maxlen=length)

    def __len__(self) -> int:
        return len(self._sweeps)

    def clear(self) -> None:
        """Drop all sweeps."""
        self._sweeps.clear()

    def merge(self, points: Points, world_from_grid: Matrix | None) -> list[Points]:
        """Return the points of the present and the stored pairs in the present grid's frame; store the present pair.

        Args:
            points: points of the present pair, `[3, N]` metres.
            world_from_grid: pose of the grid's frame, `[4, 4]`; None = unknown, stored pairs are dropped.
        """
        if world_from_grid is None:
            self.clear()
            return [points]
        now_from_world = np.linalg.inv(world_from_grid)
        clouds = [points]
        for sweep in self._sweeps:
            # composed in float64, because world coordinates may be large
            motion = (now_from_world @ sweep.world_from_grid).astype(np.float32)
            clouds.append(motion[:3, :3] @ sweep.points + motion[:3, 3:])
        self._sweeps.append(_Sweep(points, np.array(world_from_grid, np.float64)))
        return clouds


def voxelize_points(clouds: list[Points], grid: VoxelGrid, *, min_points: int = 1) -> Volume:
    """Return the voxels that contain enough points of all clouds together.

    Args:
        clouds: `[3, N]` metres each, in the grid's frame.
        grid: the voxels.
        min_points: number of points from which a voxel is set.

    Returns:
        `[X, Y, Z]` bool.
    """
    hits = np.zeros(grid.count, np.intp)
    for points in clouds:
        hits += np.bincount(_voxels(points, grid), minlength=grid.count)
    return (hits >= min_points).reshape(grid.size)


def _voxels(points: Points, grid: VoxelGrid) -> npt.NDArray[np.int32]:
    """Return the flat indices of the voxels that contain points; points outside are left out."""
    inside = np.ones(points.shape[1], bool)
    flat = np.zeros(points.shape[1], np.int32)
    for axis, (lower, count) in enumerate(zip(grid.origin, grid.size, strict=True)):
        cell = (points[axis] - np.float32(lower)) * np.float32(1 / grid.resolution)
        inside &= (cell >= 0) & (cell < count)
        # points outside, which may exceed the range of integers, are dropped
        with np.errstate(invalid="ignore"):
            flat = flat * np.int32(count) + cell.astype(np.int32)
    return flat[inside]
