"""Compiled loop over points that projects them into a camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled

NEAREST_M = 0.1
"""Smallest depth of a visible point, metres."""


@compiled
def write_pixels(points: Any, focal: Any, width: int, height: int, column: Any, row: Any, visible: Any) -> None:
    """Write pixel and visibility of each point; the pixels of invisible points are unchanged.

    Args:
        points: in the camera's optical frame, `[N, 3]` float64, metres.
        focal: fx, fy, cx, cy, float64.
        width, height: of the image, pixels.
        column, row, visible: `[N]`, written.
    """
    for i in range(len(points)):
        depth = points[i, 2]
        visible[i] = False
        if depth > NEAREST_M:
            u = np.rint(points[i, 0] / depth * focal[0] + focal[2])
            v = np.rint(points[i, 1] / depth * focal[1] + focal[3])
            if 0 <= u < width and 0 <= v < height:
                column[i], row[i], visible[i] = np.int32(u), np.int32(v), True
