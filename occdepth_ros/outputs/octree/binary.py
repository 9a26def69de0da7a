"""Conversion of dense cells to the binary stream of an OcTree: occupied, free, unknown.

The stream lists the inner nodes in depth-first order, children in index order, with two bits per child: 0 = unknown,
1 = free, 2 = occupied, 3 = inner node. It is the `data` of a binary octomap_msgs/Octomap and the body of a .bt file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import DEPTH, lattice_key
from occdepth_ros.outputs.octree.pyramid import Cells, Index, build

_MARK = 255


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
    pyramid = build(states, lattice_key(grid))
    if pyramid.root != _MARK:
        return b""
    layout = pyramid.layout
    out = np.empty(pyramid.inner, np.uint16)
    _write(pyramid.cells, layout.shape, layout.start, layout.base, layout.child, out)
    return out.astype("<u2", copy=False).tobytes()


@compiled
def _write(cells: Cells, shape: Index, start: Index, base: Index, child: Index, out: npt.NDArray[np.uint16]) -> None:
    """Write the words of all inner nodes in depth-first order. The arguments but `out` are those of a `Pyramid`."""
    # pending inner nodes: level and index along x, y, z
    pending = np.zeros((8 * DEPTH, 4), np.int64)
    pending[0, 0] = DEPTH
    count, place = 1, 0
    while count:
        count -= 1
        below = pending[count, 0] - 1
        x = base[below + 1, 0] + 2 * pending[count, 1]
        y = base[below + 1, 1] + 2 * pending[count, 2]
        z = base[below + 1, 2] + 2 * pending[count, 3]
        first = start[below] + (x * shape[below, 1] + y) * shape[below, 2] + z
        word = 0
        # the child with the lowest index must be taken first, hence put last
        for i in range(7, -1, -1):
            cell = cells[first + child[below, i]]
            word |= (cell & 3) << 2 * i
            if cell == _MARK:
                pending[count, 0], pending[count, 1] = below, x + (i & 1)
                pending[count, 2], pending[count, 3] = y + (i >> 1 & 1), z + (i >> 2)
                count += 1
        out[place] = word
        place += 1
