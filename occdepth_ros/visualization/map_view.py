"""The fused map from above, with the track of the vehicle."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization.canvas import ImageArray

UNKNOWN_GREY, FREE_GREY = 128, 245
MAX_SIDE = 1600
"""Longer side of the figure, pixels."""
TRACK_COLOR = (220, 20, 60)


def draw_map(snapshot: OccupancyPrediction, positions: Sequence[tuple[float, float]]) -> ImageArray:
    """Draw the highest occupied voxel of each column in its class colour, shaded by height.

    Completed voxels are drawn lighter than seen ones, free columns nearly white, unknown columns grey. North of the
    figure is x, west is y.

    Args:
        snapshot: the map.
        positions: track of the vehicle in the map's frame, metres.

    Returns:
        `[H, W, 3]` RGB uint8.
    """
    labels, grid = snapshot.labels, snapshot.grid
    height = grid.size[2]
    occupied = snapshot.occupied
    top = height - 1 - np.argmax(occupied[:, :, ::-1], axis=2)
    filled = occupied.any(axis=2)
    columns = np.ix_(np.arange(grid.size[0]), np.arange(grid.size[1]))
    label = labels[columns[0], columns[1], top]
    color = snapshot.classes.colors[label].astype(np.float32)
    color *= (0.55 + 0.45 * top / max(1, height - 1))[..., None]
    completed = snapshot.completed[columns[0], columns[1], top]
    color[completed] = 0.5 * color[completed] + 0.5 * 235
    known = (labels != UNKNOWN).any(axis=2)
    color[~filled] = np.where(known[~filled, None], FREE_GREY, UNKNOWN_GREY)
    plan = np.ascontiguousarray(color.clip(0, 255).astype(np.uint8)[::-1, ::-1])
    scale = min(MAX_SIDE / max(plan.shape[:2]), 4.0)
    figure = np.asarray(cv2.resize(plan, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST), np.uint8).copy()
    cells = (np.asarray(positions, np.float64).reshape(-1, 2) - grid.origin[:2]) / grid.resolution
    pixels = np.stack([grid.size[1] - cells[:, 1], grid.size[0] - cells[:, 0]], axis=1) * scale
    cv2.polylines(figure, [np.rint(pixels).astype(np.int32)], False, TRACK_COLOR, 2, cv2.LINE_AA)
    return figure
