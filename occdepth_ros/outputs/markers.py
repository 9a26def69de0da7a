"""visualization_msgs/MarkerArray of the occupied surface: cubes merged by size, for RViz's stock display.

RViz draws every cube of a CUBE_LIST each frame, so what cannot be seen from outside is left out, aligned blocks of one
class become one cube, and the number of cubes is capped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import ClassTable
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.octree.pyramid import Cells, inner_mark, pool
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.outputs.sparse import Index, set_voxels, unravel
from occdepth_ros.prediction import OccupancyPrediction, Visibility

LARGEST_LEVEL = 3
"""Cubes have 1, 2, 4 or 8 voxels along an edge."""

SEEN_ALPHA, COMPLETED_ALPHA = 1.0, 0.5

_CUBE_LIST, _ADD, _DELETE_ALL = 6, 0, 3


@dataclass(frozen=True)
class Cubes:
    """Cubes of one size.

    Args:
        level: the edge is 2^level voxels.
        index: x, y, z of the cubes, in cubes of this size from the grid's origin, `[N]` each.
        keys: `[N]` label, plus the number of classes where no line of sight reached the cube's voxels.
    """

    level: int
    index: tuple[Index, Index, Index]
    keys: Cells

    @property
    def count(self) -> int:
        """Number of cubes."""
        return len(self.keys)

    def centers(self, grid: VoxelGrid, axis: int) -> npt.NDArray[np.floating[Any]]:
        """Coordinate of every possible cube along an axis, metres."""
        edge = 1 << self.level
        return grid.origin[axis] + grid.resolution * edge * (np.arange(-(-grid.size[axis] // edge)) + 0.5)

    def taken(self, which: Index) -> Cubes:
        """Some of the cubes."""
        x, y, z = (axis.take(which) for axis in self.index)
        return Cubes(self.level, (x, y, z), self.keys.take(which))


def encode_markers(
    prediction: OccupancyPrediction,
    frame_id: str,
    include: Include = "all",
    max_markers: int = 50_000,
    min_confidence: float = 0.0,
) -> bytes:
    """Serialised visualization_msgs/MarkerArray: DELETEALL, then a CUBE_LIST per size, seen and completed apart.

    The namespaces `seen` and `completed` can be switched in RViz; the id is the edge length in voxels. Completed cubes
    are half transparent.

    Args:
        prediction: what is where.
        frame_id: frame of the header.
        include: which voxels count.
        max_markers: most cubes in the message; `surface_cubes` says which are dropped.
        min_confidence: probability below which a voxel is left out.

    Raises:
        OccDepthError: `max_markers` is negative.
    """
    cubes, _ = surface_cubes(prediction, include, max_markers, min_confidence)
    count = len(prediction.classes)
    parts: list[tuple[str, npt.NDArray[np.float32], Cubes]] = []
    for size in cubes:
        hidden = size.keys >= count
        for name, alpha, which in (("seen", SEEN_ALPHA, ~hidden), ("completed", COMPLETED_ALPHA, hidden)):
            if which.any():
                parts.append((name, _colors(prediction.classes, alpha), size.taken(np.flatnonzero(which))))
    message = CdrWriter()
    message.primitives("I", 1 + len(parts))
    nothing = np.empty((0, 3)), np.empty((0, 4), np.float32)
    _write_marker(message, prediction.stamp_ns, frame_id, "", 0, _DELETE_ALL, 0.0, *nothing)
    for name, colors, part in parts:
        edge = 1 << part.level
        points = np.empty((part.count, 3))
        for axis, index in enumerate(part.index):
            points[:, axis] = part.centers(prediction.grid, axis).take(index)
        colors = colors.take(part.keys % count, axis=0)
        length = edge * prediction.grid.resolution
        _write_marker(message, prediction.stamp_ns, frame_id, name, edge, _ADD, length, points, colors)
    return message.finish()


def surface_cubes(
    prediction: OccupancyPrediction, include: Include, max_markers: int, min_confidence: float = 0.0
) -> tuple[list[Cubes], int]:
    """The cubes to draw, one entry per size from 1 voxel up, and how many were dropped to keep to `max_markers`.

    A voxel is on the surface where one of its six neighbours is not occupied or the grid ends. An aligned block that is
    full of one class, all seen or all completed, is one cube if any of its voxels is on the surface. If there are too
    many cubes, those farthest from the origin of the grid's frame are dropped.

    Raises:
        OccDepthError: `max_markers` is negative.
    """
    if max_markers < 0:
        raise OccDepthError(f"{max_markers} is no number of cubes", where="max_markers", remedy="Give 0 or more.")
    labels = selected_labels(prediction, include, min_confidence)
    keys = _keys(labels, prediction.visibility, len(prediction.classes))
    surface = _surface(keys != 0)
    cubes: list[Cubes] = []
    for level in range(LARGEST_LEVEL + 1):
        keys, surface = _even(keys), _even(surface)
        voxels = set_voxels(surface)
        key = keys.reshape(-1).take(voxels)
        keep = key != inner_mark(keys.dtype)
        x, y, z = unravel(voxels, keys.shape)
        if level < LARGEST_LEVEL:
            keys, surface = pool(keys), _any_pooled(surface)
            _, ny, nz = keys.shape
            parent = keys.reshape(-1).take(((x >> 1) * ny + (y >> 1)) * nz + (z >> 1))
            keep &= parent == inner_mark(keys.dtype)
        cubes.append(Cubes(level, (x, y, z), key).taken(np.flatnonzero(keep)))
    return _nearest(cubes, prediction.grid, max_markers)


def _keys(labels: npt.NDArray[np.uint8], visibility: npt.NDArray[np.uint8], count: int) -> Cells:
    """One number for label and completion, `[X, Y, Z]`: 0 where nothing is drawn, label or label + count elsewhere."""
    dtype = np.uint8 if 2 * count < 255 else np.uint16
    occupied = (labels - np.uint8(1)) < np.uint8(count - 1)
    keys: Cells = (visibility != Visibility.SEEN).view(np.uint8) * dtype(count)
    keys += labels
    keys *= occupied.view(np.uint8)
    return keys


def _surface(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Occupied voxels with a neighbour that is not, `[X, Y, Z]`."""
    flat = occupied.reshape(-1)
    inside = flat.copy()
    # neighbours of the flattened grid: wrong only across its faces, which are surface anyway
    for step in (occupied.shape[1] * occupied.shape[2], occupied.shape[2], 1):
        inside[step:] &= flat[:-step]
        inside[:-step] &= flat[step:]
    dense = inside.reshape(occupied.shape)
    for axis in range(3):
        faces = np.moveaxis(dense, axis, 0)
        faces[0] = faces[-1] = False
    return np.greater(occupied, dense)


def _even(cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pad with nothing to even sizes."""
    if not any(n & 1 for n in cells.shape):
        return cells
    return np.pad(cells, [(0, n & 1) for n in cells.shape])


def _any_pooled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    pairs = mask[0::2] | mask[1::2]
    pairs = pairs[:, 0::2] | pairs[:, 1::2]
    return np.not_equal(pairs.view(np.uint16), 0)


def _nearest(cubes: list[Cubes], grid: VoxelGrid, most: int) -> tuple[list[Cubes], int]:
    total = sum(size.count for size in cubes)
    if total <= most:
        return cubes, 0
    distances = [
        sum(np.square(size.centers(grid, axis)).astype(np.float32).take(size.index[axis]) for axis in range(3))
        for size in cubes
    ]
    keep = np.zeros(total, bool)
    keep[np.argpartition(np.concatenate(distances), most)[:most]] = True
    ends = np.cumsum([size.count for size in cubes])[:-1]
    parts = zip(cubes, np.split(keep, ends), strict=True)
    return [size.taken(np.flatnonzero(mine)) for size, mine in parts], total - most


def _colors(classes: ClassTable, alpha: float) -> npt.NDArray[np.float32]:
    """Red, green, blue, alpha in 0..1 of every label, `[256, 4]`."""
    rgba = np.full((256, 4), alpha, np.float32)
    rgba[:, :3] = classes.colors / np.float32(255)
    return rgba


def _write_marker(
    message: CdrWriter,
    stamp_ns: int,
    frame_id: str,
    namespace: str,
    identity: int,
    action: int,
    edge: float,
    centers: npt.NDArray[np.float64],
    colors: npt.NDArray[np.float32],
) -> None:
    """Write a visualization_msgs/Marker; it lives until it is replaced."""
    message.header(stamp_ns, frame_id)
    message.string(namespace)
    message.primitives("iii", identity, _CUBE_LIST, action)
    message.pose()
    message.primitives("ddd", edge, edge, edge)
    message.primitives("ffff", 0.0, 0.0, 0.0, 1.0)
    message.primitives("iI?", 0, 0, False)
    message.sequence(centers)
    message.sequence(colors)
    message.string("")  # texture_resource
    message.header(0, "")  # texture
    message.string("")
    message.primitives("I", 0)
    message.primitives("I", 0)  # uv_coordinates
    message.string("")  # text
    message.string("")  # mesh_resource
    message.string("")  # mesh_file
    message.primitives("I", 0)
    message.primitives("?", False)
