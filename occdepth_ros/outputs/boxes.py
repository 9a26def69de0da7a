"""Surface of occupied voxels as boxes with the same class and visibility, with edges of 1, 2, 4 or 8 voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.selection import Selection, selected_labels
from occdepth_ros.outputs.sparse import Words, count_bits, lowest_bit, occupied_words
from occdepth_ros.outputs.surface import COMPLETED, Integers, nearest
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Bytes = npt.NDArray[np.uint8]

MAX_EXPONENT = 3
"""Binary logarithm of the longest edge. Limits the number of different sizes and thereby of markers: all boxes of a
marker have one size."""
_EXPONENT_BITS = 2
_SEEN = int(Visibility.SEEN)


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


def surface_boxes(prediction: OccupancyPrediction, selection: Selection, max_count: int) -> tuple[Boxes, int]:
    """Merge the occupied voxels that have an unoccupied neighbour into boxes.

    All voxels of a box have the same class and visibility. Each surface voxel belongs to exactly one box, and no other
    voxel does.

    Args:
        prediction: the occupancy.
        selection: the voxels to merge.
        max_count: maximum number of boxes. Boxes with the largest horizontal distance from the origin of the grid's
            frame are dropped first.

    Returns:
        The boxes, and the number of dropped boxes.

    Raises:
        OccDepthError: `max_count` is negative.
    """
    if max_count < 0:
        raise OccDepthError(
            f"the number of boxes {max_count} is negative", where="max_markers", remedy="Give 0 or more."
        )
    labels, visibility = (
        np.ascontiguousarray(field) for field in (selected_labels(prediction, selection), prediction.visibility)
    )
    pending = _surface(occupied_words(labels))
    found = np.empty((count_bits(pending), 7), np.int16)
    rows = found[: _merge(pending, labels, visibility, found)].astype(np.int64)
    boxes = Boxes(rows[:, :3], rows[:, 3:6], rows[:, 6])
    kept = nearest(boxes.lower, boxes.size, prediction.grid, max_count)
    return (boxes, 0) if kept is None else (boxes.taken(kept), len(boxes.keys) - max_count)


@compiled
def _surface(occupied: Words) -> Words:
    """Return the occupied voxels with an unoccupied neighbour, as bits of columns, `[X, Y, W]`."""
    nx, ny, width = occupied.shape
    surface = occupied.copy()
    one, top = np.uint64(1), np.uint64(63)
    for x in range(1, nx - 1):
        for y in range(1, ny - 1):
            for i in range(width):
                word = occupied[x, y, i]
                if word == 0:
                    continue
                above, below = word >> one, word << one
                if i + 1 < width:
                    above |= occupied[x, y, i + 1] << top
                if i > 0:
                    below |= occupied[x, y, i - 1] >> top
                inside = above & below & occupied[x - 1, y, i] & occupied[x + 1, y, i]
                surface[x, y, i] = word & ~(inside & occupied[x, y - 1, i] & occupied[x, y + 1, i])
    return surface


@compiled
def _merge(pending: Words, labels: Bytes, visibility: Bytes, found: npt.NDArray[np.int16]) -> int:
    """Merge voxels of one class and visibility, first along x, then along y, then along z.

    Args:
        pending: voxels to merge, as bits of columns, `[X, Y, W]`; becomes 0.
        labels, visibility: `[X, Y, Z]`.
        found: `[N, 7]` receives the lower corner, the exponents and the key of each box.

    Returns:
        the number of boxes.
    """
    nx, ny, nz = labels.shape
    count = 0
    for x in range(nx):
        for y in range(ny):
            for i in range(pending.shape[2]):
                while pending[x, y, i] != 0:
                    z = 64 * i + int(lowest_bit(pending[x, y, i]))
                    label, seen = labels[x, y, z], visibility[x, y, z] == _SEEN
                    ex = 0
                    while ex < MAX_EXPONENT and x + (2 << ex) <= nx:
                        if not _is_filled(pending, labels, visibility, x + (1 << ex), y, z, 1 << ex, 1, 1, label, seen):
                            break
                        ex += 1
                    dx = 1 << ex
                    ey = 0
                    while ey < MAX_EXPONENT and y + (2 << ey) <= ny:
                        if not _is_filled(
                            pending, labels, visibility, x, y + (1 << ey), z, dx, 1 << ey, 1, label, seen
                        ):
                            break
                        ey += 1
                    dy = 1 << ey
                    ez = 0
                    while ez < MAX_EXPONENT and z + (2 << ez) <= nz:
                        if not _is_filled(
                            pending, labels, visibility, x, y, z + (1 << ez), dx, dy, 1 << ez, label, seen
                        ):
                            break
                        ez += 1
                    for column_x in range(x, x + dx):
                        for column_y in range(y, y + dy):
                            for k in range(z, z + (1 << ez)):
                                pending[column_x, column_y, k >> 6] &= ~(np.uint64(1) << np.uint64(k & 63))
                    row = found[count]
                    row[0], row[1], row[2], row[3], row[4], row[5] = x, y, z, ex, ey, ez
                    row[6] = label + (0 if seen else COMPLETED)
                    count += 1
    return count


@compiled
def _is_filled(
    pending: Words,
    labels: Bytes,
    visibility: Bytes,
    x: int,
    y: int,
    z: int,
    dx: int,
    dy: int,
    dz: int,
    label: int,
    seen: bool,
) -> bool:
    """Return whether all voxels of a box are pending and have one class and visibility."""
    for i in range(x, x + dx):
        for j in range(y, y + dy):
            for k in range(z, z + dz):
                if pending[i, j, k >> 6] >> np.uint64(k & 63) & np.uint64(1) == 0:
                    return False
                if labels[i, j, k] != label or (visibility[i, j, k] == _SEEN) != seen:
                    return False
    return True
