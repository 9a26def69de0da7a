"""Dense cells to the binary stream of an OcTree: occupied, free, unknown.

The stream walks the tree depth first, children by index, and holds inner nodes only, two bits per child: 0 unknown,
1 free, 2 occupied, 3 inner node. It is the `data` of a binary octomap_msgs/Octomap and the body of a .bt file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import lattice_key
from occdepth_ros.outputs.octree.pyramid import Cells, Index, inner_nodes


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
    size: Index = np.ones(levels[0].count, np.intp)
    ends: list[Index] = []  # nodes in the subtrees of a level, summed up to each node, from 0
    firsts: list[Index] = []  # of each node's inner children among the nodes of the level below
    for level in levels[1:]:
        ends.append(np.concatenate([[0], np.cumsum(size)]))
        counts = np.bincount(level.parent, minlength=level.count)
        last = np.cumsum(counts)
        firsts.append(last - counts)
        size = 1 + ends[-1].take(last) - ends[-1].take(firsts[-1])
    out = np.empty(int(size[0]), "<u2")
    place: Index = np.zeros(1, np.intp)
    for depth in range(len(levels) - 1, -1, -1):
        level = levels[depth]
        out[place] = _words(level.children)
        if depth:
            before = ends[depth - 1]
            place = (place + 1 - before.take(firsts[depth - 1])).take(level.parent) + before[:-1]
    return out.tobytes()


def _words(children: Cells) -> npt.NDArray[np.uint16]:
    """Two bits per child, `[8, N]` to `[N]`; the mark of an inner node is all ones, so its lower two bits are 3."""
    low = children & np.uint8(3)
    low[1::2] <<= 2
    low = low[0::2] | low[1::2]
    low[1::2] <<= 4
    low = low[0::2] | low[1::2]
    return np.ascontiguousarray(low.T).view("<u2")[:, 0]
