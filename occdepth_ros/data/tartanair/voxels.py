"""Voxels of TartanAir: the visible surface of one frame, or the fusion of many frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import EMPTY, TARTANAIR, UNKNOWN
from occdepth_ros.data.scans.completion import CompletedScene
from occdepth_ros.data.scans.voxelize import Mask, PosedScan, Votes
from occdepth_ros.data.tartanair.dataset import IMAGE, INTRINSICS, TartanFrame, level_frame
from occdepth_ros.grid import VoxelGrid

TARTANAIR_GRID = VoxelGrid((0.0, -6.0, -1.8), (120, 120, 48), 0.1, frame_id="level_camera")
"""Published grid: 12 m ahead, 6 m to each side, 3 m up and 1.8 m down; x is forward, y is left, z is up."""

MARGIN = 1.0
"""Minimum length of the line of sight behind the centre of a free voxel, in voxels."""

_RAW = 256
"""Offset of class ids in `Votes`, which treats id 1 as an outlier."""


def visible_surface(frame: TartanFrame) -> npt.NDArray[np.uint8]:
    """Return the published ground truth: classes of the voxels with a depth pixel of this frame; all others are free.

    It has no unknown voxels, and no occupied voxels behind the visible surface. Points are rounded to voxel corners,
    with an offset of half a voxel from the centres, as in the published export. It serves only for comparison with
    published results.

    Returns:
        `[120, 120, 48]` uint8 on `TARTANAIR_GRID`.
    """
    points, labels = _points(frame)
    pose = np.linalg.inv(level_frame(frame.world_from_camera)) @ frame.world_from_camera
    local = points @ pose[:3, :3].T + pose[:3, 3]
    size = np.array(TARTANAIR_GRID.size)
    # The published axes are right, down, forward with origin (-6, -3, 0) m. Rounding depends on these axes.
    right_down_forward = np.stack([-local[:, 1], -local[:, 2], local[:, 0]], axis=1)
    right, down, ahead = (
        np.rint((right_down_forward - (-6.0, -3.0, 0.0)) / TARTANAIR_GRID.resolution).astype(np.int64).T
    )
    index = np.stack([ahead, size[1] - 1 - right, size[2] - 1 - down], axis=1)
    inside = ((index >= 0) & (index < size)).all(axis=1)
    votes = Votes(TARTANAIR_GRID)
    centers = TARTANAIR_GRID.centers_of(index[inside])
    votes.add(PosedScan(centers, labels[inside], np.eye(4)))
    return _classes(votes)


def fused_scene(
    reference: TartanFrame, others: Iterable[TartanFrame], grid: VoxelGrid = TARTANAIR_GRID
) -> CompletedScene:
    """Fuse frames of a trajectory into the ground truth of one of them.

    A voxel takes the most frequent class of its pixels. A voxel without pixels is free if any image has a depth behind
    it, else unknown.

    Args:
        reference: frame whose ground truth is computed.
        others: frames to merge with it.
        grid: grid of the voxels, in the level frame of `reference` (see `level_frame`).
    """
    grid_from_world = np.linalg.inv(level_frame(reference.world_from_camera))
    votes = Votes(grid)
    free = np.zeros(grid.size, bool)
    seen = np.zeros(grid.size, bool)
    centers = grid.centers().astype(np.float64)
    for number, frame in enumerate((reference, *others)):
        pose = grid_from_world @ frame.world_from_camera
        points, labels = _points(frame)
        votes.add(PosedScan(points, labels, pose))
        carved, surface = _carve(frame.depth, pose, centers, grid)
        free |= carved
        if number == 0:
            seen = carved | surface
    target = _classes(votes)
    occupied = target != EMPTY
    target[~(free | occupied)] = UNKNOWN
    return CompletedScene(target, seen & (target != UNKNOWN))


def _points(frame: TartanFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint16]]:
    """Return pixels with depth as points in the optical frame, `[N, 3]` metres, and class ids plus `_RAW`, `[N]`."""
    row, column = np.nonzero(np.isfinite(frame.depth))
    z = frame.depth[row, column].astype(np.float64)
    fx, fy, cx, cy = INTRINSICS[[0, 1, 0, 1], [0, 1, 2, 2]]
    points = np.stack([(column - cx) / fx * z, (row - cy) / fy * z, z], axis=1)
    return points, (TARTANAIR.from_raw(frame.ids[row, column]) + np.uint16(_RAW)).astype(np.uint16)


def _classes(votes: Votes) -> npt.NDArray[np.uint8]:
    raw = votes.majority()
    return np.where(raw > 0, raw - np.minimum(raw, _RAW), EMPTY).astype(np.uint8)


def _carve(
    depth: npt.NDArray[np.float32], grid_from_camera: Matrix, centers: npt.NDArray[np.float64], grid: VoxelGrid
) -> tuple[Mask, Mask]:
    """Return the voxels in front of the depth of their pixel, and the voxels at that depth, `[X, Y, Z]` bool each."""
    camera_from_grid = np.linalg.inv(grid_from_camera)
    x, y, z = (centers @ camera_from_grid[:3, :3].T + camera_from_grid[:3, 3]).T
    width, height = IMAGE
    fx, fy, cx, cy = INTRINSICS[[0, 1, 0, 1], [0, 1, 2, 2]]
    ahead = np.flatnonzero(z > grid.resolution / 2)
    column = np.rint(x[ahead] / z[ahead] * fx + cx)
    row = np.rint(y[ahead] / z[ahead] * fy + cy)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    voxel = ahead[inside]
    behind = depth[row[inside].astype(np.int64), column[inside].astype(np.int64)] - z[voxel]
    free, surface = np.zeros(grid.count, bool), np.zeros(grid.count, bool)
    free[voxel] = behind > MARGIN * grid.resolution
    surface[voxel] = np.abs(behind) <= MARGIN * grid.resolution
    return free.reshape(grid.size), surface.reshape(grid.size)
