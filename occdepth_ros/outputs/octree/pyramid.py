"""Cells of all levels of an octree over a dense grid, pooled from the finest level upwards.

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


@dataclass(frozen=True)
class Layout:
    """Place of each level of a pyramid in one flat array. Level 0 has the finest cells, level 16 the root.

    Every level is padded to even keys, so that the eight children of a cell exist or are all absent.

    Args:
        shape: padded shape of each level, `[17, 3]`.
        start: flat index of each level's first cell, and the number of all cells, `[18]`.
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
    start = np.concatenate([[0], np.cumsum(every.prod(axis=1))])
    base = np.zeros_like(keys)
    base[1:] = 2 * keys[1:] - keys[:-1]
    corner = np.arange(8)
    child = ((corner & 1) * every[:, 1:2] + (corner >> 1 & 1)) * every[:, 2:3] + (corner >> 2)
    before = np.array(padding)
    inside = tuple(slice(b, b + n) for b, n in zip(before[0].tolist(), size, strict=True))
    return Layout(every, start, base, child, inside, before)


@dataclass(frozen=True)
class Pyramid:
    """Cells of all levels.

    Args:
        layout: where they are.
        cells: flat array of all levels.
        inner: number of inner nodes.
        nodes: number of all nodes except the root.
    """

    layout: Layout
    cells: Cells
    inner: int
    nodes: int

    @property
    def root(self) -> int:
        """Cell of the root: 0 where all cells are unknown."""
        return int(self.cells[self.layout.start[DEPTH]])


def inner_mark(dtype: np.dtype[Any]) -> int:
    """Return the cell value of an inner node."""
    return int(np.iinfo(dtype).max)


def build(finest: Cells, low: Shape) -> Pyramid:
    """Build the pruned octree over dense cells.

    Args:
        finest: `[X, Y, Z]` uint8 or uint16.
        low: key of cell (0, 0, 0).
    """
    layout = layout_of(low, finest.shape)
    cells: Cells = np.zeros(int(layout.start[-1]), finest.dtype)
    levels = [
        cells[a:b].reshape(shape) for a, b, shape in zip(layout.start[:-1], layout.start[1:], layout.shape, strict=True)
    ]
    levels[0][layout.inside] = finest
    mark = inner_mark(finest.dtype)
    inner = nodes = 0
    for below, level, before in zip(levels[:-1], levels[1:], layout.before[1:].tolist(), strict=True):
        parents, children = _pool(below, level, before[0], before[1], before[2], mark)
        inner, nodes = inner + parents, nodes + children
    return Pyramid(layout, cells, inner, nodes)


@compiled
def _pool(cells: Cells, level: Cells, first_x: int, first_y: int, first_z: int, mark: int) -> tuple[int, int]:
    """Set the parents of cells; return the number of inner nodes among them, and of their children.

    The parent of eight equal cells has their value; any other parent is an inner node.

    Args:
        cells: `[X, Y, Z]`, even sizes.
        level: cells of the level above, written.
        first_x, first_y, first_z: index of the first parent in `level`.
        mark: cell of an inner node.
    """
    inner = children = 0
    for x in range(cells.shape[0] // 2):
        for y in range(cells.shape[1] // 2):
            parents = level[first_x + x, first_y + y, first_z:]
            a, b = cells[2 * x, 2 * y], cells[2 * x, 2 * y + 1]
            c, d = cells[2 * x + 1, 2 * y], cells[2 * x + 1, 2 * y + 1]
            for z in range(cells.shape[2] // 2):
                i, k = 2 * z, 2 * z + 1
                both = a[i] | a[k] | b[i] | b[k] | c[i] | c[k] | d[i] | d[k]
                if both == a[i] & a[k] & b[i] & b[k] & c[i] & c[k] & d[i] & d[k] and both != mark:
                    parents[z] = both
                    continue
                parents[z] = mark
                inner += 1
                children += (a[i] != 0) + (a[k] != 0) + (b[i] != 0) + (b[k] != 0)
                children += (c[i] != 0) + (c[k] != 0) + (d[i] != 0) + (d[k] != 0)
    return inner, children
