"""Cells of all levels of an octree over a dense grid, pooled from the finest to the coarsest level.

A cell is an unsigned integer: 0 is unknown (no node), the maximum of its type is an inner node, and any other value is
a leaf. Eight equal leaves are merged into one leaf of the level above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.outputs.octree.lattice import DEPTH, Shape

Cells = npt.NDArray[np.unsignedinteger[Any]]
Index = npt.NDArray[np.int64]
_ONE, _TWO = np.uint64(1), np.uint64(2)


@dataclass(frozen=True)
class Layout:
    """Layout of the levels of an octree. Level 0 has the finest cells, level 16 the root.

    Every level is padded to even keys, so that the eight children of a cell exist or are all absent.

    Args:
        shape: padded shape of each level, `[17, 3]`.
        start: flat index of each level's first cell in one array of the levels from 1 on, and the number of these
            cells, `[18]`; 0 for level 0, which is a separate array.
        base: child index along each axis of the first child of cell 0, `[17, 3]`; the first children of cell i are at
            `base + 2 i` in the level below.
        child: flat offset of each child relative to the first, by child index, for each level of children, `[17, 8]`.
        inside: slices of the grid in the finest level.
        before: padding before the parents of the level below, `[17, 3]`.
    """

    shape: Index
    start: Index
    base: Index
    child: Index
    inside: tuple[slice, ...]
    before: Index


@lru_cache(maxsize=8)
def layout_of(low: Shape, size: Shape) -> Layout:
    """Return the layout of the cells with keys from `low` to `low + size`."""
    first, shape = np.array(low, np.int64), np.array(size, np.int64)
    shapes, lows, padding = [], [], []
    for _ in range(DEPTH + 1):
        before = first & 1
        padded = shape + before + ((first + shape) & 1)
        shapes.append(padded)
        lows.append(first - before)
        padding.append(before)
        first, shape = first >> 1, padded // 2
    every, keys = np.array(shapes), np.array(lows)
    start = np.concatenate([[0, 0], np.cumsum(every[1:].prod(axis=1))])
    base = np.zeros_like(keys)
    base[1:] = 2 * keys[1:] - keys[:-1]
    corner = np.arange(8)
    child = ((corner & 1) * every[:, 1:2] + (corner >> 1 & 1)) * every[:, 2:3] + (corner >> 2)
    before = np.array(padding)
    inside = tuple(slice(b, b + n) for b, n in zip(before[0].tolist(), size, strict=True))
    return Layout(every, start, base, child, inside, before)


def padded(finest: Cells, layout: Layout) -> Cells:
    """Return the finest cells, `[X, Y, Z]`, with the padding of level 0, contiguous; the array itself if it needs no
    padding."""
    if tuple(layout.shape[0]) == finest.shape:
        return np.ascontiguousarray(finest)
    cells = np.zeros(layout.shape[0], finest.dtype)
    cells[layout.inside] = finest
    return cells


def inner_mark(dtype: np.dtype[Any]) -> int:
    """Return the cell value of an inner node."""
    return int(np.iinfo(dtype).max)


def build(finest: Cells, layout: Layout) -> tuple[Cells, int]:
    """Pool the cells of an octree.

    Args:
        finest: cells of level 0 with its padding, contiguous.
        layout: layout of the levels.

    Returns:
        The cells of the levels from 1 on, flat, and the number of nodes below the root.
    """
    cells: Cells = np.zeros(int(layout.start[-1]), finest.dtype)
    return cells, _pool(finest.reshape(-1), cells, layout.shape, layout.start, layout.before, inner_mark(finest.dtype))


@compiled
def _pool(finest: Cells, cells: Cells, shape: Index, start: Index, before: Index, mark: int) -> int:
    """Set the cells of all levels from 1 on; return the number of nodes below the root.

    The parent of eight equal cells has their value; any other parent is an inner node.

    Args:
        finest: cells of level 0, flat.
        cells: cells of the other levels, flat zeros, written.
        shape, start, before: those of the `Layout`.
        mark: cell of an inner node.
    """
    children = 0
    for level in range(DEPTH):
        below = finest if level == 0 else cells[start[level] : start[level + 1]]
        above = cells[start[level + 1] :]
        ny, nz = shape[level, 1], np.uint64(shape[level, 2])
        for x in range(shape[level, 0] // 2):
            for y in range(ny // 2):
                # unsigned indices are not checked for a negative sign
                a = np.uint64(2 * x * ny + 2 * y) * nz
                b, c = a + nz, a + np.uint64(ny) * nz
                d = c + nz
                to = ((x + before[level + 1, 0]) * shape[level + 1, 1] + y + before[level + 1, 1]) * shape[level + 1, 2]
                to = np.uint64(to + before[level + 1, 2])
                for _ in range(nz >> np.uint64(1)):
                    first = below[a]
                    differ = (first ^ below[a + _ONE]) | (first ^ below[b]) | (first ^ below[b + _ONE])
                    differ |= (first ^ below[c]) | (first ^ below[c + _ONE])
                    differ |= (first ^ below[d]) | (first ^ below[d + _ONE])
                    if differ == 0 and first != mark:
                        above[to] = first
                    else:
                        above[to] = mark
                        children += (first != 0) + (below[a + _ONE] != 0) + (below[b] != 0) + (below[b + _ONE] != 0)
                        children += (below[c] != 0) + (below[c + _ONE] != 0)
                        children += (below[d] != 0) + (below[d + _ONE] != 0)
                    a, b, c, d, to = a + _TWO, b + _TWO, c + _TWO, d + _TWO, to + _ONE
    return children
