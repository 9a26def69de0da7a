"""Conversion of dense cells to the stream of a ColorOcTree: log-odds and colours.

The stream lists all nodes in depth-first order, children in index order. A node is a float32 log-odds, three bytes of
colour, and one byte as the bit mask of its children. The stream is the `data` of a full octomap_msgs/Octomap and the
body of an .ot file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import DEPTH, lattice_key
from occdepth_ros.outputs.octree.pyramid import Cells, Index, build, inner_mark, layout_of, padded

Words = npt.NDArray[np.uint64]

_WHITE = 0xFFFFFF
"""Colour of a node without colour in the C++ library. Such children are excluded from averages."""
_LOG_ODDS, _BYTE = np.uint64(0xFFFFFFFF), np.uint64(255)
_ONE, _TWO, _EIGHT = np.uint64(1), np.uint64(2), np.uint64(8)
_RECIPROCAL = np.array([0, *(-(-(1 << 16) // count) for count in range(1, 9))], np.uint64)
"""2^16 divided by 1 to 8, rounded up."""


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
    """Return the stream of a ColorOcTree, as the C++ `writeData` writes it; see `color_nodes`."""
    return color_nodes(cells, leaves, grid).tobytes()


def color_nodes(cells: Cells, leaves: LeafTable, grid: VoxelGrid) -> Words:
    """Return the nodes of a ColorOcTree in the order of its stream, `[N]` little-endian words of eight bytes.

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
    layout = layout_of(lattice_key(grid), cells.shape)
    finest = padded(cells, layout)
    upper, count = build(finest, layout)
    if upper[layout.start[DEPTH]] == 0:
        return np.empty(0, "<u8")
    out = np.empty(2 + count, np.uint64)
    nodes, mark = _leaf_nodes(leaves), inner_mark(cells.dtype)
    _write(finest.reshape(-1), upper, layout.shape, layout.start, layout.base, layout.child, nodes, mark, out)
    return out[:-1].astype("<u8", copy=False)


def _leaf_nodes(leaves: LeafTable) -> Words:
    """Return the node of each leaf, `[K]`: log-odds from bit 0, colour from bit 32, child mask from bit 56."""
    r, g, b = leaves.rgb.astype(np.uint64).T
    return leaves.log_odds.astype(np.float32).view(np.uint32).astype(np.uint64) | r << 32 | g << 40 | b << 48


@compiled
def _write(
    finest: Cells,
    cells: Cells,
    shape: Index,
    start: Index,
    base: Index,
    child: Index,
    nodes: Words,
    mark: int,
    out: Words,
) -> None:
    """Write all nodes in depth-first order.

    An inner node is written after its last child, at a reserved position.

    Args:
        finest, cells: cells of level 0, and of the levels from 1 on, flat.
        shape, start, base, child: those of the `Layout`.
        nodes: node of each leaf, by cell.
        mark: cell of an inner node.
        out: written; one element longer than the stream.
    """
    if cells[start[DEPTH]] != mark:
        out[0] = nodes[cells[start[DEPTH]]]
        return
    colors = _packed_colors(nodes)
    # of the inner node that is being written at each level:
    corner = np.zeros((DEPTH + 1, 3), np.int64)  # index of its first child along x, y, z
    first = np.zeros(DEPTH + 1, np.int64)  # flat index of its first child
    following = np.zeros(DEPTH + 1, np.int64)  # next child
    position = np.zeros(DEPTH + 1, np.uint64)  # position in the stream
    best = np.zeros(DEPTH + 1, np.uint64)  # cell with the highest log-odds below it
    mask = np.zeros(DEPTH + 1, np.uint64)
    total = np.zeros(DEPTH + 1, np.uint64)  # sum of the packed colours of its children
    level, end, below = DEPTH, np.uint64(1), DEPTH - 1
    corner[level] = base[level]
    first[level] = start[below] + (base[level, 0] * shape[below, 1] + base[level, 1]) * shape[below, 2] + base[level, 2]
    while True:
        i = following[level]
        cell = 0
        while i < 8 and cell != mark:
            cell = cells[first[level] + child[below, i]]
            mask[level] |= np.uint64(cell != 0) << np.uint64(i)
            if cell != mark:
                # an unknown child is overwritten by the next node
                out[end] = nodes[cell]
                end += np.uint64(cell != 0)
                best[level] = max(best[level], np.uint64(cell))
                total[level] += colors[cell]
            i += 1
        following[level] = i
        if cell == mark:
            i -= 1
            level, below = below, below - 1
            x = base[level, 0] + 2 * (corner[level + 1, 0] + (i & 1))
            y = base[level, 1] + 2 * (corner[level + 1, 1] + (i >> 1 & 1))
            z = base[level, 2] + 2 * (corner[level + 1, 2] + (i >> 2))
            if level > 2:
                position[level] = end
                end += _ONE
                corner[level, 0], corner[level, 1], corner[level, 2] = x, y, z
                first[level] = start[below] + (x * shape[below, 1] + y) * shape[below, 2] + z
                following[level], best[level], mask[level], total[level] = 0, 0, 0, 0
                continue
            here = start[1] + (x * shape[1, 1] + y) * shape[1, 2] + z
            x, y, z = base[1, 0] + 2 * x, base[1, 1] + 2 * y, base[1, 2] + 2 * z
            origin = (x * shape[0, 1] + y) * shape[0, 2] + z
            end, highest, mean = _write_parents(
                finest, cells, np.uint64(here), np.uint64(origin), child, nodes, colors, mark, out, end
            )
            level, below = 3, 2
            best[level] = max(best[level], highest)
            total[level] += _packed(mean)
            continue
        mean = _mean(total[level])
        out[position[level]] = nodes[best[level]] & _LOG_ODDS | mask[level] << np.uint64(56) | mean
        if level == DEPTH:
            return
        level, below = level + 1, level
        best[level] = max(best[level], best[level - 1])
        total[level] += _packed(mean)


@compiled
def _write_parents(
    finest: Cells,
    cells: Cells,
    first: Any,
    origin: Any,
    child: Index,
    nodes: Words,
    colors: Words,
    mark: int,
    out: Words,
    position: Any,
) -> tuple[Any, Any, Any]:
    """Write an inner node of level 2 and all nodes below it, which are most of the nodes of a tree.

    Args:
        finest, cells, child, nodes, mark, out: those of `_write`.
        first: flat index of its first child.
        origin: flat index of the first child of that child, in level 0.
        colors: packed colour of each leaf.
        position: position of the node in `out`.

    Returns:
        position of the next node, cell with the highest log-odds, and bits of the mean colour.
    """
    end = position + _ONE
    best, mask, total = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(_EIGHT):
        # unsigned indices are not checked for a negative sign
        cell = cells[first + np.uint64(child[1, i])]
        if cell != mark:
            leaf = np.uint64(cell)
            # an unknown child is overwritten by the next node
            out[end] = nodes[leaf]
            end += np.uint64(leaf != 0)
            mask |= np.uint64(leaf != 0) << i
            best = max(best, leaf)
            total += colors[leaf]
            continue
        corner = origin + _TWO * np.uint64(child[0, i])
        parent = end
        end += _ONE
        highest, present, summed = np.uint64(0), np.uint64(0), np.uint64(0)
        for k in range(_EIGHT):
            leaf = np.uint64(finest[corner + np.uint64(child[0, k])])
            is_present = np.uint64(leaf != 0)
            out[end] = nodes[leaf]
            end += is_present
            present |= is_present << k
            highest = max(highest, leaf)
            summed += colors[leaf]
        mean = _mean(summed)
        out[parent] = nodes[highest] & _LOG_ODDS | present << np.uint64(56) | mean
        mask |= _ONE << i
        best = max(best, highest)
        total += _packed(mean)
    mean = _mean(total)
    out[position] = nodes[best] & _LOG_ODDS | mask << np.uint64(56) | mean
    return end, best, mean


# Sums of colours are packed into one number: red from bit 0, green from bit 16, blue from bit 32, their count from 48.


@compiled
def _packed(node: Any) -> Any:
    """Return the colour of a node with a count of one; 0 for a node without colour."""
    bits = node >> np.uint64(32) & np.uint64(0xFFFFFF)
    if bits == _WHITE:
        return np.uint64(0)
    red, green, blue = bits & _BYTE, bits >> np.uint64(8) & _BYTE, bits >> np.uint64(16)
    return red | green << np.uint64(16) | blue << np.uint64(32) | np.uint64(1 << 48)


@compiled
def _packed_colors(nodes: Words) -> Words:
    colors = np.empty(nodes.size, np.uint64)
    for i in range(nodes.size):
        colors[i] = _packed(nodes[i])
    colors[0] = 0  # unknown
    return colors


@compiled
def _mean(total: Any) -> Any:
    """Return the colour bits of a node with the mean of a sum of colours; white without colours."""
    count = total >> np.uint64(48)
    if count == 0:
        return np.uint64(_WHITE) << np.uint64(32)
    # floor division by the count, 1 to 8, as a multiplication: exact for sums up to 8 * 255
    factor, mask, shift = _RECIPROCAL[count], np.uint64(0xFFFF), np.uint64(16)
    red, green = (total & mask) * factor >> shift, (total >> shift & mask) * factor >> shift
    blue = (total >> np.uint64(32) & mask) * factor >> shift
    return red << np.uint64(32) | green << np.uint64(40) | blue << np.uint64(48)
