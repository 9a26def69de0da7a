"""Encoders of sensor_msgs/PointCloud2, one labelled, coloured point at the centre of each occupied voxel, and of images
that hold one value for each of these points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import ClassTable
from occdepth_ros.compiled import compiled
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.image import encode_image
from occdepth_ros.outputs.selection import ALL, Selection, selected_labels
from occdepth_ros.outputs.sparse import count_bits, lowest_bit, occupied_words
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
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]


def encode_points(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection = ALL,
    *,
    ground: bool = True,
    frame_from_grid: Matrix | None = None,
) -> bytes:
    """Return a serialised sensor_msgs/PointCloud2 in metres.

    Args:
        prediction: prediction to encode.
        frame_id: frame of the header.
        selection: the voxels to encode.
        ground: whether voxels of ground classes are included.
        frame_from_grid: pose of the grid's frame in `frame_id`, `[4, 4]`; None = the grid's frame.
    """
    points = point_rows(prediction, selection, ground=ground)
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


def encode_point_labels(prediction: OccupancyPrediction, frame_id: str, selection: Selection = ALL) -> bytes:
    """Return a serialised mono8 image of one row with the label of each point of `encode_points`."""
    marks = point_rows(prediction, selection)[:, 4]
    label = (marks & 255).astype(np.uint8)
    return encode_image(label[None], "mono8", prediction.stamp_ns, frame_id)


def encode_point_confidence(prediction: OccupancyPrediction, frame_id: str, selection: Selection = ALL) -> bytes:
    """Return a serialised mono8 image of one row with the confidence, 0..255, of each point of `encode_points`."""
    marks = point_rows(prediction, selection)[:, 4]
    confidence = (marks >> 8 & 255).astype(np.uint8)
    return encode_image(confidence[None], "mono8", prediction.stamp_ns, frame_id)


def point_rows(
    prediction: OccupancyPrediction, selection: Selection = ALL, *, ground: bool = True
) -> npt.NDArray[np.uint32]:
    """Return the points as five 32-bit words each, `[N, 5]`, in C order of the voxels."""
    grid, classes = prediction.grid, prediction.classes
    labels = selected_labels(prediction, selection)
    kept = ~classes.is_ground if not ground else np.ones(256, bool)
    occupied = occupied_words(labels)
    rows = np.empty((count_bits(occupied), POINT_STEP // 4), np.uint32)
    fields = (labels, prediction.confidence, prediction.visibility)
    label, confidence, visibility = (np.ascontiguousarray(field) for field in fields)
    x, y, z = (grid.axis_centers(axis).astype(np.float32).view(np.uint32) for axis in range(3))
    count = _fill(occupied, label, confidence, visibility, kept, x, y, z, packed_colors(classes), rows)
    return rows[:count].astype("<u4", copy=False)


@compiled
def _fill(
    occupied: npt.NDArray[np.uint64],
    labels: Bytes,
    confidence: Bytes,
    visibility: Bytes,
    kept: npt.NDArray[np.bool_],
    x: Words,
    y: Words,
    z: Words,
    colors: Words,
    rows: Words,
) -> int:
    """Write the rows of all voxels whose label is kept, and return their number.

    Args:
        occupied: occupied voxels, as bits of columns, `[X, Y, W]`.
        labels, confidence, visibility: `[X, Y, Z]`.
        kept: whether a label is kept, `[256]`.
        x, y, z: coordinates of the centres, as the bits of float32 numbers.
        colors: colour of each label.
        rows: written; one for each occupied voxel.
    """
    at = np.uint64(0)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            for part in range(occupied.shape[2]):
                word = occupied[i, j, part]
                while word != 0:
                    k = np.uint64(64 * part) + lowest_bit(word)
                    word &= word - np.uint64(1)
                    label = labels[i, j, k]
                    rows[at, 0], rows[at, 1], rows[at, 2], rows[at, 3] = x[i], y[j], z[k], colors[label]
                    rows[at, 4] = label | np.uint32(confidence[i, j, k]) << 8 | np.uint32(visibility[i, j, k]) << 16
                    # the next voxel overwrites one that is not kept
                    at += np.uint64(kept[label])
    return int(at)


def packed_colors(classes: ClassTable) -> npt.NDArray[np.uint32]:
    """Return the colour 0x00RRGGBB of every label, `[256]`."""
    r, g, b = classes.colors.astype(np.uint32).T
    return r << 16 | g << 8 | b
