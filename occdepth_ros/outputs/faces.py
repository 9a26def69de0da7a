"""Surface of occupied voxels as axis-aligned rectangles of exposed faces with the same class and visibility."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.selection import Selection
from occdepth_ros.outputs.sparse import unravel
from occdepth_ros.outputs.surface import Integers, Surface, nearest, runs, surface_of
from occdepth_ros.prediction import OccupancyPrediction


@dataclass(frozen=True)
class Rectangles:
    """Rectangles of voxel faces with the same normal.

    Args:
        axis: normal of the faces: 0 = x, 1 = y, 2 = z.
        is_upper: whether the normal points in the positive direction of the axis.
        lower: `[N, 3]` voxel indices of the lower corner; the plane is at `lower[:, axis]`, in voxels from the origin.
        size: `[N, 3]` edge lengths in voxels; 0 along `axis`.
        keys: `[N]` class id, plus 256 if no ray reached the voxels.
    """

    axis: int
    is_upper: bool
    lower: Integers
    size: Integers
    keys: Integers

    def taken(self, which: npt.NDArray[np.intp]) -> Rectangles:
        """Return the rectangles with the indices `which`, `[M]`."""
        return replace(self, lower=self.lower[which], size=self.size[which], keys=self.keys[which])

    def triangles(self, grid: VoxelGrid, enlarged: float = 0.0) -> npt.NDArray[np.float64]:
        """Return two triangles per rectangle, `[N, 6, 3]` metres, with corners counterclockwise as seen from outside.

        Args:
            grid: grid of the voxels.
            enlarged: distance that each edge is moved outwards, voxels.
        """
        points = np.empty((len(self.keys), 6, 3))
        points[..., self.axis] = (grid.origin[self.axis] + grid.resolution * self.lower[:, self.axis])[:, None]
        turns = ((0, 0), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1))
        for turn, axis in enumerate(((self.axis + 1) % 3, (self.axis + 2) % 3)):
            low = grid.origin[axis] + grid.resolution * (self.lower[:, axis] - enlarged)
            high = low + grid.resolution * (self.size[:, axis] + 2 * enlarged)
            for corner, ends in enumerate(turns):
                # exchanging the two in-plane axes reverses the winding order
                points[:, corner, axis] = high if ends[turn if self.is_upper else 1 - turn] else low
        return points


def exposed_rectangles(
    prediction: OccupancyPrediction, selection: Selection, max_count: int
) -> tuple[list[Rectangles], int]:
    """Merge the faces between occupied voxels and unoccupied neighbours into rectangles, for each direction.

    All faces of a rectangle have the same plane, class and visibility. Each face belongs to exactly one rectangle.

    Args:
        prediction: the occupancy.
        selection: the voxels to merge.
        max_count: maximum number of rectangles. Rectangles with the largest horizontal distance from the origin of the
            grid's frame are dropped first.

    Returns:
        The rectangles of the directions +x, -x, +y, -y, +z, -z, and the number of dropped rectangles.

    Raises:
        OccDepthError: `max_count` is negative.
    """
    if max_count < 0:
        raise OccDepthError(
            f"the number of rectangles {max_count} is negative", where="max_markers", remedy="Give 0 or more."
        )
    surface = surface_of(prediction, selection)
    return _nearest(list(_directions(surface)), prediction.grid, max_count)


def _directions(surface: Surface) -> Iterator[Rectangles]:
    shape, voxels, keys = surface.occupied.shape, surface.voxels, surface.keys
    flat = surface.occupied.reshape(-1)
    index = unravel(voxels, shape)
    strides = (shape[1] * shape[2], shape[2], 1)
    for axis in range(3):
        for is_upper, step, last in ((True, strides[axis], shape[axis] - 1), (False, -strides[axis], 0)):
            # An index outside the array belongs to a face on the boundary of the grid, which is exposed in any case.
            neighbour = flat.take(voxels + step, mode="clip")
            which = np.flatnonzero(~neighbour | (index[axis] == last))
            plane = index[axis].take(which) + is_upper
            first, second = (axis + 1) % 3, (axis + 2) % 3
            yield _merged(
                axis,
                is_upper,
                plane,
                index[first].take(which),
                index[second].take(which),
                keys.take(which),
                (shape[first], shape[second]),
            )


def _merged(
    axis: int,
    is_upper: bool,
    plane: Integers,
    first: Integers,
    second: Integers,
    keys: Integers,
    shape: tuple[int, int],
) -> Rectangles:
    """Merge faces of one direction: first into runs along `second`, then adjacent equal runs along `first`."""
    na, nb = shape[0] + 1, shape[1] + 1
    # Adjacent faces of a run have consecutive codes.
    code, length = runs(((plane * na + first) * 512 + keys) * nb + second)
    code, second = code // nb, code % nb
    code, keys = code >> 9, code & 511
    plane, first = code // na, code % na
    code, width = runs((((plane * nb + second) * nb + length) * 512 + keys) * na + first)
    code, first = code // na, code % na
    code, keys = code >> 9, code & 511
    code, length = code // nb, code % nb
    plane, second = code // nb, code % nb
    lower, size = np.zeros((len(keys), 3), np.int64), np.zeros((len(keys), 3), np.int64)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    lower[:, axis], lower[:, a], lower[:, b] = plane, first, second
    size[:, a], size[:, b] = width, length
    return Rectangles(axis, is_upper, lower, size, keys)


def _nearest(directions: list[Rectangles], grid: VoxelGrid, max_count: int) -> tuple[list[Rectangles], int]:
    total = sum(len(found.keys) for found in directions)
    if total <= max_count:
        return directions, 0
    lower, size = (np.concatenate([getattr(found, name) for found in directions]) for name in ("lower", "size"))
    chosen = np.zeros(total, bool)
    chosen[nearest(lower, size, grid, max_count)] = True
    parts = np.split(chosen, np.cumsum([len(found.keys) for found in directions])[:-1])
    kept = [found.taken(np.flatnonzero(part)) for found, part in zip(directions, parts, strict=True)]
    return kept, total - max_count
