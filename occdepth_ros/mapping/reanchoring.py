"""Moves the content of the window after a jump of the pose, so that it keeps its position relative to the vehicle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.mapping.state import Lattice, MapState


def moved(state: MapState, low: Lattice, new_from_old: npt.NDArray[np.float64], resolution: float) -> MapState:
    """Return a window with the content of another one after a rigid motion, by nearest neighbour.

    Args:
        state: the window.
        low: lattice index of the lowest voxel of the new window, multiples of `BLOCK`.
        new_from_old: motion of the content in the map's frame, `[4, 4]`.
        resolution: edge of a voxel, metres.
    """
    out = MapState.of_size(state.size, low)
    fields: tuple[Any, ...] = out.voxels
    inverse = np.linalg.inv(new_from_old)
    rotation, shift = inverse[:3, :3], inverse[:3, 3] / resolution
    y, z = (np.arange(a, a + n) + 0.5 for a, n in zip(low[1:], state.size[1:], strict=True))
    flat = [array.reshape(-1) for array in state.voxels]
    for x in range(low[0], low[0] + state.size[0]):
        source = np.zeros((len(y), len(z)), np.int64)
        inside = np.ones(source.shape, bool)
        for axis, (first, count) in enumerate(zip(state.low, state.size, strict=True)):
            row = rotation[axis, 0] * (x + 0.5) + shift[axis] + rotation[axis, 1] * y
            index = np.floor(row[:, None] + rotation[axis, 2] * z).astype(np.int64)
            inside &= (index >= first) & (index < first + count)
            source = source * count + index % count
        columns, layers = np.nonzero(inside)
        if not len(columns):
            continue
        found = source[columns, layers]
        # arrays are addressed modulo their size
        at = (x % state.size[0], (columns + low[1]) % state.size[1], (layers + low[2]) % state.size[2])
        for target, values in zip(fields, flat, strict=True):
            target[at] = values[found]
    return out
