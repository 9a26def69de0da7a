"""Conversion of dense cells to the stream of a ColorOcTree: log-odds and colours.

The stream lists all nodes in depth-first order, children in index order. A node is a float32 log-odds, three bytes of
colour, and one byte as the bit mask of its children. The stream is the `data` of a full octomap_msgs/Octomap and the
body of an .ot file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import Shape, lattice_key
from occdepth_ros.outputs.octree.pyramid import Cells, Index, InnerNodes, grow, inner_mark
from occdepth_ros.outputs.octree.stem import Children, Subtree, join

Words = npt.NDArray[np.uint64]
Weights = npt.NDArray[np.integer[Any]]

UNSET_COLOR = (255, 255, 255)
"""Colour of a node without colour in the C++ library. Such children are excluded from averages."""

_NODE = "<f4B"
_NOTHING = np.zeros(1, np.uint64)

# Red, green and blue use 21 bits each, which hold the sum of eight children times 2^13 / count without overflow.
_FIELDS = (0, 21, 42)
_COUNT_SHIFT = 12  # of the number of summed colours, above the sum of the reds
_COUNT = np.uint64(15 << _COUNT_SHIFT)
_BYTES = np.uint64(sum(255 << field for field in _FIELDS))


def _division() -> tuple[Words, Words]:
    """Return factor and addend for each count c of 0..8: (sum * factor + addend) >> 13 is sum // c in every field.

    The result is exact for all sums up to 255 c. For c = 0 it is white.
    """
    factor = np.array([0, *(-(-8192 // count) for count in range(1, 9))], np.uint64)
    addend = np.zeros(9, np.uint64)
    factor[7], addend[7] = 1170, 600  # 1171 would round 1784 / 7 up
    addend[0] = 255 << 13
    return factor, addend * np.uint64(sum(1 << field for field in _FIELDS))


_FACTOR, _ADDEND = _division()


@dataclass(frozen=True)
class LeafTable:
    """Log-odds and colours of the cells of a ColorOcTree. Entry 0 is unknown space and is not written.

    Args:
        log_odds: `[K]` float32, ascending from entry 1 on; cells with a value of 0 or more are occupied, others free.
        rgb: `[K, 3]` uint8; white = no colour.

    Raises:
        GridError: the sizes differ, or the log-odds are not finite and ascending.
    """

    log_odds: npt.NDArray[np.float32]
    rgb: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.rgb.shape != (len(self.log_odds), 3):
            raise GridError(
                f"there are {len(self.log_odds)} log-odds, but the colours have shape {self.rgb.shape}",
                where="leaf table",
            )
        if not np.isfinite(self.log_odds[1:]).all() or (np.diff(self.log_odds[1:]) < 0).any():
            raise GridError("the log-odds are not finite and ascending", where="leaf table", remedy="Sort the entries.")


def color_stream(cells: Cells, leaves: LeafTable, grid: VoxelGrid) -> bytes:
    """Return the stream of a ColorOcTree, as the C++ `writeData` writes it.

    Eight cells are merged into one leaf if their log-odds and colours are equal, so that the colour of every cell is
    preserved (the C++ `prune` compares log-odds only and averages the colours). Inner nodes hold the maximum log-odds
    and the average colour of their children, as after `updateInnerOccupancy`.

    Args:
        cells: `[X, Y, Z]` uint8 or uint16, indices into `leaves`.
        leaves: log-odds and colour of each entry.
        grid: grid of the cells.

    Raises:
        GridError: the shapes differ, an index is out of range, or the grid does not fit an octree's lattice.
    """
    if cells.shape != grid.size or cells.dtype not in (np.uint8, np.uint16):
        raise GridError(f"the cells are {cells.dtype} {cells.shape}, but the grid has {grid.size}", where="octree")
    if cells.max() >= min(len(leaves.log_odds), inner_mark(cells.dtype)):
        raise GridError(
            f"a cell has the entry {cells.max()}, but the table has {len(leaves.log_odds)} entries", where="octree"
        )
    forest = grow(cells, lattice_key(grid))
    if not forest.tops:
        return b""
    mark = inner_mark(cells.dtype)
    tables = _Tables.of(leaves, mark)
    out, ends = _forest_stream(forest.levels, tables)
    subtrees: dict[Shape, Subtree] = {}
    inner = iter(zip([0, *ends], ends, strict=False))
    for key, cell in forest.tops:
        stream = tables.node[cell : cell + 1] if cell != mark else out[slice(*next(inner))]
        log_odds, r, g, b, _ = struct.unpack_from(_NODE, stream.data)
        subtrees[key] = Subtree([stream.data], 0 if cell == mark else cell, log_odds, (r, g, b))
    return b"".join(join(subtrees, forest.height, _inner_node).stream)


def _inner_node(children: Children) -> Subtree:
    log_odds = max(child.log_odds for child in children if child)
    colors = [child.rgb for child in children if child and child.rgb != UNSET_COLOR]
    r, g, b = (sum(channel) // len(colors) for channel in zip(*colors, strict=True)) if colors else UNSET_COLOR
    mask = sum(1 << index for index, child in enumerate(children) if child)
    stream: list[bytes | memoryview] = [struct.pack(_NODE, log_odds, r, g, b, mask)]
    return Subtree(stream + [part for child in children if child for part in child.stream], 0, log_odds, (r, g, b))


@dataclass(frozen=True)
class _Tables:
    """Lookup tables by cell. A node has 64 bits: log-odds from bit 0, colour from bit 32, child mask from bit 56."""

    log_odds: Words
    node: Words
    colors: Words  # in `_FIELDS`, with a count of one; 0 for cells without colour

    @classmethod
    def of(cls, leaves: LeafTable, mark: int) -> _Tables:
        r, g, b = leaves.rgb.astype(np.uint64).T
        log_odds = leaves.log_odds.astype(np.float32).view(np.uint32).astype(np.uint64)
        has_color = (leaves.rgb != UNSET_COLOR).any(axis=1)
        has_color[0] = False
        full = np.zeros((3, mark + 1), "<u8")
        full[0, : len(r)] = log_odds
        full[1, : len(r)] = log_odds | r << 32 | g << 40 | b << 48
        full[2, : len(r)] = (r | g << _FIELDS[1] | b << _FIELDS[2] | np.uint64(1 << _COUNT_SHIFT)) * has_color
        return cls(full[0], full[1], full[2])


def _bottom_up(levels: list[InnerNodes], tables: _Tables) -> tuple[list[Words], list[Weights]]:
    """Return, for each level, its inner nodes as uint64 `[N]` and the size of each child's subtree `[8, N]`."""
    values: list[Words] = []
    weights: list[Weights] = []
    best: Cells = levels[0].children[0]
    colors = np.empty(0, np.uint64)
    for depth, level in enumerate(levels):
        exists = np.not_equal(level.children, 0).view(np.uint8)
        mask = exists[0]
        for child, exist in enumerate(exists[1:], 1):
            mask = mask | exist << np.uint8(child)
        ranks = level.children
        weight: Weights = exists
        if depth:
            ranks, weight = ranks.copy(), exists.astype(np.intp)
            ranks.reshape(-1)[level.inner] = best
            weight.reshape(-1)[level.inner] = 1 + weights[-1].sum(axis=0)
        best = ranks.max(axis=0)
        value = tables.log_odds.take(best)
        value |= mask.astype(np.uint64) << 56
        # Accumulating row by row uses an eighth of the memory of one lookup and fits the cache.
        total = tables.colors.take(level.children[0])
        for children in level.children[1:]:
            total += tables.colors.take(children)
        if depth:
            # Sums of runs are differences of cumulative sums, which are exact modulo 2^64.
            running = np.concatenate([_NOTHING, np.cumsum(colors)])
            last = np.cumsum(np.bincount(level.parent, minlength=level.count))
            total += np.diff(running.take(last), prepend=_NOTHING)
        # numpy 1 does not accept unsigned indices.
        count = ((total & _COUNT) >> _COUNT_SHIFT).view(np.int64)
        total &= ~_COUNT
        total *= _FACTOR.take(count)
        total += _ADDEND.take(count)
        # Quotients start at bit 13 of each field; the colour of a node starts at bit 32.
        value |= total << 19 & np.uint64(0xFF << 32)
        value |= total << 6 & np.uint64(0xFF << 40)
        value |= total >> 7 & np.uint64(0xFF << 48)
        colors = (total >> 13 & _BYTES | np.uint64(1 << _COUNT_SHIFT)) * (count > 0)
        values.append(value)
        weights.append(weight)
    return values, weights


def _forest_stream(levels: list[InnerNodes], tables: _Tables) -> tuple[Words, list[int]]:
    """Return the concatenated streams of the trees, and the end index of each.

    A missing child is written to the position of the next node, which is written later and overwrites it. The next node
    is a child with a higher index, a leaf of a coarser level, an inner node, or the extra element at the end.
    """
    values, weights = _bottom_up(levels, tables)
    sizes = 1 + weights[-1].sum(axis=0, dtype=np.intp)
    ends = np.cumsum(sizes)
    out = np.empty(1 + int(sizes.sum()), "<u8")
    places: list[Index] = []
    place: Index = ends - sizes
    slots: list[Index] = []
    for level, weight in zip(levels[:0:-1], weights[:0:-1], strict=True):
        slot = np.empty(weight.shape, np.intp)
        np.add(place, 1, out=slot[0])
        for child in range(1, 8):
            np.add(slot[child - 1], weight[child - 1], out=slot[child])
        places.append(place)
        slots.append(slot)
        place = slot.reshape(-1).take(level.inner)
    slot = place + 1
    for children, exists in zip(levels[0].children, weights[0], strict=True):
        out[slot] = tables.node.take(children)
        slot += exists
    for level, slots_ in zip(levels[1:], slots[::-1], strict=True):
        out[slots_] = tables.node.take(level.children)
    for value, place_ in zip(values, [place, *places[::-1]], strict=True):
        out[place_] = value
    return out, ends.tolist()
