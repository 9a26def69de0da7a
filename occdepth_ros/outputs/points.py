"""Encoders of sensor_msgs/PointCloud2, one labelled, coloured point at the centre of each occupied voxel, and of images
that hold one value for each of these points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN, ClassTable
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.image import encode_image
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.outputs.sparse import Index, set_voxels, unravel
from occdepth_ros.prediction import OccupancyPrediction

POINT_STEP = 20
"""Bytes of a point. The last byte is padding, so that every point is aligned to four bytes."""

_UINT8, _FLOAT32 = 2, 7
FIELDS = (
    ("x", 0, _FLOAT32),
    ("y", 4, _FLOAT32),
    ("z", 8, _FLOAT32),
    ("rgb", 12, _FLOAT32),
    ("label", 16, _UINT8),
    ("confidence", 17, _UINT8),
    ("visibility", 18, _UINT8),
)
"""Name, byte offset and sensor_msgs/PointField type. `rgb` holds 0x00RRGGBB in the bits of a float32, as RViz and PCL
expect; `confidence` is the probability of the label times 255; `visibility` has the values of `Visibility`."""


Matrix = npt.NDArray[np.float64]


def encode_points(
    prediction: OccupancyPrediction,
    frame_id: str,
    include: Include = "all",
    min_confidence: float = 0.0,
    border: int = 0,
    *,
    ground: bool = True,
    frame_from_grid: Matrix | None = None,
) -> bytes:
    """Return a serialised sensor_msgs/PointCloud2 in metres.

    Args:
        prediction: prediction to encode.
        frame_id: frame of the header.
        include, min_confidence, border: selection of voxels, see `selected_labels`.
        ground: whether voxels of ground classes are included.
        frame_from_grid: pose of the grid's frame in `frame_id`, `[4, 4]`; None = the grid's frame.
    """
    points = point_rows(prediction, include, min_confidence, border, ground=ground)
    if frame_from_grid is not None:
        xyz = points.view("<f4")[:, :3]
        xyz[:] = xyz @ frame_from_grid[:3, :3].T.astype(np.float32) + frame_from_grid[:3, 3].astype(np.float32)
    message = CdrWriter()
    message.header(prediction.stamp_ns, frame_id)
    message.primitives("II", 1, len(points))
    message.primitives("I", len(FIELDS))
    for name, offset, datatype in FIELDS:
        message.string(name)
        message.primitives("IBI", offset, datatype, 1)
    message.primitives("?II", False, POINT_STEP, points.nbytes)
    message.sequence(points.view(np.uint8).reshape(-1))
    message.primitives("?", True)
    return message.finish()


def encode_point_labels(
    prediction: OccupancyPrediction, frame_id: str, include: Include, min_confidence: float, border: int = 0
) -> bytes:
    """Return a serialised mono8 image of one row with the label of each point of `encode_points`."""
    _, label = _occupied(prediction, include, min_confidence, border)
    return encode_image(label[None], "mono8", prediction.stamp_ns, frame_id)


def encode_point_confidence(
    prediction: OccupancyPrediction, frame_id: str, include: Include, min_confidence: float, border: int = 0
) -> bytes:
    """Return a serialised mono8 image of one row with the confidence, 0..255, of each point of `encode_points`."""
    voxels, _ = _occupied(prediction, include, min_confidence, border)
    confidence = prediction.confidence.reshape(-1).take(voxels)
    return encode_image(confidence[None], "mono8", prediction.stamp_ns, frame_id)


def point_rows(
    prediction: OccupancyPrediction, include: Include, min_confidence: float, border: int = 0, *, ground: bool = True
) -> npt.NDArray[np.uint32]:
    """Return the points as five 32-bit words each, `[N, 5]`, in C order of the voxels."""
    grid = prediction.grid
    voxels, label = _occupied(prediction, include, min_confidence, border, ground=ground)
    rows = np.empty((len(voxels), POINT_STEP // 4), "<u4")
    xyz = rows.view("<f4")
    for axis, index in enumerate(unravel(voxels, grid.size)):
        xyz[:, axis] = grid.axis_centers(axis).astype(np.float32).take(index)
    rows[:, 3] = packed_colors(prediction.classes).take(label)
    marks = rows[:, 4:].view(np.uint8)
    marks[:, 0] = label
    marks[:, 1] = prediction.confidence.reshape(-1).take(voxels)
    marks[:, 2] = prediction.visibility.reshape(-1).take(voxels)
    marks[:, 3] = 0
    return rows


def _occupied(
    prediction: OccupancyPrediction, include: Include, min_confidence: float, border: int, *, ground: bool = True
) -> tuple[Index, npt.NDArray[np.uint8]]:
    """Return flat indices and labels of the selected occupied voxels, `[N]` each, in C order."""
    labels = selected_labels(prediction, include, min_confidence, border)
    voxels = set_voxels((labels - np.uint8(1)) < np.uint8(UNKNOWN - 1))
    label = labels.reshape(-1).take(voxels)
    if not ground:
        kept = np.flatnonzero(~prediction.classes.is_ground.take(label))
        voxels, label = voxels.take(kept), label.take(kept)
    return voxels, label


def packed_colors(classes: ClassTable) -> npt.NDArray[np.uint32]:
    """Return the colour 0x00RRGGBB of every label, `[256]`."""
    r, g, b = classes.colors.astype(np.uint32).T
    return r << 16 | g << 8 | b
