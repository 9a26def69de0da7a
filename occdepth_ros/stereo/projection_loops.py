"""Compiled loop over the voxels of a grid that projects their centres into a camera."""

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
