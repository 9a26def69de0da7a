"""Compiled loops of the sparse blocks: neighbours, inputs and gathered rows of the rows close to a surface.

Terms and number formats as in `lifting`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.models.edge_bev.formats import number, stored

BFLOAT16_WORDS = 4
"""Number of 64-bit words of the 16 channels of a row in bfloat16."""


@compiled
def link(start: Any, stop: Any, voxel: Any, place: Any, size: Any, out: Any) -> None:
    """Write the indices of the 27 neighbours of the near rows from `start` to `stop`, see `surface.neighbours_of`.

    Args:
        voxel: flat lifted voxel of each near row, `[S]`.
        place: index of every lifted voxel of the grid with a border of one among the near rows, S = none, flat.
        size: lifted voxels along x, y, z.
        out: `[S, 27]` int32.
    """
    ny, nz = size[1] + 2, size[2] + 2
    for s in range(start, stop):
        corner = _bordered(voxel[s], size) - (ny + 1) * nz - 1
        at = 0
        for dx in range(3):
            for dy in range(3):
                line = corner + (dx * ny + dy) * nz
                for dz in range(3):
                    out[s, at] = place[line + dz]
                    at += 1


@compiled
def write_places(voxel: Any, size: Any, out: Any) -> None:
    """Write the argument `place` of `link` from its argument `voxel`."""
    out[:] = len(voxel)
    for s in range(len(voxel)):
        out[_bordered(voxel[s], size)] = s


@compiled
def _bordered(voxel: Any, size: Any) -> Any:
    """Return the flat index in a grid with a border of one voxel."""
    z = voxel % size[2]
    column = voxel // size[2]
    return ((column // size[1] + 1) * (size[1] + 2) + column % size[1] + 1) * (size[2] + 2) + z + 1


@compiled
def gather(start: Any, stop: Any, x: Any, neighbours: Any, out: Any) -> None:
    """Write the concatenated rows of the 27 neighbours, `[stop - start, 27 W]`, from rows of W 64-bit words.

    Args:
        x: `[S + 1, W]` int64.
        neighbours: see `link`.
        out: `[at least stop - start, 27 W]` int64.
    """
    words = x.shape[1]
    for s in range(start, stop):
        row = out[s - start]
        for k in range(neighbours.shape[1]):
            at = neighbours[s, k]
            if words == BFLOAT16_WORDS:
                # a constant number of words is copied by vector instructions
                for w in range(BFLOAT16_WORDS):
                    row[k * BFLOAT16_WORDS + w] = x[at, w]
            else:
                for w in range(words):
                    row[k * words + w] = x[at, w]


@compiled
def write_surface(start: Any, stop: Any, near: Any, lifted: Any, offset: Any, out: Any) -> None:
    """Write the input of the first sparse block: channels of the lifted rows from `offset` on, after ReLU, `[S, W]`."""
    for s in range(start, stop):
        row = near[s]
        for c in range(out.shape[1]):
            out[s, c] = stored(max(number(lifted[row, offset + c]), np.float32(0)), out[0, 0])


@compiled
def write_refinement(
    start: Any, stop: Any, near: Any, voxel: Any, lifted: Any, beside: Any, offset: Any, context: Any, out: Any
) -> None:
    """Write the input of the second sparse block, `[S, W]`.

    Args:
        near: index of each near row, `[S]`.
        voxel: flat lifted voxel of each near row, `[S]`.
        lifted: `[R, C]`; its last W channels are read.
        beside: increments of the first sparse block, `[S, B]`; the last W channels are read.
        offset: first channel of these in `beside`.
        context: context of every lifted voxel, `[N, W]`.
        out: `[S, W]`.
    """
    width = out.shape[1]
    first = lifted.shape[1] - width
    for s in range(start, stop):
        row, at = near[s], voxel[s]
        for c in range(width):
            value = number(lifted[row, first + c]) + number(beside[s, offset + c]) + number(context[at, c])
            out[s, c] = stored(max(value, np.float32(0)), out[0, 0])
