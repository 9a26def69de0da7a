"""Conversion of dense cells to the binary stream of an OcTree: occupied, free, unknown.

The stream lists the inner nodes in depth-first order, children in index order, with two bits per child: 0 = unknown,
1 = free, 2 = occupied, 3 = inner node. It is the `data` of a binary octomap_msgs/Octomap and the body of a .bt file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import Shape, lattice_key
from occdepth_ros.outputs.octree.pyramid import Cells, Forest, Index, grow
from occdepth_ros.outputs.octree.stem import Children, Subtree, join

_FREE, _OCCUPIED, _INNER = 1, 2, 3


def binary_stream(occupied: npt.NDArray[np.bool_], free: npt.NDArray[np.bool_], grid: VoxelGrid) -> bytes:
    """Return the stream of a pruned OcTree with maximum-likelihood leaves, as the C++ `writeBinaryData` writes it.

    Args:
        occupied, free: `[X, Y, Z]` bool. A cell with both is occupied, a cell with neither is unknown.
        grid: grid of the cells.

    Raises:
        GridError: the shapes differ, or the grid does not fit an octree's lattice.
    """
    for cells in (occupied, free):
        if cells.shape != grid.size:
            raise GridError(f"the cells have shape {cells.shape}, but the grid has {grid.size}", where="octree")
    states = np.left_shift(occupied, 1, dtype=np.uint8)
    states |= np.greater(free, occupied).view(np.uint8)
    return binary_stream_of(states, grid)


def binary_stream_of(states: npt.NDArray[np.uint8], grid: VoxelGrid) -> bytes:
    """Return the stream as `binary_stream` does, from states `[X, Y, Z]` uint8: 0 unknown, 1 free, 2 occupied."""
    forest = grow(states, lattice_key(grid))
    if not forest.tops:
        return b""
    out, ends = _forest_stream(forest)
    subtrees: dict[Shape, Subtree] = {}
    inner = iter(zip([0, *ends], ends, strict=False))
    for key, state in forest.tops:
        if state in (_FREE, _OCCUPIED):
            subtrees[key] = Subtree(leaf=state)
        else:
            start, end = next(inner)
            subtrees[key] = Subtree([out[start:end].data])
    return b"".join(join(subtrees, forest.height, _inner_node).stream)


def _inner_node(children: Children) -> Subtree:
    word = sum((child.leaf or _INNER) << 2 * index for index, child in enumerate(children) if child)
    stream: list[bytes | memoryview] = [word.to_bytes(2, "little")]
    return Subtree(stream + [part for child in children if child for part in child.stream])


def _forest_stream(forest: Forest) -> tuple[npt.NDArray[np.uint16], list[int]]:
    """Return the concatenated streams of the trees, and the end index of each."""
    levels = forest.levels
    size: Index = np.ones(levels[0].count, np.intp)
    ends: list[Index] = []  # cumulative number of nodes in the subtrees of a level, starting at 0
    firsts: list[Index] = []  # index of each node's first inner child in the level below
    for level in levels[1:]:
        ends.append(np.concatenate([[0], np.cumsum(size)]))
        counts = np.bincount(level.parent, minlength=level.count)
        last = np.cumsum(counts)
        firsts.append(last - counts)
        size = 1 + ends[-1].take(last) - ends[-1].take(firsts[-1])
    tree_ends = np.cumsum(size)
    place: Index = tree_ends - size
    out = np.empty(int(size.sum()), "<u2")
    for depth in range(len(levels) - 1, -1, -1):
        level = levels[depth]
        out[place] = _words(level.children)
        if depth:
            before = ends[depth - 1]
            place = (place + 1 - before.take(firsts[depth - 1])).take(level.parent) + before[:-1]
    return out, tree_ends.tolist()


def _words(children: Cells) -> npt.NDArray[np.uint16]:
    """Pack two bits per child, `[8, N]` to `[N]`. All bits of an inner node's mark are set, hence its code is 3."""
    low = children & np.uint8(3)
    low[1::2] <<= 2
    low = low[0::2] | low[1::2]
    low[1::2] <<= 4
    low = low[0::2] | low[1::2]
    return np.ascontiguousarray(low.T).view("<u2")[:, 0]
