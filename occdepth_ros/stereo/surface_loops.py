"""Compiled loops over matched pixels: surface points, and the number of points by voxel."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled

BLOCK = 64
"""Number of voxels whose counters are set to zero together."""


@compiled
def write_points(disparity: Any, rays: Any, center: Any, size: Any, axes: Any, voxel: Any, pixel: Any) -> int:
    """Write the surface points inside the grid in the order of their pixels; return their number.

    Args:
        disparity: flat disparity map, `[P]` int16; at most 0 without a match.
        rays: displacement of the point by pixel times disparity, `[3, P]` float32, voxel edges.
        center: position of the camera, `[3]` float32, voxel edges.
        size: voxels along x, y, z.
        axes: coordinates, `[3, at least the number of points]` float32, voxel edges.
        voxel, pixel: flat indices, at least as long.
    """
    count = 0
    for at in range(len(disparity)):
        if disparity[at] <= 0:
            continue
        inverse = np.float32(1) / np.float32(disparity[at])
        x = rays[0, at] * inverse + center[0]
        y = rays[1, at] * inverse + center[1]
        z = rays[2, at] * inverse + center[2]
        if 0 <= x < size[0] and 0 <= y < size[1] and 0 <= z < size[2]:
            axes[0, count], axes[1, count], axes[2, count] = x, y, z
            voxel[count] = (np.int64(x) * size[1] + np.int64(y)) * size[2] + np.int64(z)
            pixel[count] = at
            count += 1
    return count


@compiled
def write_hits(voxel: Any, used: Any, counters: Any, voxels: Any, hits: Any) -> int:
    """Write the voxels that contain points, ascending, and the number of points in each; return their number.

    Args:
        voxel: flat voxel of each point, `[N]`.
        used: whether a block of `BLOCK` voxels contains points, initially False.
        counters: one for each voxel of these blocks, int32, with any content.
        voxels, hits: `[at least the number of voxels]`.
    """
    for i in range(len(voxel)):
        block = voxel[i] // BLOCK
        if not used[block]:
            used[block] = True
            counters[block * BLOCK : (block + 1) * BLOCK] = 0
        counters[voxel[i]] += 1
    count = 0
    for block in range(len(used)):
        if used[block]:
            for at in range(block * BLOCK, (block + 1) * BLOCK):
                if counters[at] > 0:
                    voxels[count], hits[count] = at, counters[at]
                    count += 1
    return count
