"""Surface of occupied voxels as boxes with the same class and visibility, with edges of 1, 2, 4 or 8 voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.outputs.surface import COMPLETED, Integers, nearest
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Bytes = npt.NDArray[np.uint8]

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
    labels, visibility = (
        np.ascontiguousarray(field)
        for field in (selected_labels(prediction, include, min_confidence, border), prediction.visibility)
    )
    keys = np.zeros(labels.shape, np.uint16)
    found = np.empty((_mark(labels, visibility, int(Visibility.SEEN), keys), 7), np.int16)
    rows = found[: _merge(keys, found)].astype(np.int64)
    boxes = Boxes(rows[:, :3], rows[:, 3:6], rows[:, 6])
    kept = nearest(boxes.lower, boxes.size, prediction.grid, most)
    return (boxes, 0) if kept is None else (boxes.taken(kept), len(boxes.keys) - most)


@compiled
def _mark(labels: Bytes, visibility: Bytes, seen: int, keys: npt.NDArray[np.uint16]) -> int:
    """Write the keys of the surface voxels into `keys`, `[X, Y, Z]` of zeros, and return their number."""
    nx, ny, nz = labels.shape
    count = 0
    for x in range(nx):
        for y in range(ny):
            inner = 0 < x < nx - 1 and 0 < y < ny - 1
            for z in range(nz):
                label = labels[x, y, z]
                if label == 0 or label == 255:
                    continue
                if (
                    inner
                    and 0 < z < nz - 1
                    and 0 < labels[x - 1, y, z] < 255
                    and 0 < labels[x + 1, y, z] < 255
                    and 0 < labels[x, y - 1, z] < 255
                    and 0 < labels[x, y + 1, z] < 255
                    and 0 < labels[x, y, z - 1] < 255
                    and 0 < labels[x, y, z + 1] < 255
                ):
                    continue
                keys[x, y, z] = label + (0 if visibility[x, y, z] == seen else 256)
                count += 1
    return count


@compiled
def _merge(keys: npt.NDArray[np.uint16], found: npt.NDArray[np.int16]) -> int:
    """Merge voxels with equal keys, first along x, then along y, then along z; sets merged voxels to 0.

    Args:
        keys: `[X, Y, Z]`; 0 = no voxel.
        found: `[N, 7]` receives the lower corner, the exponents and the key of each box.

    Returns:
        the number of boxes.
    """
    nx, ny, nz = keys.shape
    count = 0
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                key = keys[x, y, z]
                if key == 0:
                    continue
                ex = 0
                while ex < 3 and x + (2 << ex) <= nx and _is_filled(keys, x + (1 << ex), y, z, 1 << ex, 1, 1, key):
                    ex += 1
                dx = 1 << ex
                ey = 0
                while ey < 3 and y + (2 << ey) <= ny and _is_filled(keys, x, y + (1 << ey), z, dx, 1 << ey, 1, key):
                    ey += 1
                dy = 1 << ey
                ez = 0
                while ez < 3 and z + (2 << ez) <= nz and _is_filled(keys, x, y, z + (1 << ez), dx, dy, 1 << ez, key):
                    ez += 1
                keys[x : x + dx, y : y + dy, z : z + (1 << ez)] = 0
                row = found[count]
                row[0], row[1], row[2], row[3], row[4], row[5], row[6] = x, y, z, ex, ey, ez, key
                count += 1
    return count


@compiled
def _is_filled(keys: npt.NDArray[np.uint16], x: int, y: int, z: int, dx: int, dy: int, dz: int, key: int) -> bool:
    """Whether all voxels of a box have one key."""
    for i in range(x, x + dx):
        for j in range(y, y + dy):
            for k in range(z, z + dz):
                if keys[i, j, k] != key:
                    return False
    return True
