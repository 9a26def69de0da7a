"""Alignment of a dense grid with an octree: keys, padding and child offsets of every level.

OctoMap (Hornung et al., Autonomous Robots 2013) numbers the finest cells with a 16-bit key per axis,
`key = floor(coordinate / resolution) + 32768`; bit 0 of a child's index is x, bit 1 y, bit 2 z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid

DEPTH = 16
"""Number of levels below the root. The cells of a `VoxelGrid` are leaves of the deepest level."""

KEY_ORIGIN = 1 << (DEPTH - 1)
"""Key of the cell with its lower corner at coordinate 0."""

SNAP = 1e-3
"""Maximum distance of the grid's origin from the octree's lattice, in voxels."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class LevelLayout:
    """Padding of the cells of one level to complete blocks of 2x2x2.

    Args:
        shape: padded shape; all sizes are even.
        inside: slices of the cells in the padded array.
        whole: whether the level needs no padding.
        child: for every cell of the padded level, the flat index of its first child in the padded level below;
            empty at the finest level.
        offset: flat index of the eight children relative to the first, by child index.
    """

    shape: Shape
    inside: tuple[slice, slice, slice]
    whole: bool
    child: npt.NDArray[np.intp]
    offset: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Layout:
    """Layout of a grid in the levels of an octree, up to the level with at most two cells along each axis.

    Args:
        levels: layouts from the finest level (0) to the level below `tops`.
        tops: key of each cell at the level above `levels`, in depth-first order.
        index: flat indices of `tops` in the cells of their level.
        child: flat index of the first child of each of `tops` in the highest padded level of `levels`.
    """

    levels: tuple[LevelLayout, ...]
    tops: tuple[Shape, ...]
    index: npt.NDArray[np.intp]
    child: npt.NDArray[np.intp]


def lattice_key(grid: VoxelGrid) -> Shape:
    """Return the key of voxel (0, 0, 0). An origin within `SNAP` voxels of the lattice is snapped to it.

    Raises:
        GridError: the origin is not on the octree's lattice, or the grid exceeds the octree's 65536 cells per axis.
    """
    shift = np.asarray(grid.origin) / grid.resolution
    whole = np.rint(shift)
    if np.abs(shift - whole).max() > SNAP:
        raise GridError(
            f"the origin {grid.origin} is not a whole number of {grid.resolution} m voxels from 0",
            where="grid",
            remedy="Move the origin to a multiple of the resolution, as OctoMap requires.",
        )
    low = whole + KEY_ORIGIN
    if low.min() < 0 or (low + grid.size).max() > 2 * KEY_ORIGIN:
        raise GridError(
            f"the grid from {grid.origin} exceeds the {2 * KEY_ORIGIN} cells per axis of an OctoMap",
            where="grid",
            remedy="Move the origin closer to 0, or use a coarser resolution.",
        )
    return int(low[0]), int(low[1]), int(low[2])


@lru_cache(maxsize=8)
def layout_of(low: Shape, size: Shape) -> Layout:
    """Return the layout of the cells with keys from `low` to `low + size`."""
    result: list[LevelLayout] = []
    while not result or max(size) > 2:
        before = tuple(a & 1 for a in low)
        shape = tuple(n + b + ((a + n) & 1) for a, n, b in zip(low, size, before, strict=True))
        inside = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
        child = np.empty(0, np.intp)
        if result:
            # Indices of padded cells may be negative; they are never read.
            child = _first_children(result[-1].shape, *(np.arange(n) - b for n, b in zip(shape, before, strict=True)))
        corner = np.arange(8)
        offset = ((corner & 1) * shape[1] + (corner >> 1 & 1)) * shape[2] + (corner >> 2)
        result.append(LevelLayout(shape, inside, shape == size, child, offset))  # type: ignore[arg-type]
        low = (low[0] >> 1, low[1] >> 1, low[2] >> 1)
        size = (shape[0] // 2, shape[1] // 2, shape[2] // 2)  # type: ignore[misc]
    corners = [(low[0] + x, low[1] + y, low[2] + z) for x, y, z in np.ndindex(size)]
    order = sorted(range(len(corners)), key=lambda top: _walk_order(corners[top]))
    child = _first_children(result[-1].shape, *(np.arange(n) for n in size))
    index = np.array(order, np.intp)
    return Layout(tuple(result), tuple(corners[top] for top in order), index, child.take(index))


def _first_children(below: tuple[int, ...], *index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    x, y, z = (2 * axis for axis in index)
    return (((x[:, None] * below[1]) + y)[:, :, None] * below[2] + z).ravel()


def _walk_order(key: Shape) -> list[int]:
    """Return the child indices on the path from the root to a cell."""
    x, y, z = key
    return [(x >> bit & 1) | (y >> bit & 1) << 1 | (z >> bit & 1) << 2 for bit in range(DEPTH - 1, -1, -1)]
