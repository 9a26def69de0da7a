"""foxglove_msgs/VoxelGrid of the installed release; later releases have additional fields."""

from __future__ import annotations

from array import array
from typing import Any

from rclpy.serialization import serialize_message

from occdepth_ros.nodes.conversions import time_message
from occdepth_ros.outputs.voxel_grid import CHANNELS, FOXGLOVE_FIELDS, ColoredCells, encode_foxglove_voxel_grid


def encode_foxglove_voxels(kind: type[Any], field: type[Any], cells: ColoredCells, stamp_ns: int, frame: str) -> bytes:
    """Return a serialised foxglove_msgs/VoxelGrid; other fields have their default values.

    Args:
        kind, field: the installed message types VoxelGrid and PackedElementField.
        cells: the cells.
        stamp_ns: time, nanoseconds.
        frame: frame of the cells.
    """
    is_supported = tuple(kind.get_fields_and_field_types()) == FOXGLOVE_FIELDS
    if is_supported and tuple(field.get_fields_and_field_types()) == ("name", "offset", "type"):
        return encode_foxglove_voxel_grid(cells, stamp_ns, frame)
    return bytes(serialize_message(foxglove_object(kind, field, cells, stamp_ns, frame)))


def foxglove_object(kind: type[Any], field: type[Any], cells: ColoredCells, stamp_ns: int, frame: str) -> Any:
    """Return the message as an object, whose serialisation is slower than `encode_foxglove_voxel_grid`."""
    _, rows, columns, step = cells.rgba.shape
    message = kind(timestamp=time_message(stamp_ns), frame_id=frame, row_count=rows, column_count=columns)
    message.cell_stride, message.row_stride, message.slice_stride = step, step * columns, step * columns * rows
    message.fields = [field(name=name, offset=at, type=field.UINT8) for at, name in enumerate(CHANNELS)]
    position, size = message.pose.position, message.cell_size
    position.x, position.y, position.z = cells.origin
    size.x = size.y = size.z = cells.resolution
    # the setter checks each element separately unless the type is array.array
    data = array("B")
    data.frombytes(cells.rgba.data.cast("B"))
    message.data = data
    return message
