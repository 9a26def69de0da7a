"""Encoder of px4_msgs/ObstacleDistance: the distance to the nearest obstacle in each of 72 sectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

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
SPREAD = 2
"""Sectors to each side that a sector stands for. PX4's CollisionPrevention at 001d722 has 36 directions, and reads for
each the sector at which it begins; in later releases, a direction takes the last known sector that overlaps with it."""
SPLIT = 3
"""Points of a voxel along each axis. A voxel of 0.2 m spans several sectors near the origin, and the ring from 1 to 2 m
of the sector ahead contains no centre of such voxels."""
_T = TypeVar("_T", bound=np.generic)


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

    Only voxels that were seen count. The distance of a sector is that of the nearest obstacle within `SPREAD` sectors
    of it. Without such an obstacle, the sector is free (`max_distance` + 1) if all these sectors were seen free in
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
    points = _polar(grid, min_distance, max_distance)
    blocked = _any_of(occupied, layers)[points.columns]
    nearest = np.full(SECTORS, np.inf)
    np.minimum.at(nearest, points.sector[blocked], points.distance[blocked] - grid.resolution / (2 * SPLIT))

    observed = np.zeros(SECTORS * points.rings, bool)
    seen = _any_of(free, layers)[points.columns]
    observed[points.cells[seen[points.owner]]] = True
    is_free = _around(np.asarray(observed.reshape(SECTORS, -1).all(axis=1)))
    nearest = _around(nearest)
    out = np.where(is_free, round(100 * max_distance) + 1, UNKNOWN_CM)
    hit = nearest <= max_distance
    out[hit] = np.rint(100 * nearest[hit].clip(0)).astype(np.int64)
    return out.astype(np.uint16)


def _any_of(voxels: npt.NDArray[np.bool_], layers: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return whether a column has a voxel in these layers, `[X * Y]`."""
    found = np.zeros(voxels.shape[:2], bool)
    for layer in layers:  # ten times as fast as `any`, which works on a few values at a time
        found |= voxels[:, :, layer]
    return found.ravel()


def _around(sectors: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """Return the minimum of each sector and of those within `SPREAD` of it, `[72]`."""
    return np.min([np.roll(sectors, shift) for shift in range(-SPREAD, SPREAD + 1)], axis=0)


@dataclass(frozen=True)
class _Points:
    """`SPLIT` x `SPLIT` points in each of the N columns up to a distance of the origin.

    Args:
        columns: flat indices of the columns, `[N]`.
        sector, distance: of their points, distances in metres, `[N, SPLIT ** 2]`.
        rings: number R of rings.
        cells: flat indices `[sector, ring]` of the rings that each column is part of, `[K]`.
        owner: index of this column among the N, `[K]`.
    """

    columns: npt.NDArray[np.int64]
    sector: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float64]
    rings: int
    cells: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]


@lru_cache(maxsize=4)
def _polar(grid: VoxelGrid, min_distance: float, max_distance: float) -> _Points:
    near = np.hypot(grid.axis_centers(0)[:, None], grid.axis_centers(1)) < max_distance + grid.resolution
    columns = np.argwhere(near)
    offsets = ((np.arange(SPLIT) + 0.5) / SPLIT - 0.5) * grid.resolution
    dx, dy = (offset.ravel() for offset in np.meshgrid(offsets, offsets))
    x = grid.axis_centers(0)[columns[:, 0], None] + dx
    y = grid.axis_centers(1)[columns[:, 1], None] + dy
    sector = np.rint(-np.degrees(np.arctan2(y, x)) / INCREMENT_DEG).astype(np.int64) % SECTORS
    distance = np.hypot(x, y)
    ring = np.floor((distance - min_distance) / RING_M).astype(np.int64)
    rings = max(1, int(np.ceil((max_distance - min_distance) / RING_M)))
    owner, point = np.nonzero((ring >= 0) & (ring < rings))
    # most points of a column are in the same cell
    pairs = np.unique(np.stack([owner, sector[owner, point] * rings + ring[owner, point]]), axis=1)
    return _Points(np.flatnonzero(near), sector, distance, rings, pairs[1], pairs[0])
