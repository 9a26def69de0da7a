"""visualization_msgs/MarkerArray of the occupied surface: cubes merged by size, for RViz's stock display.

RViz draws every cube of a CUBE_LIST each frame, so what cannot be seen from outside is left out, aligned blocks of one
class become one cube, and the number of cubes is capped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import ClassTable
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.octree.pyramid import Cells, blockwise, inner_mark, pool
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.outputs.sparse import Index, set_voxels
from occdepth_ros.prediction import OccupancyPrediction, Visibility

LARGEST_LEVEL = 3
"""Cubes have 1, 2, 4 or 8 voxels along an edge."""

SEEN_ALPHA, COMPLETED_ALPHA = 1.0, 0.5

_CUBE_LIST, _ADD, _DELETE_ALL = 6, 0, 3


@dataclass(frozen=True)
class Cubes:
    """Cubes of one size; their index counts cubes of this size from the grid's origin.

    Args:
        level: the edge is 2^level voxels.
        shape: number of possible cubes along x and y.
        column: `[N]` x * shape[1] + y.
        layer: `[N]` z.
        keys: `[N]` label, plus the number of classes where no line of sight reached the cube's voxels.
    """

    level: int
    shape: tuple[int, int]
    column: Index
    layer: Index
    keys: Cells

    @property
    def count(self) -> int:
        """Number of cubes."""
        return len(self.keys)

    def axis_centers(self, grid: VoxelGrid) -> tuple[npt.NDArray[np.floating[Any]], ...]:
        """Where cubes can stand along x and y, metres."""
        edge = grid.resolution * (1 << self.level)
        return tuple(start + edge * (np.arange(n) + 0.5) for start, n in zip(grid.origin, self.shape, strict=False))

    def centers(self, grid: VoxelGrid) -> npt.NDArray[np.float64]:
        """`[N, 3]`, metres."""
        edge = grid.resolution * (1 << self.level)
        along_x, along_y = self.axis_centers(grid)
        x = self.column // self.shape[1]
        points = np.empty((self.count, 3))
        points[:, 0] = along_x.take(x)
        points[:, 1] = along_y.take(self.column - x * self.shape[1])
        points[:, 2] = (self.layer + 0.5) * edge + grid.origin[2]
        return points

    def taken(self, which: Index) -> Cubes:
        """Some of the cubes."""
        return replace(self, column=self.column.take(which), layer=self.layer.take(which), keys=self.keys.take(which))


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
    colors = _colors(prediction.classes)
    parts: list[tuple[str, Cubes]] = []
    for size in cubes:
        hidden = size.keys >= len(prediction.classes)
        for name, which in (("seen", np.flatnonzero(~hidden)), ("completed", np.flatnonzero(hidden))):
            if len(which):
                parts.append((name, size.taken(which)))
    message = CdrWriter()
    message.primitives("I", 1 + len(parts))
    nothing = np.empty((0, 3)), np.empty((0, 4), np.float32)
    _write_marker(message, prediction.stamp_ns, frame_id, "", 0, _DELETE_ALL, 0.0, *nothing)
    for name, part in parts:
        edge = 1 << part.level
        length = edge * prediction.grid.resolution
        points, rgba = part.centers(prediction.grid), colors.take(part.keys, axis=0)
        _write_marker(message, prediction.stamp_ns, frame_id, name, edge, _ADD, length, points, rgba)
    return message.finish()


def surface_cubes(
    prediction: OccupancyPrediction, include: Include, max_markers: int, min_confidence: float = 0.0
) -> tuple[list[Cubes], int]:
    """The cubes to draw, one entry per size from 1 voxel up, and how many were dropped to keep to `max_markers`.

    A voxel is on the surface where one of its six neighbours is not occupied or the grid ends. An aligned block that is
    full of one class, all seen or all completed, is one cube if any of its voxels is on the surface. If there are too
    many cubes, those horizontally farthest from the origin of the grid's frame are dropped.

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
        nx, ny, nz = keys.shape
        voxels = set_voxels(surface)
        column = voxels // nz
        layer = voxels - column * nz
        key = keys.reshape(-1).take(voxels)
        keep = key != inner_mark(keys.dtype)
        if level < LARGEST_LEVEL:
            keys, surface = pool(keys), blockwise(np.bitwise_or, surface.view(np.uint8)).view(np.bool_)
            parents = ((np.arange(nx)[:, None] >> 1) * (ny >> 1) + (np.arange(ny) >> 1)).ravel() * (nz >> 1)
            keep &= keys.reshape(-1).take(parents.take(column) + (layer >> 1)) == inner_mark(keys.dtype)
        cubes.append(Cubes(level, (nx, ny), column, layer, key).taken(np.flatnonzero(keep)))
    return _nearest(cubes, prediction.grid, max_markers)


def _keys(labels: npt.NDArray[np.uint8], visibility: npt.NDArray[np.uint8], count: int) -> Cells:
    """One number for label and completion, `[X, Y, Z]`: 0 where nothing is drawn, label or label + count elsewhere."""
    dtype = np.uint8 if 2 * count < 255 else np.uint16
    occupied = (labels - np.uint8(1)) < np.uint8(count - 1)
    keys: Cells = (visibility != int(Visibility.SEEN)).view(np.uint8) * dtype(count)
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


def _nearest(cubes: list[Cubes], grid: VoxelGrid, most: int) -> tuple[list[Cubes], int]:
    total = sum(size.count for size in cubes)
    if total <= most:
        return cubes, 0
    ranks = []
    for size in cubes:
        x, y = size.axis_centers(grid)
        # in centimetres, so that counting replaces sorting
        distance = (100 * np.sqrt(np.add.outer(x * x, y * y))).astype(np.intp)
        ranks.append(distance.reshape(-1).take(size.column))
    reached = np.cumsum(np.bincount(np.concatenate(ranks)))
    last = int(np.searchsorted(reached, most, side="right"))  # the first distance that does not fit whole
    room = most - (int(reached[last - 1]) if last else 0)
    result = []
    for size, rank in zip(cubes, ranks, strict=True):
        keep = rank < last
        partly = np.flatnonzero(rank == last)[:room]
        room -= len(partly)
        keep[partly] = True
        result.append(size.taken(np.flatnonzero(keep)))
    return result, total - most


def _colors(classes: ClassTable) -> npt.NDArray[np.float32]:
    """Red, green, blue, alpha in 0..1 of every key, `[2 * classes, 4]`."""
    rgba = np.empty((2, len(classes), 4), np.float32)
    rgba[..., :3] = classes.colors[: len(classes)] / np.float32(255)
    rgba[0, :, 3], rgba[1, :, 3] = SEEN_ALPHA, COMPLETED_ALPHA
    return rgba.reshape(-1, 4)


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
