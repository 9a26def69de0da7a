"""Distances to the nearest occupied voxel of a map, in a box (Euclidean distance transform, package `edt`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.errors import GridError, OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction

MAX_VOXELS = 64 << 20
DEFAULT_MAX_M = 5.0
Point = tuple[float, float, float]


@dataclass(frozen=True)
class DistanceField:
    """Distances between the centres of voxels.

    Args:
        origin: minimum corner of the first voxel, metres.
        resolution: edge of a voxel, metres.
        distances: `[X, Y, Z]` float32, metres; 0 in occupied voxels.
    """

    origin: Point
    resolution: float
    distances: npt.NDArray[np.float32]


def distance_field(
    snapshot: OccupancyPrediction,
    low: Point,
    high: Point,
    max_distance: float = DEFAULT_MAX_M,
    *,
    unknown_is_occupied: bool = False,
) -> DistanceField:
    """Return the distances of all voxels whose centres lie in a box; obstacles outside the box count as well.

    Args:
        snapshot: the map.
        low, high: corners of the box in the frame of the map, metres; any order.
        max_distance: upper limit of the distances, metres.
        unknown_is_occupied: whether distances to unknown voxels count; voxels outside the map are unknown.

    Raises:
        OccDepthError: the package `edt` is not installed.
        GridError: the box or the limit is not finite, or the box is empty or too large.
    """
    try:
        import edt
    except ImportError as error:
        raise OccDepthError(
            "the package edt is not installed", where="distance_field", remedy="Install it: pip install edt"
        ) from error
    grid, r = snapshot.grid, snapshot.grid.resolution
    if not np.isfinite([*low, *high, max_distance]).all() or max_distance <= 0:
        raise GridError("the box or the maximum distance is not a finite number", where="distance_field")
    first, last = _voxels(grid, np.minimum(low, high), np.maximum(low, high))
    margin = int(np.ceil(max_distance / r))
    size = last - first + 1
    if (size <= 0).any() or np.prod(size + 2.0 * margin) > MAX_VOXELS:
        raise GridError(
            f"the box has {' x '.join(f'{max(n, 0):.0f}' for n in size)} voxels and a margin of {margin}",
            where="distance_field",
            remedy="Give a box of at least one voxel, and smaller than about 80 x 80 x 20 m.",
        )
    start = (first - margin).astype(np.int64)
    labels = _cropped(snapshot.labels, start, (size + 2 * margin).astype(np.int64))
    is_free = labels == 0
    if not unknown_is_occupied:
        is_free |= labels == UNKNOWN
    found = edt.edt(is_free, anisotropy=(r, r, r), black_border=False, order="C")
    inner = tuple(slice(margin, margin + int(n)) for n in size)
    distances = np.minimum(found[inner], np.float32(max_distance)).astype(np.float32)
    x, y, z = (float(o + r * n) for o, n in zip(grid.origin, first, strict=True))
    return DistanceField((x, y, z), r, np.ascontiguousarray(distances))


def _voxels(
    grid: VoxelGrid, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the first and the last voxel index whose centre lies between two corners, `[3]` each, as floats."""
    origin = np.asarray(grid.origin)
    return np.ceil((low - origin) / grid.resolution - 0.5), np.floor((high - origin) / grid.resolution - 0.5)


def _cropped(
    labels: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], size: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """Return the labels of a box; voxels outside the map are unknown."""
    out = np.full(tuple(size), UNKNOWN, np.uint8)
    begin, end = np.maximum(start, 0), np.minimum(start + size, labels.shape)
    if (begin < end).all():
        inside = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
        target = tuple(slice(a, b) for a, b in zip(begin - start, end - start, strict=True))
        out[target] = labels[inside]
    return out
