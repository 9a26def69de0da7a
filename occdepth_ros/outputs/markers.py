"""Encoder of visualization_msgs/MarkerArray with the occupied surface and the cameras, for RViz's MarkerArray display.

The style `boxes` gives small messages: CUBE_LISTs with 40 bytes per box. The style `triangles` gives shaded faces: a
triangle list with colours shaded by the face normal, 240 bytes per rectangle. RViz darkens the upper faces of cubes,
does not apply lighting to triangles with a colour per point, and does not sort transparent faces by depth. Completed
voxels have a lighter, opaque colour in both styles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import ClassTable
from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.boxes import surface_boxes
from occdepth_ros.outputs.cdr import ENCAPSULATION, CdrWriter
from occdepth_ros.outputs.faces import Rectangles, exposed_rectangles
from occdepth_ros.outputs.selection import IN_VIEW, Selection
from occdepth_ros.outputs.surface import COMPLETED
from occdepth_ros.prediction import OccupancyPrediction

MarkersStyle = str
"""One of `MARKERS_STYLES`. The value of a ROS parameter, therefore validated at run time."""

MARKERS_STYLES: tuple[MarkersStyle, ...] = ("boxes", "triangles")

SHADES = {(2, True): 1.0, (2, False): 0.5, (0, False): 0.85, (0, True): 0.6, (1, True): 0.72, (1, False): 0.72}
"""Brightness of a triangle by axis and direction, for light from above and from behind the vehicle."""
COMPLETED_WEIGHT, COMPLETED_GREY = 0.5, 200
"""Weight of the class colour in the colour of a completed voxel, and the grey level, 0..255, with which it is mixed.
A mixture with white would give road the colour of parking."""
OVERLAP = 0.005
"""Enlargement of rectangles at each edge, voxels. It closes gaps between rectangles of different sizes."""
FRUSTUM_DEPTH_M, FRUSTUM_LINE_WIDTH_M = 1.0, 0.04
FRUSTUM_COLOR = (0.05, 0.35, 0.85, 1.0)

_LINE_LIST, _CUBE_LIST, _TRIANGLE_LIST = 5, 6, 11
_ADD, _DELETE_ALL = 0, 3

Points = npt.NDArray[np.float64]
Colors = npt.NDArray[np.float32]


class _Marker(NamedTuple):
    """Fields of a visualization_msgs/Marker that differ between the markers of a message.

    Args:
        namespace, identity, kind: `ns`, `id`, `type`.
        scale: edge lengths, or width of lines, metres.
        points, colors: `[N, 3]` metres and `[N, 4]` red, green, blue, alpha in 0..1.
    """

    namespace: str
    identity: int
    kind: int
    scale: tuple[float, float, float]
    points: Points
    colors: Colors


def encode_markers(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection = IN_VIEW,
    max_markers: int = 50_000,
    *,
    rig: StereoRig | None = None,
    style: MarkersStyle = "boxes",
) -> bytes:
    """Return a serialised visualization_msgs/MarkerArray.

    The markers are DELETEALL, the surface (namespaces `seen` and `completed`), and the cameras as LINE_LIST (namespace
    `cameras`). RViz can show and hide each namespace.

    Args:
        prediction: prediction to encode.
        frame_id: frame of the header.
        selection: the voxels to encode.
        max_markers: maximum number of boxes or rectangles; see `max_count` of `surface_boxes` and `exposed_rectangles`.
        rig: cameras to draw; None = no cameras.
        style: one of `MARKERS_STYLES`: a CUBE_LIST for each size of boxes, or a TRIANGLE_LIST for each namespace.

    Raises:
        OccDepthError: `max_markers` is negative, or the style does not exist.
    """
    if style not in MARKERS_STYLES:
        raise OccDepthError(
            f"the style {style!r} does not exist", where="markers_style", remedy=f"Use {' or '.join(MARKERS_STYLES)}."
        )
    surface = _boxes if style == "boxes" else _triangles
    markers = list(surface(prediction, selection, max_markers))
    if rig is not None:
        lines = frustum_lines(rig)
        colors = np.tile(np.array(FRUSTUM_COLOR, np.float32), (len(lines), 1))
        markers.append(_Marker("cameras", 0, _LINE_LIST, (FRUSTUM_LINE_WIDTH_M,) * 3, lines, colors))
    message = CdrWriter()
    message.primitives("I", 1 + len(markers))
    header = encoded_header(prediction.stamp_ns, frame_id)
    nothing = _Marker("", 0, _CUBE_LIST, (0.0, 0.0, 0.0), np.empty((0, 3)), np.empty((0, 4), np.float32))
    _write_marker(message, header, _DELETE_ALL, nothing)
    for marker in markers:
        _write_marker(message, header, _ADD, marker)
    return message.finish()


def class_colors(classes: ClassTable) -> npt.NDArray[np.float32]:
    """Return the unshaded colours of seen and of completed voxels by label, `[2, 256, 3]`, 0..1."""
    seen = classes.colors.astype(np.float32) / np.float32(255)
    grey = np.float32(COMPLETED_GREY / 255)
    return np.stack([seen, COMPLETED_WEIGHT * seen + (1 - COMPLETED_WEIGHT) * grey])


def frustum_lines(rig: StereoRig, depth: float = FRUSTUM_DEPTH_M) -> Points:
    """Return the edges of both view frustums up to `depth` metres: pairs of points in the grid's frame, `[32, 3]`."""
    lines = []
    for camera, pose in ((rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)):
        u, v = np.array([(0, 0), (camera.width, 0), (camera.width, camera.height), (0, camera.height)], float).T
        rays = np.linalg.solve(camera.intrinsics, np.stack([u, v, np.ones(4)])).T
        corners = np.concatenate([np.zeros((1, 3)), depth * rays])
        grid_from_camera = np.linalg.inv(pose)
        ends = corners @ grid_from_camera[:3, :3].T + grid_from_camera[:3, 3]
        order = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1]
        lines.append(ends[order])
    return np.concatenate(lines)


def _boxes(prediction: OccupancyPrediction, selection: Selection, max_count: int) -> Iterator[_Marker]:
    """Yield a CUBE_LIST for each size and namespace, with unique ids."""
    found, _ = surface_boxes(prediction, selection, max_count)
    boxes, groups = found.sorted_by_size()
    rgba = np.ones((2 * COMPLETED, 4), np.float32)
    rgba[:, :3] = class_colors(prediction.classes).reshape(-1, 3)
    points, colors = boxes.centers(prediction.grid), rgba.take(boxes.keys, axis=0)
    first = [group.start for group in groups]
    sizes = (prediction.grid.resolution * boxes.size.take(first, axis=0)).tolist()
    completed = (boxes.keys.take(first) >= COMPLETED).tolist()
    for identity, (group, scale, is_completed) in enumerate(zip(groups, sizes, completed, strict=True)):
        name = "completed" if is_completed else "seen"
        yield _Marker(name, identity, _CUBE_LIST, tuple(scale), points[group], colors[group])


def _triangles(prediction: OccupancyPrediction, selection: Selection, max_count: int) -> Iterator[_Marker]:
    """Yield a TRIANGLE_LIST for each namespace."""
    directions, _ = exposed_rectangles(prediction, selection, max_count)
    colors = class_colors(prediction.classes)
    for completed, name in enumerate(("seen", "completed")):
        parts = [found.taken(np.flatnonzero((found.keys >= COMPLETED) == completed)) for found in directions]
        points, rgba = _corners(parts, prediction, colors[completed])
        if len(points):
            yield _Marker(name, 0, _TRIANGLE_LIST, (1.0, 1.0, 1.0), points, rgba)


def _corners(
    parts: list[Rectangles], prediction: OccupancyPrediction, colors: npt.NDArray[np.float32]
) -> tuple[Points, Colors]:
    """Return corners `[6 N, 3]` and colours `[6 N, 4]` of two triangles per rectangle."""
    points = [part.triangles(prediction.grid, OVERLAP) for part in parts]
    rgba = []
    for part in parts:
        shaded = np.ones((256, 4), np.float32)
        shaded[:, :3] = colors * np.float32(SHADES[part.axis, part.is_upper])
        rgba.append(np.repeat(shaded.take(part.keys & 255, axis=0), 6, axis=0))
    return np.concatenate(points).reshape(-1, 3), np.concatenate(rgba)


def _write_marker(message: CdrWriter, header: bytes, action: int, marker: _Marker) -> None:
    """Write a visualization_msgs/Marker with unlimited lifetime, at the origin of the frame of an encoded header."""
    message.encoded(header, 4)
    message.string(marker.namespace)
    pose, color = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0)
    lifetime, frame_locked = (0, 0), False
    identity = marker.identity, marker.kind, action
    message.primitives("iiiddddddddddffffiI?", *identity, *pose, *marker.scale, *color, *lifetime, frame_locked)
    message.sequence(marker.points)
    message.sequence(marker.colors)
    message.encoded(_TAIL, 4)


def encoded_header(stamp_ns: int, frame_id: str) -> bytes:
    """Return an encoded std_msgs/Header, aligned to 4 bytes."""
    message = CdrWriter()
    message.header(stamp_ns, frame_id)
    return message.finish()[len(ENCAPSULATION) :]


def _tail() -> bytes:
    """Return the encoded fields of a visualization_msgs/Marker after `colors`, all empty, aligned to 4 bytes."""
    message = CdrWriter()
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
    return message.finish()[len(ENCAPSULATION) :]


_TAIL = _tail()
