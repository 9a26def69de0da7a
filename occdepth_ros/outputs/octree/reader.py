"""Conversion of OctoMap node streams to leaves and to dense grids.

A stream lists nodes in depth-first order, so the reader keeps a stack of the pending nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import DEPTH, Shape, lattice_key

FREE, OCCUPIED = 1, 2
_INNER = 3
COLOR_NODE = np.dtype([("log_odds", "<f4"), ("rgb", "u1", 3), ("children", "u1")])
"""Node of a ColorOcTree's stream."""
PLAIN_NODE = np.dtype([("log_odds", "<f4"), ("children", "u1")])
"""Node of an OcTree's full stream."""
_DAMAGE = ("", "is truncated", "continues after its last node", f"is deeper than {DEPTH} levels")

Keys = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]


class Leaves(NamedTuple):
    """Leaves of an octree in depth-first order.

    Args:
        keys: keys of the lower corners, `[N, 3]`; see `occdepth_ros.outputs.octree.lattice`.
        levels: binary logarithms of the edges in cells, `[N]`.
        nodes: `FREE` or `OCCUPIED` in a binary stream, index of the node in a full stream, `[N]`.
    """

    keys: Keys
    levels: Bytes
    nodes: Keys


def binary_leaves(stream: bytes) -> Leaves:
    """Return the free and occupied leaves of an OcTree's binary stream.

    Raises:
        OccDepthError: the stream is truncated, too long, or has more than 16 levels.
    """
    if len(stream) % 2:
        raise _damaged("ends within a node")
    words = np.frombuffer(stream, "<u2")
    leaves = _empty(leaf_count(words))
    _raise_damage(_binary_leaves(words, *leaves))
    return leaves


def leaf_count(words: npt.NDArray[np.uint16]) -> int:
    """Return the number of leaves in a binary stream; `words` holds two bits for each of 8 children, `[N]`."""
    # a leaf has one of its two bits set; an inner child has both
    leaves = (words & 0x5555 ^ words >> 1 & 0x5555).astype(np.uint16)
    return int(np.unpackbits(leaves.view(np.uint8)).sum())


def full_leaves(stream: bytes, kind: np.dtype[np.void]) -> tuple[Leaves, npt.NDArray[np.void]]:
    """Return the leaves and all nodes of a full stream.

    Args:
        stream: the nodes.
        kind: `COLOR_NODE` or `PLAIN_NODE`.

    Returns:
        the leaves, and the nodes `[N]` of type `kind`, in the order of the stream.

    Raises:
        OccDepthError: the stream is truncated, too long, has more than 16 levels, or holds non-finite log-odds.
    """
    if len(stream) % kind.itemsize:
        raise _damaged("ends within a node")
    nodes = np.frombuffer(stream, kind)
    if not np.isfinite(nodes["log_odds"]).all():
        raise _damaged("holds log-odds that are not finite")
    children = np.ascontiguousarray(nodes["children"])
    leaves = _empty(int((children == 0).sum()))
    _raise_damage(_full_leaves(children, *leaves))
    return leaves, nodes


def read_binary_stream(stream: bytes, grid: VoxelGrid) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the occupied and free cells of an OcTree's binary stream, each `[X, Y, Z]`.

    Cells outside the grid are ignored.

    Raises:
        OccDepthError: the stream is truncated, too long, or has more than 16 levels.
        GridError: the grid's origin is not on the octree's lattice.
    """
    low = lattice_key(grid)
    states = np.zeros(grid.size, np.uint8)
    leaves = binary_leaves(stream)
    for key, level, state in zip(*(array.tolist() for array in leaves), strict=True):
        states[_box(key, level, low)] = state
    return states == OCCUPIED, states == FREE


def read_color_stream(stream: bytes, grid: VoxelGrid) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return the log-odds `[X, Y, Z]` and colours `[X, Y, Z, 3]` of a ColorOcTree's stream.

    Unknown cells have NaN as log-odds; cells without colour are white. Cells outside the grid are ignored.

    Raises:
        OccDepthError: the stream is truncated, too long, has more than 16 levels, or holds non-finite log-odds.
        GridError: the grid's origin is not on the octree's lattice.
    """
    low = lattice_key(grid)
    log_odds = np.full(grid.size, np.nan, np.float32)
    rgb = np.full((*grid.size, 3), 255, np.uint8)
    leaves, nodes = full_leaves(stream, COLOR_NODE)
    for key, level, node in zip(*(array.tolist() for array in leaves), strict=True):
        box = _box(key, level, low)
        log_odds[box] = nodes["log_odds"][node]
        rgb[box] = nodes["rgb"][node]
    return log_odds, rgb


@compiled
def _binary_leaves(words: npt.NDArray[np.uint16], keys: Keys, levels: Bytes, states: Keys) -> int:
    """Write the leaves of a binary stream; return an index of `_DAMAGE`."""
    pending = np.zeros((8 * (DEPTH + 1), 4), np.int64)
    pending[0, 3] = DEPTH
    waiting, position = min(1, words.size), 0
    for word in words:
        if waiting == 0:
            return 2
        waiting -= 1
        x, y, z, level = pending[waiting]
        if level == 0:
            return 3
        half = 1 << (level - 1)
        for child in range(7, -1, -1):
            state = word >> 2 * child & 3
            if state == 0:
                continue
            corner_x, corner_y, corner_z = x + half * (child & 1), y + half * (child >> 1 & 1), z + half * (child >> 2)
            if state == _INNER:
                pending[waiting, 0], pending[waiting, 1] = corner_x, corner_y
                pending[waiting, 2], pending[waiting, 3] = corner_z, level - 1
                waiting += 1
            else:
                keys[position, 0], keys[position, 1], keys[position, 2] = corner_x, corner_y, corner_z
                levels[position], states[position] = level - 1, state
                position += 1
    return 1 if waiting else 0


@compiled
def _full_leaves(children: Bytes, keys: Keys, levels: Bytes, nodes: Keys) -> int:
    """Write the leaves of a full stream; return an index of `_DAMAGE`."""
    pending = np.zeros((8 * (DEPTH + 1), 4), np.int64)
    pending[0, 3] = DEPTH
    waiting, position = min(1, children.size), 0
    for node in range(children.size):
        if waiting == 0:
            return 2
        waiting -= 1
        x, y, z, level = pending[waiting]
        if children[node] == 0:
            keys[position, 0], keys[position, 1], keys[position, 2] = x, y, z
            levels[position], nodes[position] = level, node
            position += 1
            continue
        if level == 0:
            return 3
        half = 1 << (level - 1)
        for child in range(7, -1, -1):
            if children[node] >> child & 1:
                pending[waiting, 0], pending[waiting, 1] = x + half * (child & 1), y + half * (child >> 1 & 1)
                pending[waiting, 2], pending[waiting, 3] = z + half * (child >> 2), level - 1
                waiting += 1
    return 1 if waiting else 0


def _empty(count: int) -> Leaves:
    return Leaves(np.empty((count, 3), np.int32), np.empty(count, np.uint8), np.empty(count, np.int32))


def _box(key: list[int], level: int, low: Shape) -> tuple[slice, slice, slice]:
    x, y, z = (slice(max(0, a - b), max(0, a - b + (1 << level))) for a, b in zip(key, low, strict=True))
    return x, y, z


def _raise_damage(index: int) -> None:
    if index:
        raise _damaged(_DAMAGE[index])


def _damaged(how: str) -> OccDepthError:
    return OccDepthError(
        f"the stream {how}", where="octree", remedy="Check that the stream is complete and has the expected tree type."
    )
