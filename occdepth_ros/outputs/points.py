"""Encoder of sensor_msgs/PointCloud2: one labelled, coloured point at the centre of each occupied voxel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN, ClassTable
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.outputs.sparse import set_voxels, unravel
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


def encode_points(
    prediction: OccupancyPrediction,
    frame_id: str,
    include: Include = "all",
    min_confidence: float = 0.0,
    border: int = 0,
) -> bytes:
    """Return a serialised sensor_msgs/PointCloud2 in metres, in the grid's frame.

    Args:
        prediction: prediction to encode.
        frame_id: frame of the header.
        include, min_confidence, border: selection of voxels, see `selected_labels`.
    """
    points = point_rows(prediction, include, min_confidence, border)
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


def point_rows(
    prediction: OccupancyPrediction, include: Include, min_confidence: float, border: int = 0
) -> npt.NDArray[np.uint32]:
    """Return the points as five 32-bit words each, `[N, 5]`, in C order of the voxels."""
    grid = prediction.grid
    labels = selected_labels(prediction, include, min_confidence, border)
    voxels = set_voxels((labels - np.uint8(1)) < np.uint8(UNKNOWN - 1))
    label = labels.reshape(-1).take(voxels)
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


def packed_colors(classes: ClassTable) -> npt.NDArray[np.uint32]:
    """Return the colour 0x00RRGGBB of every label, `[256]`."""
    r, g, b = classes.colors.astype(np.uint32).T
    return r << 16 | g << 8 | b
