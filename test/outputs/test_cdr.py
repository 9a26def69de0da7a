"""Serialised messages: alignment, strings, sequences."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.cdr import CdrWriter

PRIMITIVES = {"?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}

items = st.one_of(
    st.tuples(st.just("primitive"), st.sampled_from(sorted(PRIMITIVES)), st.integers(0, 100)),
    st.tuples(
        st.just("string"), st.just("s"), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
    ),
    st.tuples(st.just("sequence"), st.sampled_from("bBHIQfd"), st.lists(st.integers(0, 100), max_size=5)),
)


class Reader:
    """Independent CDR reader that decodes one value at a time."""

    def __init__(self, message: bytes) -> None:
        assert message[:4] == b"\x00\x01\x00\x00"
        self.data, self.position = message[4:], 0

    def number(self, kind: str) -> Any:
        size = PRIMITIVES[kind]
        while self.position % size:
            assert self.data[self.position] == 0
            self.position += 1
        (value,) = struct.unpack_from("<" + kind, self.data, self.position)
        self.position += size
        return value

    def text(self) -> str:
        length = self.number("I")
        raw = self.data[self.position : self.position + length]
        self.position += length
        assert raw[-1:] == b"\0"
        return raw[:-1].decode()


@given(st.lists(items, max_size=12))
def test_all_values_round_trip_with_alignment(contents: list[tuple[str, str, Any]]) -> None:
    writer = CdrWriter()
    for what, kind, value in contents:
        if what == "primitive":
            writer.primitives(kind, value)
        elif what == "string":
            writer.string(value)
        else:
            writer.sequence(np.array(value, np.dtype(kind)))
    reader = Reader(writer.finish())
    for what, kind, value in contents:
        if what == "primitive":
            assert reader.number(kind) == (bool(value) if kind == "?" else value)
        elif what == "string":
            assert reader.text() == value
        else:
            assert [reader.number(kind) for _ in range(reader.number("I"))] == value
    assert reader.position == len(reader.data)


def test_structs_of_equal_fields_are_counted_by_row_and_views_are_copied() -> None:
    points = np.arange(12.0).reshape(4, 3)[::2]
    writer = CdrWriter()
    writer.primitives("B", 7)
    writer.sequence(points)
    reader = Reader(writer.finish())
    assert (reader.number("B"), reader.number("I")) == (7, 2)
    assert [reader.number("d") for _ in range(6)] == points.ravel().tolist()


def test_big_endian_arrays_are_written_as_little_endian() -> None:
    writer = CdrWriter()
    writer.sequence(np.array([1, 2], ">u4"))
    reader = Reader(writer.finish())
    assert [reader.number("I") for _ in range(3)] == [2, 1, 2]


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_700_000_000_123_456_789, -1])
def test_stamps_are_split_into_seconds_and_nanoseconds(stamp_ns: int) -> None:
    writer = CdrWriter()
    writer.header(stamp_ns, "map")
    reader = Reader(writer.finish())
    seconds, nanoseconds = reader.number("i"), reader.number("I")
    assert seconds * 10**9 + nanoseconds == stamp_ns
    assert 0 <= nanoseconds < 10**9
    assert reader.text() == "map"


def test_a_stamp_beyond_32_bit_seconds_is_refused() -> None:
    with pytest.raises(OccDepthError, match="does not fit a ROS time stamp"):
        CdrWriter().header(2**31 * 10**9, "map")
