"""Sequential reading of MCAP and ROS 1 bag files without an index: recordings that were truncated or not closed.

Formats: the MCAP specification (mcap.dev/spec), and wiki.ros.org/Bags/Format/2.0. Records are read until the file ends
or is damaged; chunks that cannot be decompressed are skipped.
"""

from __future__ import annotations

import bz2
import struct
import sys
from bisect import bisect_left
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MCAP_MAGIC = b"\x89MCAP0\r\n"
ROS1_MAGIC = b"#ROSBAG V2.0\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _LAST_OPCODE = 3, 4, 5, 6, 15
_MAX_CHUNK = 1 << 30
"""Largest size of a decompressed chunk, bytes."""
_ROS1_MESSAGE, _ROS1_CHUNK, _ROS1_CONNECTION = 2, 5, 7


class RecoveredConnection(NamedTuple):
    """Messages of one type on one topic."""

    id: int
    topic: str
    msgtype: str


class _Block(NamedTuple):
    """Position of records in the file: a chunk, or one record outside of chunks."""

    offset: int
    length: int
    compression: str


class _Message(NamedTuple):
    """Position of a message."""

    time: int
    connection: int
    block: _Block
    start: int
    stop: int


class RecoveredBag:
    """The readable messages of an MCAP or ROS 1 file, with the interface of the readers of rosbags.

    Args:
        path: the file.

    Raises:
        ValueError: the file is neither MCAP nor a ROS 1 bag.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._size = path.stat().st_size
        self._cache: tuple[_Block | None, bytes] = (None, b"")
        magic = self._file.read(len(ROS1_MAGIC))
        self._is_ros1 = magic == ROS1_MAGIC
        if not self._is_ros1 and not magic.startswith(MCAP_MAGIC):
            self._file.close()
            raise ValueError("the file is neither MCAP nor a ROS 1 bag")
        connections: dict[int, RecoveredConnection] = {}
        self._schemas: dict[int, str] = {}
        self.is_ros1 = self._is_ros1
        """Whether messages are serialised as in ROS 1; MCAP files may contain either serialisation."""
        self._messages: list[_Message] = []
        for block in self._ros1_blocks() if self._is_ros1 else self._mcap_blocks():
            data = self._content(block)
            records = _ros1_records(data) if self._is_ros1 else self._mcap_records(data)
            # a malformed record ends its block
            with suppress(struct.error, KeyError):
                for record in records:
                    if isinstance(record, RecoveredConnection):
                        connections[record.id] = record
                    else:
                        self._messages.append(_Message(record[0], record[1], block, record[2], record[3]))
        self.connections = list(connections.values())
        self._messages.sort(key=lambda message: message.time)
        self._times = [message.time for message in self._messages]

    def __len__(self) -> int:
        return len(self._messages)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self, connections: Collection[Any] = (), start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[RecoveredConnection, int, bytes]]:
        """Yield connection, time (nanoseconds) and bytes of the messages from `start` until before `stop`."""
        chosen = {connection.id: connection for connection in connections or self.connections}
        first = 0 if start is None else bisect_left(self._times, start)
        last = len(self._times) if stop is None else bisect_left(self._times, stop)
        for message in self._messages[first:last]:
            if message.connection not in chosen:
                continue
            data = self._content(message.block)
            yield chosen[message.connection], message.time, data[message.start : message.stop]

    def _content(self, block: _Block) -> bytes:
        if self._cache[0] != block:
            self._file.seek(block.offset)
            self._cache = (block, decompressed(self._file.read(block.length), block.compression))
        return self._cache[1]

    def _mcap_blocks(self) -> Iterator[_Block]:
        at = len(MCAP_MAGIC)
        while at + 9 <= self._size:
            self._file.seek(at)
            opcode, length = struct.unpack("<BQ", self._file.read(9))
            if not 0 < opcode <= _LAST_OPCODE:
                return
            if opcode in (_SCHEMA, _CHANNEL, _MESSAGE):
                yield _Block(at, 9 + length, "")
            elif opcode == _CHUNK and at + 50 < self._size:
                head = self._file.read(32)
                name = self._file.read(struct.unpack_from("<I", head, 28)[0] % 64)
                (stored,) = struct.unpack("<Q", self._file.read(8).ljust(8, b"\0"))
                yield _Block(self._file.tell(), min(stored, length), name.decode(errors="replace"))
            at += 9 + length

    def _mcap_records(self, data: bytes) -> Iterator[RecoveredConnection | tuple[int, int, int, int]]:
        at = 0
        while at + 9 <= len(data):
            opcode, length = struct.unpack_from("<BQ", data, at)
            at, stop = at + 9, at + 9 + length
            if stop > len(data) or not 0 < opcode <= _LAST_OPCODE:
                return
            if opcode == _SCHEMA:
                self._schemas[struct.unpack_from("<H", data, at)[0]] = _text(data, at + 2)[0]
            elif opcode == _CHANNEL:
                channel, schema = struct.unpack_from("<HH", data, at)
                topic, after = _text(data, at + 4)
                self.is_ros1 = _text(data, after)[0] == "ros1"
                yield RecoveredConnection(channel, topic, _type_name(self._schemas.get(schema, "")))
            elif opcode == _MESSAGE and length >= 22:
                channel, _, time = struct.unpack_from("<HIQ", data, at)
                yield time, channel, at + 22, stop
            at = stop

    def _ros1_blocks(self) -> Iterator[_Block]:
        at = len(ROS1_MAGIC)
        while at + 4 <= self._size:
            self._file.seek(at)
            (length,) = struct.unpack("<I", self._file.read(4))
            if at + 8 + length > self._size:
                return
            fields = _fields(self._file.read(length))
            (stored,) = struct.unpack("<I", self._file.read(4))
            kind = fields.get("op", b"\0")[:1]
            if kind == bytes([_ROS1_CHUNK]):
                yield _Block(self._file.tell(), stored, fields.get("compression", b"none").decode(errors="replace"))
            elif kind == bytes([_ROS1_CONNECTION]):
                yield _Block(at, 8 + length + stored, "none")
            elif not kind.strip(b"\0"):
                return
            at += 8 + length + stored


def _ros1_records(data: bytes) -> Iterator[RecoveredConnection | tuple[int, int, int, int]]:
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        if at + 8 + length > len(data):
            return
        fields = _fields(data[at + 4 : at + 4 + length])
        start = at + 8 + length
        at = stop = start + struct.unpack_from("<I", data, start - 4)[0]
        kind = fields.get("op", b"\0")[:1]
        if stop > len(data) or "conn" not in fields:
            return
        (connection,) = struct.unpack("<I", fields["conn"])
        if kind == bytes([_ROS1_CONNECTION]):
            kind_name = _fields(data[start:stop]).get("type", b"").decode(errors="replace")
            topic = fields.get("topic", b"").decode(errors="replace")
            yield RecoveredConnection(connection, topic, _type_name(kind_name))
        elif kind == bytes([_ROS1_MESSAGE]):
            seconds, nanoseconds = struct.unpack("<II", fields["time"])
            yield seconds * 1_000_000_000 + nanoseconds, connection, start, stop


def _type_name(name: str) -> str:
    """Return the name of a message type as in ROS 2, from the ROS 1 name without `msg`."""
    return name.replace("/", "/msg/") if name.count("/") == 1 else name


def _fields(header: bytes) -> dict[str, bytes]:
    """Return the complete fields `name=value` of a ROS 1 header."""
    fields, at = {}, 0
    while at + 4 <= len(header):
        (length,) = struct.unpack_from("<I", header, at)
        name, _, value = header[at + 4 : at + 4 + length].partition(b"=")
        fields[name.decode(errors="replace")] = value
        at += 4 + length
    return fields


def _text(data: bytes, at: int) -> tuple[str, int]:
    """Return a string that is preceded by its length (4 bytes), and the offset after it."""
    (length,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + length].decode(errors="replace"), at + 4 + length


def decompressed(data: bytes, compression: str) -> bytes:
    """Decompress a chunk, or the readable beginning of one; empty if nothing is readable."""
    try:
        if compression in ("", "none"):
            return data
        if compression == "bz2":
            return bz2.BZ2Decompressor().decompress(data, _MAX_CHUNK)
        if compression == "lz4":
            return bytes(import_module("lz4.frame").LZ4FrameDecompressor().decompress(data, _MAX_CHUNK))
        if compression == "zstd":
            # part of Python from version 3.14 on; before that, rosbags depends on both packages
            module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
            return bytes(import_module(module).ZstdDecompressor().decompress(data, _MAX_CHUNK))
    except Exception:  # each decompressor raises different exceptions for damaged data, which are skipped
        return b""
    return b""
