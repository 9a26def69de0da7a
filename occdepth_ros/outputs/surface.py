"""Occupied voxels at the surface, and the common parts of their merging into boxes and rectangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.selection import Selection, selected_labels
from occdepth_ros.outputs.sparse import Index, set_voxels
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Integers = npt.NDArray[np.int64]

COMPLETED = 256
"""Offset of the class id in the key of a voxel that no ray reached."""


@dataclass(frozen=True)
class Surface:
    """Occupied voxels with an unoccupied neighbour. Space outside the grid is unoccupied.

    Args:
        occupied: `[X, Y, Z]` all selected occupied voxels.
        voxels: `[N]` flat indices of those at the surface, ascending.
        keys: `[N]` class id, plus `COMPLETED` if no ray reached the voxel.
    """

    occupied: npt.NDArray[np.bool_]
    voxels: Index
    keys: Integers


def surface_of(prediction: OccupancyPrediction, selection: Selection) -> Surface:
    """Return the surface of the selected occupied voxels."""
    labels = selected_labels(prediction, selection)
    occupied = (labels - np.uint8(1)) < np.uint8(254)
    voxels = _exposed(occupied)
    keys = labels.reshape(-1).take(voxels).astype(np.int64)
    is_completed = prediction.visibility.reshape(-1).take(voxels) != int(Visibility.SEEN)
    keys += COMPLETED * is_completed
    return Surface(occupied, voxels, keys)


def _exposed(occupied: npt.NDArray[np.bool_]) -> Index:
    """Return the flat indices of voxels with an unoccupied neighbour, computed on eight voxels along z per byte."""
    nx, ny, nz = occupied.shape
    # packing whole rows is much faster if they fill bytes
    packed = np.packbits(occupied if nz % 8 else occupied.reshape(-1), axis=-1, bitorder="little").reshape(-1)
    width = len(packed) // (nx * ny)
    inside = packed.copy()
    for step in (ny * width, width):
        inside[step:] &= packed[:-step]
        inside[:-step] &= packed[step:]
    upper, lower = packed << 7, packed >> 7
    upper[::width] = lower[width - 1 :: width] = 0
    for neighbours, carried, of in (
        (packed >> 1, upper[1:], np.s_[:-1]),
        (packed << 1, lower[:-1], np.s_[1:]),
    ):
        neighbours[of] |= carried
        inside &= neighbours
    # neighbours in the flattened grid are wrong only at the side faces, where every voxel belongs to the surface
    rows = inside.reshape(nx, ny * width)
    rows[0] = rows[-1] = 0
    rows[:, :width] = rows[:, -width:] = 0
    exposed = packed & ~inside
    chosen = set_voxels(exposed != 0)
    bits = np.flatnonzero(np.unpackbits(exposed.take(chosen), bitorder="little").view(np.bool_))
    byte = chosen.take(bits >> 3)
    voxels = (byte << 3) + (bits & 7)
    return voxels - byte // width * (8 * width - nz) if nz % 8 else voxels


def runs(codes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Integers]:
    """Return the first number and the length of each run of consecutive numbers among `codes`, `[N]`."""
    codes = np.sort(codes)
    is_first = np.ones(len(codes), bool)
    np.not_equal(codes[1:], codes[:-1] + 1, out=is_first[1:])
    starts = np.flatnonzero(is_first)
    return codes.take(starts), np.diff(starts, append=len(codes)).astype(np.int64, copy=False)


def nearest(lower: Integers, size: Integers, grid: VoxelGrid, max_count: int) -> npt.NDArray[np.intp] | None:
    """Return the indices of the `max_count` parts nearest to the origin of the grid's frame; None if there are at most
    `max_count`.

    Args:
        lower, size: `[N, 3]` lower corners and edge lengths, voxels.
        grid: grid of the voxels.
        max_count: maximum number of parts.
    """
    if len(lower) <= max_count:
        return None
    x, y = (grid.origin[axis] + grid.resolution * (lower[:, axis] + 0.5 * size[:, axis]) for axis in range(2))
    return np.sort(np.argpartition(x * x + y * y, max_count)[:max_count])
