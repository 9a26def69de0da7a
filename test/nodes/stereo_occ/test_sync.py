"""Pairing by stamps, late images, and clocks that jump back."""

from __future__ import annotations

import pytest

pytest.importorskip("message_filters", reason="needs a ROS 2 environment")
pytest.importorskip("sensor_msgs", reason="needs a ROS 2 environment")

from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from occdepth_ros.nodes.stereo_occ.sync import ImagePair, PairSynchronizer, stamp_ns

MS = 1_000_000


class Log:
    """A synchronizer with what came out of it."""

    def __init__(self, **options: object) -> None:
        self.pairs: list[ImagePair] = []
        self.jumps: list[float] = []
        self.sync = PairSynchronizer(self.pairs.append, self.jumps.append, **options)  # type: ignore[arg-type]

    def add(self, side: str, milliseconds: int) -> None:
        message = Image()
        message.header.stamp.sec, nanosec = divmod(milliseconds * MS, 1_000_000_000)
        message.header.stamp.nanosec = nanosec
        self.sync.add(side, message)

    def both(self, milliseconds: int) -> None:
        self.add("left", milliseconds)
        self.add("right", milliseconds)

    @property
    def stamps(self) -> list[int]:
        return [pair.stamp_ns // MS for pair in self.pairs]


def test_equal_stamps_make_a_pair_in_either_order() -> None:
    log = Log()
    log.both(100)
    log.add("right", 200)
    log.add("left", 200)
    assert log.stamps == [100, 200]
    assert all(stamp_ns(pair.left) == stamp_ns(pair.right) for pair in log.pairs)


def test_unequal_stamps_need_the_approximate_mode() -> None:
    exact, near = Log(), Log(approximate=True, slop=0.02)
    for log in (exact, near):
        log.add("left", 100)
        log.add("right", 110)
        log.add("left", 200)
        log.add("right", 260)
    assert exact.stamps == [] and near.stamps == [100]


def test_a_straggler_is_dropped_and_the_order_kept() -> None:
    log = Log()
    for stamp in (100, 200, 150, 300):
        log.both(stamp)
    assert log.stamps == [100, 200, 300]
    assert log.sync.stragglers == {"left": 1, "right": 1} and log.jumps == []


def test_a_large_step_back_is_a_jump_at_once() -> None:
    log = Log()
    for stamp in (10_000, 10_100, 500, 600):
        log.both(stamp)
    assert log.stamps == [10_000, 10_100, 600] or log.stamps == [10_000, 10_100, 500, 600]
    assert log.jumps and log.jumps[0] == pytest.approx(9.6)


def test_a_small_step_back_is_a_jump_when_the_next_image_agrees() -> None:
    log = Log()
    for stamp in (100, 200, 300, 100, 200, 300, 400):
        log.both(stamp)
    assert log.stamps[:3] == [100, 200, 300]
    assert log.stamps[-2:] == [300, 400]
    assert len(log.jumps) >= 1


def test_pairs_come_again_after_a_jump_behind_a_full_queue() -> None:
    """The queue of a stopped side must not swallow what comes after the jump."""
    log = Log(queue_size=3)
    for stamp in range(100_000, 101_000, 100):
        log.add("left", stamp)
    for stamp in (1000, 1100, 1200):
        log.both(stamp)
    assert log.stamps[-2:] == [1100, 1200]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_order_of_stamps_is_survived_and_memory_stays_bounded(stamps: list[int], approximate: bool) -> None:
    log = Log(queue_size=4, approximate=approximate)
    for index, stamp in enumerate(stamps):
        log.add("left" if index % 2 else "right", stamp)
    assert len(log.sync._arrivals) <= 8
    recovered = max(stamps) + 10_000
    log.both(recovered)
    assert log.stamps[-1] == recovered
