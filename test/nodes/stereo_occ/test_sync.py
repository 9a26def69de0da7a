"""Pairing by stamps, out-of-order images, and clocks that jump back."""

from __future__ import annotations

import pytest

pytest.importorskip("sensor_msgs", reason="needs a ROS 2 environment")

from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from occdepth_ros.nodes.stereo_occ.sync import ImagePair, PairSynchronizer, stamp_ns

MS = 1_000_000


class Log:
    """A synchronizer with its results."""

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
        for stamp in range(100, 500, 100):
            log.add("left", stamp)
            log.add("right", stamp + 10)
        log.add("left", 500)
        log.add("right", 530)
    # the period is measured with the fourth image; before, stamps may differ by 4 ms
    assert exact.stamps == [] and near.stamps == [100, 200, 300, 400]


def test_an_image_out_of_order_is_dropped() -> None:
    log = Log()
    for stamp in (100, 200, 150, 300):
        log.both(stamp)
    assert log.stamps == [100, 200, 300]
    assert log.sync.out_of_order == {"left": 1, "right": 1} and log.jumps == []


@pytest.mark.parametrize("rate", [60, 90])
def test_a_lost_image_does_not_shift_later_pairs(rate: int) -> None:
    """At 60 Hz the neighbour of a lost image is 16.7 ms away, nearer than the default slop of 20 ms."""
    log = Log(approximate=True, slop=0.02)
    stamps = [round(1000 * i / rate) for i in range(40)]
    for i, stamp in enumerate(stamps):
        log.add("left", stamp)
        if i not in (0, 7, 8, 20):
            log.add("right", stamp + 1)
    assert all(right - left == MS for left, right in ((stamp_ns(p.left), stamp_ns(p.right)) for p in log.pairs))
    assert log.stamps == [stamp for i, stamp in enumerate(stamps) if i not in (0, 7, 8, 20)]
    assert log.sync.dropped == {"left": 4, "right": 0}


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
    """The waiting images of one side must not delay pairs after a jump."""
    log = Log(queue_size=3)
    for stamp in range(100_000, 101_000, 100):
        log.add("left", stamp)
    for stamp in (1000, 1100, 1200):
        log.both(stamp)
    assert log.stamps[-2:] == [1100, 1200]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_order_of_stamps_is_accepted_and_memory_stays_bounded(stamps: list[int], approximate: bool) -> None:
    log = Log(queue_size=4, approximate=approximate)
    for index, stamp in enumerate(stamps):
        log.add("left" if index % 2 else "right", stamp)
    assert log.sync.waiting <= 8
    recovered = max(stamps) + 10_000
    log.both(recovered)
    assert log.stamps[-1] == recovered
