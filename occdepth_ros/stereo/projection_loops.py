"""Compiled loops over the voxels of a grid that project their centres into a camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled

LIMIT = np.float64(2**31)
"""Magnitude to which pixels far outside the image are limited."""


@compiled
def project(
    axes: Any, pose: Any, focal: Any, width: int, height: int, column: Any, row: Any, depth: Any, visible: Any
) -> None:
    """Write the projections of all voxels in C order; see `occdepth_ros.stereo.projection.VoxelPixels`.

    Args:
        axes: coordinates of the voxel centres along x, y and z, three arrays, float64 metres.
        pose: of the grid's frame in the camera's optical frame, `[4, 4]` float64.
        focal: fx, fy, cx, cy, float64.
        width, height: of the image, pixels.
        column, row, depth, visible: `[N]`, written.
    """
    at = 0
    for x in axes[0]:
        for y in axes[1]:
            for z in axes[2]:
                forward = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
                right = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]
                down = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]
                u = np.rint(right * focal[0] / forward + focal[2])
                v = np.rint(down * focal[1] / forward + focal[3])
                depth[at] = forward
                visible[at] = forward > 0 and 0 <= u < width and 0 <= v < height
                column[at] = np.int64(-1) if np.isnan(u) else np.int64(min(max(u, -LIMIT), LIMIT))
                row[at] = np.int64(-1) if np.isnan(v) else np.int64(min(max(v, -LIMIT), LIMIT))
                at += 1


@compiled
def write_cells(
    axes: Any, pose: Any, focal: Any, width: int, height: int, cell: int, across: int, cell_of: Any, depth: Any
) -> None:
    """Write the image cell and the depth of all voxels in C order, cell -1 outside the view.

    Args:
        axes, pose, focal, width, height: as of `project`, in float32.
        cell: edge of a cell, pixels.
        across: number of cells in a row of the image.
        cell_of: flat cell of each voxel, `[N]` int32, written.
        depth: metres, `[N]` float32, written where the voxel is in view.
    """
    half = np.float32(0.5)
    at = 0
    for x in axes[0]:
        for y in axes[1]:
            for z in axes[2]:
                cell_of[at] = -1
                forward = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
                if forward > 0:
                    u = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) * focal[0] / forward + focal[2]
                    v = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) * focal[1] / forward + focal[3]
                    if -half < u < width - half and -half < v < height - half:
                        cell_of[at] = np.int32((v + half) / cell) * across + np.int32((u + half) / cell)
                        depth[at] = forward
                at += 1


@compiled
def sort_by_cell(cell_of: Any, depth: Any, bounds: Any, voxels: Any, depths: Any) -> None:
    """Write the voxels in view by cell, in each cell ascending.

    Args:
        cell_of: flat cell of each voxel, -1 = not in view, `[N]`.
        depth: metres, `[N]`.
        bounds: index of the first voxel of each of C cells in the result, followed by their number, `[C + 1]`.
        voxels, depths: flat indices and depths, written.
    """
    place = bounds.copy()
    for voxel in range(len(cell_of)):
        cell = cell_of[voxel]
        if cell >= 0:
            voxels[place[cell]], depths[place[cell]] = voxel, depth[voxel]
            place[cell] += 1
