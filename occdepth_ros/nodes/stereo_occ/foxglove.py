"""foxglove_msgs/VoxelGrid, built as an object, because its fields differ between releases of foxglove_msgs."""

from __future__ import annotations

from array import array
from typing import Any

from rclpy.serialization import serialize_message

from occdepth_ros.nodes.conversions import time_message
from occdepth_ros.outputs.voxel_grid import CHANNELS, ColoredCells


def encode_foxglove_voxels(kind: type[Any], field: type[Any], cells: ColoredCells, stamp_ns: int, frame: str) -> bytes:
    """Return a serialised foxglove_msgs/VoxelGrid.

    Args:
        kind, field: the message types VoxelGrid and PackedElementField.
        cells: the cells.
        stamp_ns: time, nanoseconds.
        frame: frame of the cells.
    """
    _, rows, columns, step = cells.rgba.shape
    message = kind(timestamp=time_message(stamp_ns), frame_id=frame, row_count=rows, column_count=columns)
    message.cell_stride, message.row_stride, message.slice_stride = step, step * columns, step * columns * rows
    message.fields = [field(name=name, offset=at, type=field.UINT8) for at, name in enumerate(CHANNELS)]
    position, size = message.pose.position, message.cell_size
    position.x, position.y, position.z = cells.origin
    size.x = size.y = size.z = cells.resolution
    # the setter checks each element of other types than array.array separately
    data = array("B")
    data.frombytes(cells.rgba.data.cast("B"))
    message.data = data
    return bytes(serialize_message(message))
