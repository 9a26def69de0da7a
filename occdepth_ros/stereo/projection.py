"""Projection of voxel centres into a camera (OccDepth, section 3.2, first step of Stereo-SFA)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.projection_loops import project

_CROSS = ((0, -1), (-1, 0), (1, 0), (0, 1))
_DIAGONALS = ((-1, -1), (1, 1), (-1, 1), (1, -1))
_CITY_BLOCK_2 = ((0, -2), (-1, -1), (1, -1), (-2, 0), (2, 0), (-1, 1), (1, 1), (0, 2))
_CORNERS_2 = ((-2, -2), (-2, 2), (2, -2), (2, 2))
_KNIGHTS_3 = ((-3, -1), (-3, 1), (3, -1), (3, 1), (1, -3), (-1, -3), (1, 3), (-1, 3))

PATTERNS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((0, 0),),
    ((0, 0), *_CROSS),
    ((0, 0), *_DIAGONALS),
    # one neighbour occurs twice and one is missing, as in published code under this number
    ((0, 0), (-1, -1), (-1, 0), (-1, 1), (-1, 0), (0, 1), (1, -1), (1, 0), (1, 1)),
    ((0, 0), *_CITY_BLOCK_2),
    ((0, 0), *_CITY_BLOCK_2, *_CORNERS_2),
    ((0, 0), *((x, y) for x in range(-2, 3) for y in range(-2, 3) if (x, y) != (0, 0))),
    # the residual pattern of direct sparse odometry (Engel et al., 2018)
    ((0, 0), *(offset for offset in _CITY_BLOCK_2 if offset != (1, 1))),
    ((0, 0), *_CITY_BLOCK_2, *_CORNERS_2, *_KNIGHTS_3),
)
"""Pixel patterns by number: (column, row) offsets around a voxel's pixel, centre first."""


FAR_M = 500.0
"""Coordinate of a grid's origin from which float32 is not used, because its resolution is coarser than a thirtieth of a
millimetre."""


@dataclass(frozen=True)
class VoxelPixels:
    """Projection of the voxels of a grid into one image; arrays are in C order of the grid's (x, y, z).

    Args:
        column, row: pixel of the voxel centre, `[N]` int64, rounded half to even; may lie outside the image.
        depth: z of the centre in the camera frame, `[N]` float64, metres.
        visible: inside the image and in front of the camera, `[N]`.
    """

    column: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    depth: npt.NDArray[np.float64]
    visible: npt.NDArray[np.bool_]


def _published(grid: VoxelGrid) -> VoxelGrid:
    """Return a grid whose voxel centres are those of the published training: the origin is rounded to float32 first.

    The difference is a micrometre, but it moves some voxels to the adjacent pixel.
    """
    x, y, z = (float(np.float32(value)) for value in grid.origin)
    return replace(grid, origin=(x, y, z))


def rebased(grid: VoxelGrid, camera_from_grid: Matrix) -> tuple[VoxelGrid, Matrix]:
    """Return the same voxels with coordinates that float32 represents accurately, and their pose `[4, 4]`.

    Far from the origin of its frame, as in a map frame, the centres of a grid in float32 have errors of centimetres;
    the translation to the grid's corner is then moved into the pose. Otherwise nothing changes, because published
    networks were trained with the rounded centres.
    """
    if max(map(abs, grid.origin)) <= FAR_M:
        return grid, camera_from_grid
    pose = np.array(camera_from_grid, np.float64)
    pose[:3, 3] += pose[:3, :3] @ grid.origin
    return replace(grid, origin=(0.0, 0.0, 0.0)), pose


def project_voxels(grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix) -> VoxelPixels:
    """Project all voxel centres of `grid` into `camera`.

    Args:
        grid: the voxels.
        camera: intrinsics and image size; only fx, fy, cx, cy are used, rounded to float32 as in the published
            training.
        camera_from_grid: pose of the grid's frame in the camera's optical frame, `[4, 4]`.
    """
    k = camera.intrinsics.astype(np.float32).astype(np.float64)
    grid, pose = rebased(grid, camera_from_grid)
    axes = tuple(_published(grid).axis_centers(axis).astype(np.float32).astype(np.float64) for axis in range(3))
    column, row = np.empty((2, grid.count), np.int64)
    depth, visible = np.empty(grid.count), np.empty(grid.count, bool)
    focal = np.array((k[0, 0], k[1, 1], k[0, 2], k[1, 2]))
    project(axes, np.asarray(pose, np.float64), focal, camera.width, camera.height, column, row, depth, visible)
    return VoxelPixels(column, row, depth, visible)


def pattern_pixels(
    pixels: VoxelPixels, camera: PinholeCamera, pattern: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Expand the pixel of every voxel to a pattern of P pixels.

    Args:
        pixels: projections of the N voxel centres.
        camera: camera with the image size.
        pattern: index into `PATTERNS`.

    Returns:
        column and row `[N, P]`, and whether each is in the image and its voxel in front of the camera `[N, P]`.

    Raises:
        ModelError: there is no such pattern.
    """
    if not 0 <= pattern < len(PATTERNS):
        raise ModelError(f"there is no pixel pattern {pattern}", remedy=f"Choose 0 to {len(PATTERNS) - 1}.")
    dx, dy = np.array(PATTERNS[pattern]).T
    column = pixels.column[:, None] + dx
    row = pixels.row[:, None] + dy
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    return column, row, inside & (pixels.depth > 0)[:, None]
