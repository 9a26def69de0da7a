"""From dense cells to a pruned octree: pooling from the bottom up, inner nodes in the order of a stream.

A cell is a small number: 0 is unknown (no node), the largest number of its type is an inner node, and anything
between is a leaf with that value. Eight equal leaves are one leaf of the level above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.outputs.octree.lattice import LevelLayout, Shape, layouts

Cells = npt.NDArray[np.unsignedinteger[Any]]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class InnerNodes:
    """The N inner nodes of one level, in the order of a depth-first walk.

    Args:
        children: `[8, N]` cells of the children, by child index.
        parent: which of the N nodes holds each inner node of the level below, in that level's order.
        inner: where these are in `children.ravel()`.
    """

    children: Cells
    parent: Index
    inner: Index

    @property
    def count(self) -> int:
        """Number of nodes."""
        return self.children.shape[1]


def inner_mark(dtype: np.dtype[Any]) -> int:
    """The cell value that marks an inner node."""
    return int(np.iinfo(dtype).max)


def _wide(rows: Cells) -> Cells:
    """View the last axis as 64-bit words where it fits: bitwise operations are eight cells at a time."""
    return rows.view(np.uint64) if rows.shape[-1] * rows.itemsize % 8 == 0 else rows


def pool(cells: Cells) -> Cells:
    """Parents of the cells of a level with even sizes: `[X, Y, Z]` to `[X/2, Y/2, Z/2]`.

    Eight equal cells give that cell, all others an inner node. The bitwise or and the bitwise and of eight numbers
    agree only where all are equal.
    """
    nx, ny, nz = (n // 2 for n in cells.shape)
    planes = _wide(cells.reshape(nx, 2, 4 * ny * nz))
    any_ = planes[:, 0] | planes[:, 1]
    all_ = planes[:, 0] & planes[:, 1]
    rows = _wide(any_.view(cells.dtype).reshape(nx * ny, 2, 2 * nz))
    any_ = rows[:, 0] | rows[:, 1]
    rows = _wide(all_.view(cells.dtype).reshape(nx * ny, 2, 2 * nz))
    all_ = rows[:, 0] & rows[:, 1]
    bits = 8 * cells.itemsize
    double = np.dtype(f"u{2 * cells.itemsize}")
    pairs = any_.view(double)
    any_ = (pairs | pairs >> bits).astype(cells.dtype)
    pairs = all_.view(double)
    all_ = (pairs & pairs >> bits).astype(cells.dtype)
    # all ones where they differ, which is the mark of an inner node
    any_ |= np.negative((any_ != all_).view(np.uint8)) if bits == 8 else np.negative((any_ != all_).astype(cells.dtype))
    return any_.reshape(nx, ny, nz)


def _padded(cells: Cells, layout: LevelLayout) -> Cells:
    if layout.whole:
        return np.ascontiguousarray(cells)
    out = np.zeros(layout.shape, cells.dtype)
    out[layout.inside] = cells
    return out


def inner_nodes(cells: Cells, low: Shape) -> list[InnerNodes]:
    """Inner nodes of the pruned octree over dense cells, from the finest level (parents of cells) up to the root.

    Args:
        cells: `[X, Y, Z]` uint8 or uint16.
        low: key of cell (0, 0, 0).

    Returns:
        one entry per level, the root's last; empty where all cells are unknown.
    """
    levels = layouts(low, cells.shape)
    padded: list[Cells] = []
    for layout in levels:
        padded.append(_padded(cells, layout))
        cells = pool(padded[-1])
    if not cells.any():
        return []
    mark = inner_mark(cells.dtype)
    result: list[InnerNodes] = []
    first: Index = np.zeros(1, np.intp)  # flat index of each node's first child
    for layout, cells in zip(levels[::-1], padded[::-1], strict=True):
        flat = cells.reshape(-1)
        children = np.empty((8, len(first)), cells.dtype)
        for row, offset in zip(children, layout.offset.tolist(), strict=True):
            flat[offset:].take(first, out=row, mode="clip")
        if layout.child.size:
            inner = np.flatnonzero(np.equal(children.T, mark, order="C"))
            parent, place = inner >> 3, inner & 7
            result.append(InnerNodes(children, parent, place * len(first) + parent))
            first = layout.child.take(first.take(parent) + layout.offset.take(place))
        else:
            none = np.empty(0, np.intp)
            result.append(InnerNodes(children, none, none))
    return result[::-1]
