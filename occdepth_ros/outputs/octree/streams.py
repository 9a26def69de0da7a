"""Dense cells to OctoMap's node streams, the `data` of octomap_msgs/Octomap and the body of .bt and .ot files.

Both streams walk the tree depth first, children by index. The binary stream holds inner nodes only, two bits per
child: 0 unknown, 1 free, 2 occupied, 3 inner node. The stream of a ColorOcTree holds every node: float32
log-odds, three bytes of colour, one byte that tells which children exist.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import lattice_key
from occdepth_ros.outputs.octree.pyramid import Cells, Index, InnerNodes, inner_mark, inner_nodes

Words = npt.NDArray[np.uint64]

UNSET_COLOR = (255, 255, 255)
"""What the C++ library takes for a node without colour; such children do not enter an average."""


@dataclass(frozen=True)
class LeafTable:
    """What the cells of a coloured tree stand for; entry 0 is unknown space and is not written.

    Args:
        log_odds: `[K]` float32, ascending from entry 1 on; occupied from 0 upwards, free below.
        rgb: `[K, 3]` uint8; white means no colour.

    Raises:
        GridError: sizes differ, or the log-odds are not finite and ascending.
    """

    log_odds: npt.NDArray[np.float32]
    rgb: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.rgb.shape != (len(self.log_odds), 3):
            raise GridError(f"{len(self.log_odds)} log-odds but colours {self.rgb.shape}", where="leaf table")
        if not np.isfinite(self.log_odds[1:]).all() or (np.diff(self.log_odds[1:]) < 0).any():
            raise GridError("the log-odds are not finite and ascending", where="leaf table", remedy="Sort the entries.")


def binary_stream(occupied: npt.NDArray[np.bool_], free: npt.NDArray[np.bool_], grid: VoxelGrid) -> bytes:
    """Stream of an OcTree with maximum-likelihood leaves, pruned: what the C++ `writeBinaryData` writes.

    Args:
        occupied, free: `[X, Y, Z]` bool; where both are set the cell is occupied, where neither is it is unknown.
        grid: where the cells are.

    Raises:
        GridError: the shapes differ, or the grid does not fit an octree's lattice.
    """
    for cells in (occupied, free):
        if cells.shape != grid.size:
            raise GridError(f"the cells are {cells.shape}, the grid {grid.size}", where="octree")
    states = np.left_shift(occupied, 1, dtype=np.uint8)
    states |= np.greater(free, occupied).view(np.uint8)
    return binary_stream_of(states, grid)


def binary_stream_of(states: npt.NDArray[np.uint8], grid: VoxelGrid) -> bytes:
    """As `binary_stream`, for states `[X, Y, Z]` uint8: 0 unknown, 1 free, 2 occupied."""
    levels = inner_nodes(states, lattice_key(grid))
    if not levels:
        return b""
    out = np.empty(sum(level.count for level in levels), np.uint16)
    sizes = [np.ones(levels[0].count, np.intp)]
    for level in levels[1:]:
        ends = np.concatenate([[0], np.cumsum(sizes[-1])])
        # children of node n are the inner ones from 8 n to 8 n + 7
        bounds = np.searchsorted(level.inner, np.arange(level.count + 1) * 8)
        sizes.append(1 + np.diff(ends.take(bounds)))
    place = np.zeros(1, np.intp)
    for depth in range(len(levels) - 1, -1, -1):
        level = levels[depth]
        words = np.zeros(level.count, np.uint16)
        for index, children in enumerate(level.children):
            # an inner node's mark is all ones: its lower two bits are 3
            words |= (children & np.uint8(3)).astype(np.uint16) << np.uint16(2 * index)
        out[place] = words
        if depth:
            before = np.cumsum(sizes[depth - 1]) - sizes[depth - 1]
            parent = level.inner >> 3
            start = np.searchsorted(level.inner, np.arange(level.count) * 8)
            base = np.append(before, 0).take(start)
            place = (place + 1 - base).take(parent) + before
    return out.astype("<u2", copy=False).tobytes()


def color_stream(cells: Cells, leaves: LeafTable, grid: VoxelGrid) -> bytes:
    """Stream of a ColorOcTree: what the C++ `writeData` writes.

    Eight cells become one leaf where log-odds and colour agree, so that reading gives every cell's own colour back
    (the C++ `prune` compares log-odds only and would mix the colours). Inner nodes hold the largest log-odds of their
    children and the average of their colours, as `updateInnerOccupancy` leaves them.

    Args:
        cells: `[X, Y, Z]` uint8 or uint16, entries of `leaves`.
        leaves: log-odds and colour of each entry.
        grid: where the cells are.

    Raises:
        GridError: the shapes differ, an entry does not exist, or the grid does not fit an octree's lattice.
    """
    if cells.shape != grid.size or cells.dtype not in (np.uint8, np.uint16):
        raise GridError(f"the cells are {cells.dtype} {cells.shape}, the grid {grid.size}", where="octree")
    if cells.max() >= min(len(leaves.log_odds), inner_mark(cells.dtype)):
        raise GridError(f"a cell has the entry {cells.max()}, the table {len(leaves.log_odds)}", where="octree")
    levels = inner_nodes(cells, lattice_key(grid))
    if not levels:
        return b""
    tables = _Tables.of(leaves, inner_mark(cells.dtype))
    values, sizes, slots = _bottom_up(levels, tables)
    return _top_down(levels, tables, values, sizes, slots).astype("<u8", copy=False).tobytes()


@dataclass(frozen=True)
class _Tables:
    """Lookup by cell. Eight bytes a node: log-odds in bits 0-31, red, green, blue from 32, children from 56."""

    log_odds: Words
    node: Words
    colors: Words  # red, green, blue and one for "has a colour", 16 bits each: the sum of eight cannot overflow

    @classmethod
    def of(cls, leaves: LeafTable, mark: int) -> _Tables:
        r, g, b = leaves.rgb.astype(np.uint64).T
        log_odds = leaves.log_odds.astype(np.float32).view(np.uint32).astype(np.uint64)
        has_color = (leaves.rgb != UNSET_COLOR).any(axis=1)
        colors = np.where(has_color, r | g << 16 | b << 32 | np.uint64(1 << 48), np.uint64(0))
        colors[0] = 0
        full = np.zeros((3, mark + 1), np.uint64)
        full[:, : len(r)] = log_odds, log_odds | r << 32 | g << 40 | b << 48, colors
        return cls(full[0], full[1], full[2])


def _bottom_up(
    levels: list[InnerNodes], tables: _Tables
) -> tuple[list[Words], list[Index], list[npt.NDArray[np.int64]]]:
    """Per level: the eight bytes of its inner nodes, how many nodes each subtree has, and where its children go.

    The last is `[8, N]`, the number of nodes between a node and its child.
    """
    values: list[Words] = []
    sizes: list[Index] = []
    slots: list[npt.NDArray[np.int64]] = []
    best: Cells = levels[0].children[0]
    colors = np.empty(0, np.uint64)
    for depth, level in enumerate(levels):
        exists = level.children != 0
        ranks = level.children
        sums = tables.colors.take(level.children)
        weights = exists.astype(np.int64)
        if depth:
            n, i = level.inner >> 3, level.inner & 7
            ranks = ranks.copy()
            ranks[i, n] = best
            sums[i, n] = colors
            weights[i, n] = sizes[-1]
        best = ranks.max(axis=0)
        total = sums.sum(axis=0)
        count = np.maximum(total >> 48, 1).astype(np.float32)
        unset = total == 0
        average = np.zeros(level.count, np.uint64)
        for shift in (0, 16, 32):
            channel = ((total >> shift) & 0xFFFF).astype(np.float32)
            average |= (channel / count).astype(np.uint64) << np.uint64(shift)
        packed = (average & 0xFF) | (average >> 8 & 0xFF00) | (average >> 16 & 0xFF0000)
        packed[unset] = 0xFFFFFF
        colors = average | np.uint64(1 << 48)
        colors[unset] = 0
        mask = np.packbits(exists, axis=0, bitorder="little")[0].astype(np.uint64)
        values.append(tables.log_odds.take(best) | packed << 32 | mask << 56)
        ends = np.cumsum(weights, axis=0)
        sizes.append(ends[-1] + 1)
        slots.append(ends - weights + 1)
    return values, sizes, slots


def _top_down(
    levels: list[InnerNodes],
    tables: _Tables,
    values: list[Words],
    sizes: list[Index],
    slots: list[npt.NDArray[np.int64]],
) -> Words:
    out = np.empty(int(sizes[-1][0]) + 1, np.uint64)
    places = [np.zeros(1, np.int64)]
    for depth in range(len(levels) - 1, 0, -1):
        level = levels[depth]
        n, i = level.inner >> 3, level.inner & 7
        places.append(places[-1].take(n) + slots[depth][i, n])
    places.reverse()
    # A missing child is written into the place of whatever follows it, which is written later: a higher child index,
    # a leaf of a coarser level, an inner node, or the spare place at the end.
    for level, place, slot in zip(levels, places, slots, strict=True):
        for index, children in enumerate(level.children):
            out[place + slot[index]] = tables.node.take(children)
    for place, value in zip(places, values, strict=True):
        out[place] = value
    return out[:-1]
