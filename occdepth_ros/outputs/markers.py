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
        centers: `[N, 3]` float64, metres.
        labels: `[N]` uint8.
        completed: `[N]` bool, no line of sight reached the cube's voxels.
    """

    level: int
    centers: npt.NDArray[np.float64]
    labels: npt.NDArray[np.uint8]
    completed: npt.NDArray[np.bool_]


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
    parts = [
        (namespace, alpha, size, size.completed == completed)
        for size in cubes
        for namespace, alpha, completed in (("seen", SEEN_ALPHA, False), ("completed", COMPLETED_ALPHA, True))
    ]
    parts = [part for part in parts if part[3].any()]
    message = CdrWriter()
    message.primitives("I", 1 + len(parts))
    nothing = np.empty((0, 3)), np.empty((0, 4), np.float32)
    _write_marker(message, prediction.stamp_ns, frame_id, "", 0, _DELETE_ALL, 0.0, *nothing)
    for namespace, alpha, size, of_kind in parts:
        edge = 1 << size.level
        colors = _colors(prediction.classes, alpha).take(size.labels[of_kind], axis=0)
        centers = size.centers[of_kind]
        length = edge * prediction.grid.resolution
        _write_marker(message, prediction.stamp_ns, frame_id, namespace, edge, _ADD, length, centers, colors)
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
    classes = prediction.classes
    labels = selected_labels(prediction, include, min_confidence)
    keys = _keys(labels, prediction.visibility, len(classes))
    surface = _surface(keys != 0)
    cubes: list[Cubes] = []
    for level in range(LARGEST_LEVEL + 1):
        coarser = level < LARGEST_LEVEL
        if coarser:
            keys, surface = _even(keys), _even(surface)
            parents, parent_surface = pool(keys), _any_pooled(surface)
        voxels = set_voxels(surface)
        x, y, z = unravel(voxels, keys.shape)
        key = keys.reshape(-1).take(voxels)
        if coarser:
            _, py, pz = parents.shape
            keep = parents.reshape(-1).take(((x >> 1) * py + (y >> 1)) * pz + (z >> 1)) == inner_mark(keys.dtype)
        else:
            keep = np.ones(len(voxels), bool)
        keep &= key != inner_mark(keys.dtype)
        kept = np.flatnonzero(keep)
        key = key.take(kept)
        centers = _centers(prediction.grid, level, (x.take(kept), y.take(kept), z.take(kept)))
        completed = key >= len(classes)
        cubes.append(Cubes(level, centers, (key % len(classes)).astype(np.uint8), completed))
        if coarser:
            keys, surface = parents, parent_surface
    return _nearest(cubes, max_markers)


def _keys(labels: npt.NDArray[np.uint8], visibility: npt.NDArray[np.uint8], count: int) -> Cells:
    """One number for label and completion, `[X, Y, Z]`: 0 where nothing is drawn, label or label + count elsewhere."""
    dtype = np.uint8 if 2 * count < 255 else np.uint16
    occupied = (labels - np.uint8(1)) < np.uint8(count - 1)
    keys: Cells = np.multiply(visibility != Visibility.SEEN, count, dtype=dtype)
    keys += labels
    keys *= occupied.view(np.uint8)
    return keys


def _surface(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Occupied voxels with a neighbour that is not, `[X, Y, Z]`."""
    inside = np.zeros_like(occupied)
    core = occupied[1:-1, 1:-1, 1:-1] & occupied[2:, 1:-1, 1:-1]
    core &= occupied[:-2, 1:-1, 1:-1]
    core &= occupied[1:-1, 2:, 1:-1]
    core &= occupied[1:-1, :-2, 1:-1]
    core &= occupied[1:-1, 1:-1, 2:]
    core &= occupied[1:-1, 1:-1, :-2]
    inside[1:-1, 1:-1, 1:-1] = core
    return occupied & ~inside


def _even(cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pad with nothing to even sizes."""
    if not any(n & 1 for n in cells.shape):
        return cells
    return np.pad(cells, [(0, n & 1) for n in cells.shape])


def _any_pooled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    pairs = mask[0::2] | mask[1::2]
    pairs = pairs[:, 0::2] | pairs[:, 1::2]
    return pairs[:, :, 0::2] | pairs[:, :, 1::2]


def _centers(grid: VoxelGrid, level: int, index: tuple[Index, Index, Index]) -> npt.NDArray[np.float64]:
    edge = grid.resolution * (1 << level)
    centers = np.empty((len(index[0]), 3))
    for axis in range(3):
        centers[:, axis] = (index[axis] + 0.5) * edge + grid.origin[axis]
    return centers


def _nearest(cubes: list[Cubes], most: int) -> tuple[list[Cubes], int]:
    total = sum(len(size.labels) for size in cubes)
    if total <= most:
        return cubes, 0
    distances = [np.einsum("ij,ij->i", size.centers, size.centers) for size in cubes]
    order = np.argsort(np.concatenate(distances), kind="stable")
    keep = np.zeros(total, bool)
    keep[order[:most]] = True
    result = []
    start = 0
    for size in cubes:
        mine = keep[start : start + len(size.labels)]
        start += len(size.labels)
        result.append(Cubes(size.level, size.centers[mine], size.labels[mine], size.completed[mine]))
    return result, total - most


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
