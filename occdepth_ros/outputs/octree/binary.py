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
from occdepth_ros.outputs.octree.pyramid import Index, layout_of, padded

Words = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

_INNER, _FREE, _OCCUPIED = 3, 0x5555, 0xAAAA
"""Bits of an inner child, and words with eight free and eight occupied children."""


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
    return binary_words(states, grid).tobytes()


def binary_words(states: Bytes, grid: VoxelGrid) -> Words:
    """Return the stream of `binary_stream` as little-endian words, from states: 0 unknown, 1 free, 2 occupied.

    Args:
        states: `[X, Y, Z]` uint8.
        grid: grid of the cells.

    Raises:
        GridError: the grid does not fit an octree's lattice.
    """
    layout = layout_of(lattice_key(grid), states.shape)
    words = np.zeros(layout.start[-1], np.uint16)
    inner = _pack(padded(states, layout).reshape(-1), words, layout.shape, layout.start, layout.before)
    out = np.empty(inner, np.uint16)
    _write(words, layout.shape, layout.start, layout.base, layout.child, out)
    return out.astype("<u2", copy=False)


@compiled
def _pack(states: Bytes, words: Words, shape: Index, start: Index, before: Index) -> int:
    """Set the words of all nodes from level 1 on; return the number of inner nodes.

    Args:
        states: states of level 0, flat.
        words: words of the levels from 1 on, flat zeros, written.
        shape, start, before: those of the `Layout`.
    """
    inner = 0
    two, four, six = np.uint16(2), np.uint16(4), np.uint16(6)
    for level in range(1, DEPTH + 1):
        ny, width = shape[level - 1, 1], np.uint64(shape[level - 1, 2] // 2)
        # two states along z as one number; the low byte has the lower one
        pairs = states.view(np.uint16)
        for x in range(shape[level - 1, 0] // 2):
            for y in range(ny // 2):
                # unsigned indices are not checked for a negative sign, so that the loop is vectorised
                a = np.uint64(2 * x * ny + 2 * y) * width
                b, c = a + width, a + np.uint64(ny) * width
                d = c + width
                to = ((x + before[level, 0]) * shape[level, 1] + y + before[level, 1]) * shape[level, 2]
                to = np.uint64(to + start[level] + before[level, 2])
                for z in range(width):
                    low = pairs[a + z] | np.uint16(pairs[c + z] << two)
                    words[to + z] = low | np.uint16(pairs[b + z] << four) | np.uint16(pairs[d + z] << six)
        first = start[level]
        states = np.empty(start[level + 1] - first, np.uint8)
        for i in range(states.size):
            word = words[first + i]
            # a word of eight equal states is a leaf or unknown
            same = (word == 0) | (word == _FREE) | (word == _OCCUPIED)
            states[i] = np.uint8(word & 3) | np.uint8(_INNER * (not same))
        for i in range(states.size):
            inner += states[i] == _INNER
    return inner


@compiled
def _write(words: Words, shape: Index, start: Index, base: Index, child: Index, out: Words) -> None:
    """Write the words of all inner nodes in depth-first order.

    Args:
        words: words of the levels from 1 on, flat.
        shape, start, base, child: those of the `Layout`.
        out: written.
    """
    if out.size == 0:
        return
    # pending inner nodes: level and index along x, y, z
    pending = np.zeros((8 * DEPTH, 4), np.int64)
    pending[0, 0] = DEPTH
    count, position = 1, 0
    while count:
        count -= 1
        level = pending[count, 0]
        below = level - 1
        x, y, z = pending[count, 1], pending[count, 2], pending[count, 3]
        word = words[start[level] + (x * shape[level, 1] + y) * shape[level, 2] + z]
        out[position] = word
        position += 1
        x, y, z = base[level, 0] + 2 * x, base[level, 1] + 2 * y, base[level, 2] + 2 * z
        if below == 1:
            first = start[below] + (x * shape[below, 1] + y) * shape[below, 2] + z
            for i in range(8):
                if word >> 2 * i & 3 == _INNER:
                    out[position] = words[first + child[below, i]]
                    position += 1
            continue
        # the child with the lowest index must be popped first and is therefore pushed last
        for i in range(7, -1, -1):
            if word >> 2 * i & 3 == _INNER:
                pending[count, 0], pending[count, 1] = below, x + (i & 1)
                pending[count, 2], pending[count, 3] = y + (i >> 1 & 1), z + (i >> 2)
                count += 1
