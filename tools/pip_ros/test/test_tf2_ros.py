"""Behaviour of ``tf2_ros`` that this project uses, for the replacement and the original package."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
pytest.importorskip("tf2_ros", reason="needs tf2_ros or its replacement")

from geometry_msgs.msg import TransformStamped
from helpers.nodes.transforms import LATEST, at, position, stamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.duration import Duration
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def yaw(degrees: float) -> tuple[float, float, float, float]:
    half = np.radians(degrees) / 2
    return (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))


def matrix(message: TransformStamped) -> Matrix:
    t, r = message.transform.translation, message.transform.rotation
    x, y, z, w = r.x, r.y, r.z, r.w
    result = np.eye(4)
    result[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    result[:3, 3] = [t.x, t.y, t.z]
    return result


def fill(*messages: TransformStamped, static: tuple[TransformStamped, ...] = (), cache: float = 10.0) -> Buffer:
    buffer = Buffer(cache_time=Duration(seconds=cache))
    for message in messages:
        buffer.set_transform(message, "test")
    for message in static:
        buffer.set_transform_static(message, "test")
    return buffer


def test_the_transform_maps_points_from_source_to_target() -> None:
    buffer = fill(stamped("map", "car", 1.0, (10.0, 0.0, 0.0), yaw(90)))
    result = buffer.lookup_transform("map", "car", at(1.0))
    assert (result.header.frame_id, result.child_frame_id) == ("map", "car")
    assert result.header.stamp == at(1.0).to_msg()
    np.testing.assert_allclose(matrix(result) @ [1, 0, 0, 1], [10, 1, 0, 1], atol=1e-12)
    back = matrix(buffer.lookup_transform("car", "map", at(1.0)))
    np.testing.assert_allclose(back @ matrix(result), np.eye(4), atol=1e-12)


def test_interpolation_is_linear_in_position_and_takes_the_shorter_arc_in_rotation() -> None:
    negated = tuple(-value for value in yaw(80))  # the same rotation with opposite sign
    buffer = fill(
        stamped("map", "car", 1.0, (0.0, 0.0, 0.0), yaw(0)),
        stamped("map", "car", 2.0, (4.0, 8.0, 0.0), negated),  # type: ignore[arg-type]
    )
    result = buffer.lookup_transform("map", "car", at(1.25))
    assert position(result) == pytest.approx((1.0, 2.0, 0.0))
    np.testing.assert_allclose(matrix(result), matrix(stamped("", "", 0, (1.0, 2.0, 0.0), yaw(20))), atol=1e-9)


def test_transforms_may_arrive_in_any_order() -> None:
    buffer = fill(*(stamped("map", "car", s, (s, 0.0, 0.0)) for s in (3.0, 1.0, 2.0)))
    assert position(buffer.lookup_transform("map", "car", at(1.5))) == pytest.approx((1.5, 0, 0))
    assert position(buffer.lookup_transform("map", "car", at(2.5))) == pytest.approx((2.5, 0, 0))


def test_chains_over_a_common_parent_with_static_ends() -> None:
    buffer = fill(
        stamped("map", "left_car", 5.0, (1.0, 0.0, 0.0)),
        stamped("map", "right_car", 5.0, (0.0, 2.0, 0.0), yaw(90)),
        static=(stamped("left_car", "left_cam", 0, (0.0, 0.0, 1.0)), stamped("right_car", "right_cam", 0, (1.0, 0, 0))),
    )
    result = buffer.lookup_transform("left_cam", "right_cam", at(5.0))
    np.testing.assert_allclose(position(result), (-1.0, 3.0, -1.0), atol=1e-12)


def test_time_zero_is_the_latest_time_common_to_the_chain() -> None:
    buffer = fill(
        stamped("map", "odom", 1.0, (1.0, 0.0, 0.0)),
        stamped("map", "odom", 3.0, (3.0, 0.0, 0.0)),
        stamped("odom", "car", 1.0, (0.0, 1.0, 0.0)),
        stamped("odom", "car", 2.0, (0.0, 2.0, 0.0)),
        static=(stamped("car", "cam"),),
    )
    result = buffer.lookup_transform("map", "cam", LATEST)
    assert result.header.stamp == at(2.0).to_msg()
    assert position(result) == pytest.approx((2.0, 2.0, 0.0))
    assert buffer.get_latest_common_time("map", "cam").nanoseconds == 2 * 10**9


def test_static_transforms_are_valid_at_all_times() -> None:
    buffer = fill(static=(stamped("car", "cam", 5.0, (1.0, 0.0, 0.0)),))
    for seconds in (0.0, 0.5, 1e6):
        result = buffer.lookup_transform("car", "cam", at(seconds))
        assert result.header.stamp == at(seconds).to_msg()
        assert position(result) == (1.0, 0.0, 0.0)


def test_the_transform_of_a_frame_to_itself_is_the_identity() -> None:
    buffer = fill(stamped("map", "car", 1.0, (1.0, 0.0, 0.0)))
    np.testing.assert_array_equal(matrix(buffer.lookup_transform("car", "car", at(77.0))), np.eye(4))


@pytest.mark.parametrize(
    ("target", "source", "when", "error", "text"),
    [
        ("map", "nowhere", 1.0, LookupException, "nowhere"),
        ("nowhere", "car", 1.0, LookupException, "does not exist"),
        ("map", "car", 0.5, ExtrapolationException, "into the past"),
        ("map", "car", 2.5, ExtrapolationException, "into the future"),
        ("map", "cam", 2.5, ExtrapolationException, r"from frame \[cam\] to frame \[map\]"),
        ("cam", "map", 2.5, ExtrapolationException, "into the future"),
        ("map", "once", 1.5, ExtrapolationException, "extrapolation at time"),
        ("map", "island", 1.0, ConnectivityException, "not part of the same tree"),
        ("", "car", 1.0, InvalidArgumentException, "empty"),
        ("map", "/car", 1.0, InvalidArgumentException, "/car"),
    ],
)
def test_errors_name_their_cause(target: str, source: str, when: float, error: type[Exception], text: str) -> None:
    buffer = fill(
        stamped("map", "car", 1.0),
        stamped("map", "car", 2.0),
        stamped("map", "once", 1.0),
        stamped("sea", "island", 1.0),
        static=(stamped("car", "cam"),),
    )
    with pytest.raises(error, match=text) as caught:
        buffer.lookup_transform(target, source, at(when))
    assert isinstance(caught.value, TransformException)
    assert not buffer.can_transform(target, source, at(when))
    possible, why = buffer.can_transform(target, source, at(when), return_debug_tuple=True)
    assert not possible
    assert why


def test_old_transforms_are_removed() -> None:
    buffer = fill(*(stamped("map", "car", float(s), (float(s), 0.0, 0.0)) for s in range(20)), cache=5.0)
    assert position(buffer.lookup_transform("map", "car", at(14.0))) == (14.0, 0.0, 0.0)
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("map", "car", at(12.9))
    buffer.set_transform(stamped("map", "car", 3.0, (99.0, 0.0, 0.0)), "test")  # older than the kept period
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("map", "car", at(3.0))


def test_a_later_transform_with_the_same_stamp_is_used() -> None:
    buffer = fill(stamped("map", "car", 1.0, (1.0, 0.0, 0.0)), stamped("map", "car", 1.0, (2.0, 0.0, 0.0)))
    assert position(buffer.lookup_transform("map", "car", at(1.0))) == (2.0, 0.0, 0.0)


def test_a_static_transform_is_replaced_by_a_later_one() -> None:
    buffer = fill(static=(stamped("map", "car", 0, (1.0, 0, 0)), stamped("map", "car", 0, (2.0, 0, 0))))
    assert position(buffer.lookup_transform("map", "car", LATEST)) == (2.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "bad",
    [
        stamped("car", "car", 1.0),
        stamped("map", "", 1.0),
        stamped("", "car", 1.0),
        stamped("map", "car", 1.0, (float("nan"), 0.0, 0.0)),
    ],
    ids=["own parent", "no child", "no parent", "nan"],
)
def test_invalid_transforms_are_ignored(bad: TransformStamped) -> None:
    buffer = fill(stamped("earth", "map", 1.0), bad)
    assert not buffer.can_transform("map", "car", at(1.0))


def test_rotations_without_unit_length_are_ignored() -> None:
    bad = stamped("map", "car", 1.0)
    bad.transform.rotation.w = 0.0
    buffer = fill(stamped("earth", "map", 1.0), bad)
    assert not buffer.can_transform("map", "car", at(1.0))


def test_a_leading_slash_of_published_names_is_removed() -> None:
    buffer = fill(stamped("/map", "/car", 1.0, (1.0, 0.0, 0.0)))
    assert position(buffer.lookup_transform("map", "car", at(1.0))) == (1.0, 0.0, 0.0)


def test_clear_keeps_static_transforms_only() -> None:
    buffer = fill(stamped("map", "car", 1.0), static=(stamped("car", "cam", 0, (1.0, 0, 0)),))
    buffer.clear()
    assert not buffer.can_transform("map", "car", at(1.0))
    assert position(buffer.lookup_transform("car", "cam", at(1.0))) == (1.0, 0.0, 0.0)
    buffer.set_transform(stamped("map", "car", 0.5), "test")
    assert buffer.can_transform("map", "cam", at(0.5))


def test_a_loop_raises_an_error() -> None:
    buffer = fill(stamped("a", "b", 1.0), stamped("b", "c", 1.0), stamped("c", "a", 1.0), stamped("x", "y", 1.0))
    with pytest.raises(TransformException):
        buffer.lookup_transform("x", "c", at(1.0))


def test_lookup_through_a_fixed_frame_between_two_times() -> None:
    buffer = fill(*(stamped("map", "car", s, (s, 0.0, 0.0)) for s in (1.0, 2.0, 3.0)))
    result = buffer.lookup_transform_full("car", at(3.0), "car", at(1.5), "map")
    assert position(result) == pytest.approx((-1.5, 0.0, 0.0))
    assert result.header.stamp == at(3.0).to_msg()
    assert buffer.can_transform_full("car", at(3.0), "car", at(1.5), "map")
    assert not buffer.can_transform_full("car", at(3.0), "car", at(3.5), "map")


def test_lookup_waits_for_transforms_that_arrive_later() -> None:
    buffer = fill(stamped("map", "car", 1.0))
    timer = threading.Timer(0.2, lambda: buffer.set_transform(stamped("map", "car", 2.0, (5.0, 0, 0)), "test"))
    timer.start()
    start = time.monotonic()
    result = buffer.lookup_transform("map", "car", at(2.0), timeout=Duration(seconds=5))
    assert position(result) == (5.0, 0.0, 0.0)
    assert time.monotonic() - start < 3


def test_lookup_fails_after_the_timeout() -> None:
    buffer = fill(stamped("map", "car", 1.0))
    start = time.monotonic()
    assert not buffer.can_transform("map", "car", at(2.0), timeout=Duration(seconds=0.3))
    assert 0.25 < time.monotonic() - start < 2
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform("map", "car", at(2.0), timeout=Duration(seconds=0.05))


def test_a_future_completes_when_the_transform_is_available() -> None:
    buffer = fill(stamped("map", "car", 1.0))
    future = buffer.wait_for_transform_async("map", "car", at(2.0))
    assert not future.done()
    buffer.set_transform(stamped("map", "car", 3.0, (2.0, 0.0, 0.0)), "test")
    assert future.done()
    assert position(buffer.lookup_transform("map", "car", at(2.0))) == pytest.approx((1.0, 0.0, 0.0))
    assert buffer.wait_for_transform_async("map", "car", at(2.0)).done()


pose = st.tuples(
    st.tuples(*[st.floats(-100, 100)] * 3),
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(v * v for v in q) > 0.01),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(pose, min_size=2, max_size=6), st.data())
def test_the_transform_of_a_chain_is_the_product_of_its_transforms(poses: list[Any], data: st.DataObject) -> None:
    links = [stamped(f"f{i}", f"f{i + 1}", 1.0, translation, turn) for i, (translation, turn) in enumerate(poses)]
    static = data.draw(st.integers(0, len(links)))
    buffer = fill(*links[static:], static=tuple(links[:static]))
    first, last = sorted(data.draw(st.lists(st.integers(0, len(links)), min_size=2, max_size=2)))
    expected = np.eye(4)
    for link in links[first:last]:
        expected = expected @ matrix(link)
    forward = matrix(buffer.lookup_transform(f"f{first}", f"f{last}", at(1.0)))
    np.testing.assert_allclose(forward, expected, atol=1e-9)
    backward = matrix(buffer.lookup_transform(f"f{last}", f"f{first}", at(1.0)))
    np.testing.assert_allclose(backward @ expected, np.eye(4), atol=1e-9)
