"""When rows are compared: at the start, regularly, and in turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, projection, turned_pair

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.pair_checks import row_watch
from occdepth_ros.stereo.pair_checks.row_check import row_differences
from occdepth_ros.stereo.pair_checks.row_watch import PERIOD, RowWatch

K = intrinsics()
RIG = StereoRig(
    PinholeCamera(projection(K), WIDTH, HEIGHT), PinholeCamera(projection(K, BASELINE), WIDTH, HEIGHT), np.eye(4)
)
Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def still() -> Pair:
    return turned_pair(0.0)


def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every comparison of rows adds an entry."""
    calls: list[int] = []

    def noted(*arguments: Any) -> Any:
        calls.append(1)
        return row_differences(*arguments)

    monkeypatch.setattr(row_watch, "row_differences", noted)
    return calls


def test_rows_of_a_stationary_robot_are_compared_regularly(monkeypatch: pytest.MonkeyPatch, still: Pair) -> None:
    calls = compared(monkeypatch)
    watch, in_turns = RowWatch(RIG), RowWatch(RIG, only_turns=True)
    for _ in range(PERIOD):
        assert watch.check(*still, "topics") == ()
    assert len(calls) == 1
    watch.check(*still, "topics")
    assert len(calls) == 2
    for _ in range(PERIOD):
        in_turns.check(*still, "topics")
    assert len(calls) == 2, "the robot does not turn"


def test_late_right_images_are_named_in_a_turn_and_until_the_next_turn(still: Pair) -> None:
    watch = RowWatch(RIG)
    late, prompt = [turned_pair(2.0, late=1.5), turned_pair(4.0, late=1.5)], [turned_pair(-3.0), turned_pair(-9.0)]
    assert watch.check(*still, "topics") == () and watch.check(*still, "topics") == ()
    (warning,) = watch.check(*late[0], "topics")
    assert warning.name == "rows_differ" and "different moments of a turn" in str(warning)
    assert watch.check(*late[1], "topics") == (warning,)
    watch.check(*prompt[0], "topics")
    assert watch.check(*prompt[1], "topics") == (), "both cameras trigger together now"


def test_a_steady_turn_is_compared_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = compared(monkeypatch)
    swing = [turned_pair(0.0), turned_pair(2.0)]
    watch = RowWatch(RIG, only_turns=True)
    for index in range(81):
        watch.check(*swing[index % 2], "topics")
    assert 1 <= len(calls) <= 3
