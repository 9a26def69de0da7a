"""Conversion of OctoMap node streams to dense grids.

A stream lists nodes in depth-first order, so the reader keeps a stack of the pending nodes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.octree.lattice import DEPTH, Shape, lattice_key

_FREE, _OCCUPIED, _INNER = 1, 2, 3
_NODE = np.dtype([("log_odds", "<f4"), ("rgb", "u1", 3), ("children", "u1")])

_Node = tuple[int, int, int, int]
"""Key of the lower corner (x, y, z), and edge length in cells."""

_ROOT: _Node = (0, 0, 0, 1 << DEPTH)


def read_binary_stream(stream: bytes, grid: VoxelGrid) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the occupied and free cells of an OcTree's binary stream, each `[X, Y, Z]`.

    Cells outside the grid are ignored.

    Raises:
        OccDepthError: the stream is truncated, too long, or has more than 16 levels.
        GridError: the grid's origin is not on the octree's lattice.
    """
    if len(stream) % 2:
        raise _damaged("ends within a node")
    low = lattice_key(grid)
    states = np.zeros(grid.size, np.uint8)
    pending = [_ROOT] if stream else []
    for word in np.frombuffer(stream, "<u2").tolist():
        node = _next(pending)
        for child in range(7, -1, -1):
            state = word >> 2 * child & 3
            if state == _INNER:
                pending.append(_child(node, child))
            elif state:
                states[_box(_child(node, child), low)] = state
    if pending:
        raise _damaged("is truncated")
    return states == _OCCUPIED, states == _FREE


def read_color_stream(stream: bytes, grid: VoxelGrid) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return the log-odds `[X, Y, Z]` and colours `[X, Y, Z, 3]` of a ColorOcTree's stream.

    Unknown cells have NaN as log-odds; cells without colour are white. Cells outside the grid are ignored.

    Raises:
        OccDepthError: the stream is truncated, too long, has more than 16 levels, or holds non-finite log-odds.
        GridError: the grid's origin is not on the octree's lattice.
    """
    if len(stream) % _NODE.itemsize:
        raise _damaged("ends within a node")
    low = lattice_key(grid)
    log_odds = np.full(grid.size, np.nan, np.float32)
    rgb = np.full((*grid.size, 3), 255, np.uint8)
    nodes = np.frombuffer(stream, _NODE)
    if not np.isfinite(nodes["log_odds"]).all():
        raise _damaged("holds log-odds that are not finite")
    pending = [_ROOT] if stream else []
    for index, children in enumerate(nodes["children"].tolist()):
        node = _next(pending)
        if children:
            pending.extend(_child(node, child) for child in range(7, -1, -1) if children >> child & 1)
        else:
            box = _box(node, low)
            log_odds[box] = nodes["log_odds"][index]
            rgb[box] = nodes["rgb"][index]
    if pending:
        raise _damaged("is truncated")
    return log_odds, rgb


def _next(pending: list[_Node]) -> _Node:
    if not pending:
        raise _damaged("continues after its last node")
    return pending.pop()


def _child(node: _Node, child: int) -> _Node:
    x, y, z, edge = node
    half = edge >> 1
    if not half:
        raise _damaged(f"is deeper than {DEPTH} levels")
    return x + half * (child & 1), y + half * (child >> 1 & 1), z + half * (child >> 2), half


def _box(node: _Node, low: Shape) -> tuple[slice, slice, slice]:
    x, y, z = (slice(max(0, a - b), max(0, a - b + node[3])) for a, b in zip(node, low, strict=False))
    return x, y, z


def _damaged(how: str) -> OccDepthError:
    return OccDepthError(
        f"the stream {how}", where="octree", remedy="Check that the stream is complete and has the expected tree type."
    )
