from __future__ import annotations

import threading
import time
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.errors import ImageError, SourceError
from occdepth_ros.nodes.parameters import ParameterError
from occdepth_ros.nodes.replay.parameters import ReplaySettings
from occdepth_ros.nodes.replay.schedule import READ_AHEAD, Pace, Timeline, frame_order, read_ahead


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"start": 2}, [2, 3]),
        ({"count": 2}, [0, 1]),
        ({"start": 1, "count": 2}, [1, 2]),
        ({"start": 2, "count": 5}, [2, 3, 2, 3, 2]),
    ],
)
def test_order(options: dict[str, Any], expected: list[int]) -> None:
    assert list(frame_order(4, ReplaySettings(**options))) == expected


def test_a_loop_never_ends_and_keeps_its_window() -> None:
    order = frame_order(10, ReplaySettings(start=3, count=2, loop=True))
    assert list(islice(order, 6)) == [3, 4, 3, 4, 3, 4]
    assert list(islice(frame_order(2, ReplaySettings(loop=True)), 5)) == [0, 1, 0, 1, 0]


def test_a_start_beyond_the_end_reports_the_number_of_frames() -> None:
    with pytest.raises(SourceError, match=r"4 frames.*0 to 3"):
        frame_order(4, ReplaySettings(start=4))


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=5, unique=True).map(sorted), st.integers(1, 10**9))
def test_stamps_increase_over_the_seams_and_keep_their_steps_within_a_lap(stamps: list[int], period: int) -> None:
    timeline = Timeline(period)
    laps = [[timeline.stamp(s) for s in stamps] for _ in range(3)]
    flat = [s for lap in laps for s in lap]
    assert all(b > a for a, b in pairwise(flat))
    assert laps[0] == stamps
    for lap, after in pairwise(laps):
        assert after[0] - lap[-1] == period
        assert [s - after[0] for s in after] == [s - stamps[0] for s in stamps]


def test_pace_scales_time_and_forgives_small_delays() -> None:
    moment = [100.0]
    pace = Pace(2.0, lambda: moment[0])
    assert pace.stamp_at(100.0) is None
    assert pace.due(5_000_000_000) == 100.0
    assert pace.due(5_100_000_000) == pytest.approx(100.05)
    assert pace.stamp_at(100.025) == 5_050_000_000
    moment[0] = 100.11
    assert pace.due(5_200_000_000) == pytest.approx(100.1)
    assert pace.late == 0


def test_a_late_pair_moves_the_later_ones_instead_of_a_burst() -> None:
    moment = [0.0]
    pace = Pace(1.0, lambda: moment[0])
    pace.due(0)
    moment[0] = 0.5
    assert pace.due(100_000_000) == 0.5
    assert pace.late == 1
    assert pace.due(200_000_000) == pytest.approx(0.6)


def test_rate_zero_does_not_wait() -> None:
    pace = Pace(0.0, lambda: 7.0)
    assert [pace.due(i * 10**9) for i in range(3)] == [7.0, 7.0, 7.0]
    assert pace.late == 0


def test_reading_is_ahead_in_order_and_bounded() -> None:
    lock, active, most = threading.Lock(), 0, 0
    begun: list[int] = []

    def read(item: int) -> int:
        nonlocal active, most
        with lock:
            begun.append(item)
            active += 1
            most = max(most, active)
        time.sleep(0.002 * (item % 3))
        with lock:
            active -= 1
        return item

    taken = 0
    for result in read_ahead(iter(range(30)), read):
        assert result == taken
        taken += 1
        time.sleep(0.001)
        with lock:
            assert len(begun) <= taken + READ_AHEAD + 1
    assert taken == 30
    assert most <= 2


def test_an_error_arrives_after_the_good_frames_before_it() -> None:
    def read(item: int) -> int:
        if item == 3:
            raise ImageError("cut")
        return item

    seen = []
    with pytest.raises(ImageError, match="cut"):
        for result in read_ahead(range(10), read):
            seen.append(result)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": -1.0}, "rate: -1.0 is not within"),
        ({"rate": float("nan")}, "rate: nan is not within"),
        ({"start": -1}, "start: -1 is not within"),
        ({"count": 2.5}, "count: 2.5 is not a whole number"),
        ({"loop": 1}, "loop: 1 is not true or false"),
        ({"stamps": "later"}, "stamps: 'later' is not one of recorded, now"),
        ({"map_frame": ""}, "map_frame: '' is not a valid frame name"),
        ({"left_frame": "/camera"}, "left_frame: '/camera' is not a valid frame name"),
        ({"left_frame": "map"}, "two frames have the same name"),
    ],
)
def test_bad_parameters_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        ReplaySettings.from_values(values)
    assert str(caught.value).startswith(message) or message in str(caught.value)


def test_every_parameter_is_described_and_its_default_keeps_its_rule() -> None:
    assert (
        ReplaySettings.from_values({name: entry.default for name, entry in ReplaySettings.declared().items()})
        == ReplaySettings()
    )
    for name in ReplaySettings.declared():
        assert ReplaySettings.rule(name).text.endswith(".")
    assert ReplaySettings.from_values({"rate": 2}).rate == 2.0
