"""Writer of serialised ROS 2 messages in CDR (OMG DDS-XTypes, XCDR version 1, little endian).

A message starts with four encapsulation bytes. Every primitive is aligned to its own size, relative to the first byte
after the encapsulation. A string is a uint32 length that includes the terminating NUL, followed by the bytes. A
sequence is a uint32 count, followed by the elements.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import OccDepthError

ENCAPSULATION = b"\x00\x01\x00\x00"
_LARGEST = 8
"""Largest alignment, bytes."""
_PADDING = (b"", *(bytes(n) for n in range(1, 8)))
_NANOSECONDS = 1_000_000_000


class CdrWriter:
    """Writer of one message. Arrays are stored by reference and copied once, in `finish`."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = [ENCAPSULATION]
        self._size = 0

    def _append(self, part: bytes | memoryview, size: int, alignment: int) -> None:
        padding = -self._size % alignment
        if padding:
            self._parts.append(_PADDING[padding])
        self._parts.append(part)
        self._size += padding + size

    def primitives(self, kinds: str, *values: float) -> None:
        """Write one number per letter of `kinds`, a string of `struct` format letters (? b B h H i I q Q f d).

        Raises:
            ValueError: the number of values differs, or a value is outside the range of its type.
        """
        form = _layout(kinds, self._size % _LARGEST)
        try:
            data = form.pack(*values)
        except struct.error as error:
            raise ValueError(f"{len(values)} values for {kinds!r}: {error}") from error
        self._append(data, len(data), 1)

    def encoded(self, data: bytes, alignment: int) -> None:
        """Write bytes that another writer encoded, which need an alignment of at most `alignment` bytes."""
        self._append(data, len(data), alignment)

    def string(self, text: str) -> None:
        """Write a string."""
        data = text.encode() + b"\x00"
        self._append(struct.pack("<I", len(data)) + data, 4 + len(data), 4)

    def sequence(self, elements: npt.NDArray[Any]) -> None:
        """Write a sequence with one element per row of `elements`: numbers `[N]`, or structs of equal fields `[N, F]`.

        The array must not be modified before `finish` returns.
        """
        little = np.ascontiguousarray(elements, elements.dtype.newbyteorder("<"))
        self.primitives("I", len(little))
        if little.size:
            self._append(little.data, little.nbytes, little.itemsize)

    def stamp(self, stamp_ns: int) -> None:
        """Write a builtin_interfaces/Time.

        Raises:
            OccDepthError: the seconds exceed the range of int32.
        """
        seconds, nanoseconds = divmod(stamp_ns, _NANOSECONDS)
        if not -(1 << 31) <= seconds < 1 << 31:
            raise OccDepthError(
                f"the time {stamp_ns} ns does not fit a ROS time stamp",
                where="stamp",
                remedy="Check the source's clock.",
            )
        self.primitives("iI", seconds, nanoseconds)

    def header(self, stamp_ns: int, frame_id: str) -> None:
        """Write a std_msgs/Header."""
        self.stamp(stamp_ns)
        self.string(frame_id)

    def pose(self, position: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        """Write a geometry_msgs/Pose without rotation."""
        self.primitives("ddddddd", *position, 0.0, 0.0, 0.0, 1.0)

    def finish(self) -> bytes:
        """Return the message as bytes, which `rclpy.publisher.Publisher.publish` accepts."""
        return b"".join(self._parts)


@lru_cache(maxsize=512)
def _layout(kinds: str, offset: int) -> struct.Struct:
    """Return the encoding of numbers, aligned, from an offset in the message modulo `_LARGEST`."""
    form, at = "<", offset
    for kind in kinds:
        size = struct.calcsize(f"<{kind}")
        padding = -at % size
        form += f"{padding}x{kind}" if padding else kind
        at += padding + size
    return struct.Struct(form)
