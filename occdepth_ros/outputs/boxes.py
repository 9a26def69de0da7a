"""Surface of occupied voxels as boxes with the same class and visibility, with edges of 1, 2, 4 or 8 voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.selection import Include
from occdepth_ros.outputs.sparse import unravel
from occdepth_ros.outputs.surface import COMPLETED, KEY_BITS, Integers, nearest, runs, surface_of
from occdepth_ros.prediction import OccupancyPrediction

MAX_EXPONENT = 3
"""Binary logarithm of the longest edge. Few different sizes need few markers: all boxes of a marker have one size."""
_EXPONENT_BITS = 2


@dataclass(frozen=True)
class Boxes:
    """Axis-aligned boxes of voxels.

    Args:
        lower: `[N, 3]` voxel indices of the lower corner.
        exponents: `[N, 3]` binary logarithm of the edge lengths in voxels, 0..3.
        keys: `[N]` class id, plus 256 if no ray reached the voxels.
    """

    lower: Integers
    exponents: Integers
    keys: Integers

    @property
    def size(self) -> Integers:
        """Edge lengths in voxels, `[N, 3]`."""
        return 1 << self.exponents

    def taken(self, which: npt.NDArray[np.intp]) -> Boxes:
        """Return the boxes with the indices `which`, `[M]`."""
        lower, exponents = self.lower.take(which, axis=0), self.exponents.take(which, axis=0)
        return replace(self, lower=lower, exponents=exponents, keys=self.keys.take(which))

    def sorted_by_size(self) -> tuple[Boxes, list[slice]]:
        """Return the boxes in another order, and the slices of boxes with the same size and visibility."""
        x, y, z = self.exponents.T
        code = (x | y << _EXPONENT_BITS | z << 2 * _EXPONENT_BITS).astype(np.uint8)
        code |= (self.keys >= COMPLETED).view(np.uint8) << 7
        order = np.argsort(code, kind="stable")
        stops = [*(np.flatnonzero(np.diff(code.take(order))) + 1).tolist(), len(order)]
        return self.taken(order), [slice(start, stop) for start, stop in pairwise([0, *stops]) if stop > start]

    def centers(self, grid: VoxelGrid) -> npt.NDArray[np.float64]:
        """Return the centres, `[N, 3]` metres in the grid's frame."""
        return np.asarray(grid.origin) + grid.resolution * (self.lower + 0.5 * self.size)


def surface_boxes(
    prediction: OccupancyPrediction,
    include: Include,
    most: int,
    min_confidence: float = 0.0,
    border: int = 0,
) -> tuple[Boxes, int]:
    """Merge the occupied voxels that have an unoccupied neighbour into boxes.

    All voxels of a box have the same class and visibility. Each surface voxel belongs to exactly one box, and no other
    voxel does.

    Args:
        prediction: the occupancy.
        include, min_confidence, border: as in `selected_labels`.
        most: maximum number of boxes. Boxes with the largest horizontal distance from the origin of the grid's frame
            are dropped first.

    Returns:
        The boxes, and the number of dropped boxes.

    Raises:
        OccDepthError: `most` is negative.
    """
    if most < 0:
        raise OccDepthError(f"the number of boxes {most} is negative", where="max_markers", remedy="Give 0 or more.")
    surface = surface_of(prediction, include, min_confidence, border)
    shape = prediction.grid.size
    boxes = _merged(unravel(surface.voxels, shape), surface.keys, shape)
    kept = nearest(boxes.lower, boxes.size, prediction.grid, most)
    return (boxes, 0) if kept is None else (boxes.taken(kept), len(boxes.keys) - most)


def _merged(index: tuple[Integers, ...], keys: Integers, shape: tuple[int, int, int]) -> Boxes:
    """Merge along x, then y, then z: adjacent boxes with equal keys, cross-sections and positions."""
    widths = [(size - 1).bit_length() for size in shape]
    lower: list[Integers] = list(index)
    exponents: list[Integers] = [np.empty(0, np.int64)] * 3
    for axis in range(3):
        fields = [(lower, other, widths[other]) for other in range(3) if other != axis]
        fields += [(exponents, other, _EXPONENT_BITS) for other in range(axis)]
        # one more bit, which is always 0, keeps the codes of different rows from being consecutive
        fields.append((lower, axis, widths[axis] + 1))
        bits = KEY_BITS + sum(width for _, _, width in fields)
        # sorting of 32 bits is twice as fast
        code: npt.NDArray[Any] = keys.astype(np.uint32 if bits <= 32 else np.int64)
        for values, other, width in fields:
            code <<= width
            code |= values[other].astype(code.dtype, copy=False)
        code, exponent = _cut(*runs(code))
        for values, other, width in reversed(fields):
            values[other] = code & ((1 << width) - 1)
            code >>= width
        keys, exponents[axis] = code, exponent
    return Boxes(np.stack(lower, axis=1), np.stack(exponents, axis=1), keys)


def _cut(codes: Integers, lengths: Integers) -> tuple[Integers, Integers]:
    """Cut runs of consecutive codes into pieces of 8, 4, 2 and 1: first code and exponent of each piece."""
    codes = codes.astype(np.int64)
    whole = lengths >> MAX_EXPONENT
    pieces = np.repeat(codes - ((np.cumsum(whole) - whole) << MAX_EXPONENT), whole)
    pieces += np.arange(len(pieces)) << MAX_EXPONENT
    parts = [pieces]
    codes += whole << MAX_EXPONENT
    for exponent in range(MAX_EXPONENT - 1, -1, -1):
        which = np.flatnonzero((lengths & (1 << exponent)) != 0)
        parts.append(codes.take(which))
        codes[which] += 1 << exponent
    counts = [len(part) for part in parts]
    return np.concatenate(parts), np.repeat(np.arange(MAX_EXPONENT, -1, -1), counts)
