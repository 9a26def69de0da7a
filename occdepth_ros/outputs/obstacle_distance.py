"""Encoder of px4_msgs/ObstacleDistance: the distance to the nearest obstacle in each of 72 sectors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.selection import Selection, select
from occdepth_ros.prediction import OccupancyPrediction

SECTORS = 72
INCREMENT_DEG = 360 / SECTORS
UNKNOWN_CM = 65535
BODY_FRD = 12
RING_M = 1.0
"""Width of the rings in which a sector must be seen to count as free, metres."""


def encode_obstacle_distance(
    prediction: OccupancyPrediction,
    min_confidence: float = 0.0,
    *,
    half_height: float = 0.5,
    min_distance: float = 1.0,
    max_distance: float = 12.0,
) -> bytes:
    """Return a serialised px4_msgs/ObstacleDistance about the origin of the grid's frame, whose x axis is forward.

    Arguments are those of `sector_distances`.
    """
    distances = sector_distances(
        prediction, min_confidence, half_height=half_height, min_distance=min_distance, max_distance=max_distance
    )
    message = CdrWriter()
    message.primitives("QBB", prediction.stamp_ns // 1000, BODY_FRD, 0)
    message.primitives("H" * SECTORS, *distances.tolist())
    message.primitives("fHHf", INCREMENT_DEG, round(100 * min_distance), round(100 * max_distance), 0.0)
    return message.finish()


def sector_distances(
    prediction: OccupancyPrediction,
    min_confidence: float = 0.0,
    *,
    half_height: float = 0.5,
    min_distance: float = 1.0,
    max_distance: float = 12.0,
) -> npt.NDArray[np.uint16]:
    """Return the distance of each sector in centimetres, `[72]`; sector 0 is forward, the next is to its right.

    Only voxels that were seen count. A sector without an obstacle is free (`max_distance` + 1) if it was seen free in
    every ring of `RING_M` from `min_distance` to `max_distance`; otherwise it is unknown (65535).

    Args:
        prediction: labels and visibility.
        min_confidence: probability below which a voxel is unknown, 0..1.
        half_height: voxels up to this distance above and below the origin of the grid's frame count, metres.
        min_distance, max_distance: range of the sensor, metres.
    """
    occupied, free = select(prediction, Selection("seen", min_confidence))
    grid = prediction.grid
    layers = np.flatnonzero(np.abs(grid.axis_centers(2)) <= half_height)
    band = slice(layers[0], layers[-1] + 1) if len(layers) else slice(0, 0)
    sector, distance = _polar(grid)
    blocked = np.flatnonzero(occupied[:, :, band].any(axis=2))
    nearest = np.full(SECTORS, np.inf)
    np.minimum.at(nearest, sector[blocked], distance[blocked] - grid.resolution / 2)

    ring = np.floor((distance - min_distance) / RING_M).astype(np.int64)
    rings = max(1, int(np.ceil((max_distance - min_distance) / RING_M)))
    within = (ring >= 0) & (ring < rings)
    exists = np.zeros((SECTORS, rings), bool)
    exists[sector[within], ring[within]] = True
    seen = within & free[:, :, band].any(axis=2).reshape(-1)
    observed = np.zeros((SECTORS, rings), bool)
    observed[sector[seen], ring[seen]] = True
    is_free = exists.all(axis=1) & observed.all(axis=1)
    out = np.where(is_free, round(100 * max_distance) + 1, UNKNOWN_CM)
    hit = nearest <= max_distance
    out[hit] = np.rint(100 * nearest[hit].clip(0)).astype(np.int64)
    return out.astype(np.uint16)


@lru_cache(maxsize=4)
def _polar(grid: VoxelGrid) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return sector and distance (metres) of the centre of each column, `[X * Y]` each."""
    x, y = np.meshgrid(grid.axis_centers(0), grid.axis_centers(1), indexing="ij")
    clockwise = -np.degrees(np.arctan2(y, x))
    return np.rint(clockwise / INCREMENT_DEG).astype(np.int64).ravel() % SECTORS, np.hypot(x, y).ravel()
