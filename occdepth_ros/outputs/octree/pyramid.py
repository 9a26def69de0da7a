"""Construction of a pruned octree from dense cells by pooling from the finest level upwards.

A cell is an unsigned integer: 0 is unknown (no node), the maximum of its type is an inner node, and any other value is
a leaf. Eight equal leaves are merged into one leaf of the level above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.outputs.octree.lattice import LevelLayout, Shape, layout_of

Cells = npt.NDArray[np.unsignedinteger[Any]]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class InnerNodes:
    """The N inner nodes of one level, in depth-first order.

    Args:
        children: `[8, N]` cells of the children, by child index.
        parent: `[M]` index of the parent of each of the M inner nodes of the level below.
        inner: `[M]` index of each of these nodes in `children.ravel()`.
    """

    children: Cells
    parent: Index
    inner: Index

    @property
    def count(self) -> int:
        """Number of nodes."""
        return self.children.shape[1]


def inner_mark(dtype: np.dtype[Any]) -> int:
    """Return the cell value of an inner node."""
    return int(np.iinfo(dtype).max)


def _wide(rows: Cells) -> Cells:
    """View the last axis as 64-bit words if its size allows, so that one operation processes several cells."""
    return rows.view(np.uint64) if rows.shape[-1] * rows.itemsize % 8 == 0 else rows


def blockwise(operation: np.ufunc, cells: Cells) -> Cells:
    """Reduce blocks of 2x2x2 cells by a bitwise operation: `[X, Y, Z]`, even sizes, to `[X/2, Y/2, Z/2]`."""
    nx, ny, nz = (n // 2 for n in cells.shape)
    planes = _wide(cells.reshape(nx, 2, 4 * ny * nz))
    half = operation(planes[:, 0], planes[:, 1]).view(cells.dtype)
    rows = _wide(half.reshape(nx * ny, 2, 2 * nz))
    quarter = np.empty((nx * ny, rows.shape[2]), rows.dtype)
    if rows.shape[2] <= 8:  # with few words per row, a loop over columns is faster
        for word in range(rows.shape[2]):
            operation(rows[:, 0, word], rows[:, 1, word], out=quarter[:, word])
    else:
        operation(rows[:, 0], rows[:, 1], out=quarter)
    pairs = quarter.view(f"u{2 * cells.itemsize}")
    eighth: Cells = operation(pairs, pairs >> 8 * cells.itemsize).astype(cells.dtype)
    return eighth.reshape(nx, ny, nz)


def pool(cells: Cells) -> Cells:
    """Return the parents of the cells of a level: `[X, Y, Z]`, even sizes, to `[X/2, Y/2, Z/2]`.

    The parent of eight equal cells has their value; any other parent is an inner node. The bitwise or and the bitwise
    and of eight numbers are equal only if all numbers are equal.
    """
    parents = blockwise(np.bitwise_or, cells)
    differ = parents != blockwise(np.bitwise_and, cells)
    # Blocks with different cells become inner nodes, whose mark has all bits set.
    parents |= np.negative(differ.view(np.uint8).astype(cells.dtype, copy=False))
    return parents


def _padded(cells: Cells, layout: LevelLayout) -> Cells:
    if layout.whole:
        return np.ascontiguousarray(cells)
    out = np.zeros(layout.shape, cells.dtype)
    out[layout.inside] = cells
    return out


@dataclass(frozen=True)
class Forest:
    """The levels of an octree that are stored as arrays: all levels below the topmost cells of the grid.

    Args:
        levels: inner nodes of each level, from the parents of the finest cells upwards.
        tops: key and value of the topmost cells that are not unknown, in depth-first order; the inner nodes among
            them are the last of `levels`.
        height: level of `tops`; the finest cells are at level 0, the root is at level 16.
    """

    levels: list[InnerNodes]
    tops: list[tuple[Shape, int]]
    height: int


def grow(cells: Cells, low: Shape) -> Forest:
    """Build the pruned octree over dense cells.

    Args:
        cells: `[X, Y, Z]` uint8 or uint16.
        low: key of cell (0, 0, 0).
    """
    layout = layout_of(low, cells.shape)
    padded: list[Cells] = []
    for level in layout.levels:
        padded.append(_padded(cells, level))
        cells = pool(padded[-1])
    mark = inner_mark(cells.dtype)
    values = cells.reshape(-1).take(layout.index)
    tops = [(key, cell) for key, cell in zip(layout.tops, values.tolist(), strict=True) if cell]
    result: list[InnerNodes] = []
    first: Index = layout.child[values == mark]  # flat index of each node's first child
    for level, cells in zip(layout.levels[::-1], padded[::-1], strict=True):
        flat = cells.reshape(-1)
        children = np.empty((8, len(first)), cells.dtype)
        for row, offset in zip(children, level.offset.tolist(), strict=True):
            flat[offset:].take(first, out=row, mode="clip")
        if level.child.size:
            inner = np.flatnonzero(np.equal(children.T, mark, order="C"))
            parent, place = inner >> 3, inner & 7
            result.append(InnerNodes(children, parent, place * len(first) + parent))
            first = level.child.take(first.take(parent) + level.offset.take(place))
        else:
            none = np.empty(0, np.intp)
            result.append(InnerNodes(children, none, none))
    return Forest(result[::-1], tops, len(layout.levels))
