"""Stamps of the images against the clock of the node."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")

from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.nodes.faults import FaultBoard
from occdepth_ros.nodes.stereo_occ.monitoring.clock import FRESH, MAX_AHEAD, MAX_BEHIND, check_clock, text_of

SECOND = 1_000_000_000
NOW = 1_780_000_000 * SECOND
NAMES = {"left": "/left/image_rect", "right": "/right/image_rect"}


def faults_of(stamps: dict[str, int | None], *, age: float = 0.0, now: int = NOW, is_simulated: bool = False) -> Any:
    arrival = time.monotonic() - age
    synchronizer: Any = SimpleNamespace(last_stamp=stamps, last_arrival=dict.fromkeys(stamps, arrival))
    clock: Any = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=now), ros_time_is_active=is_simulated)
    board = FaultBoard()
    check_clock(synchronizer, NAMES, clock, board)
    return {fault.name: fault for fault in board.present()}


@pytest.mark.parametrize(
    ("stamp", "expected_text"),
    [
        (5 * SECOND, "56 years before"),
        (NOW - 3 * 86_400 * SECOND, "3 days before"),
        (NOW + 2 * SECOND, "2 seconds after"),
        (NOW + 37 * SECOND, "37 seconds after"),
    ],
)
def test_stamps_of_another_clock_are_named_with_the_difference(stamp: int, expected_text: str) -> None:
    fault = faults_of({"left": stamp, "right": stamp})["other_clock"]
    assert (
        not fault.is_error
        and expected_text in fault.text
        and "/left/image_rect" in fault.text
        and "--clock" in fault.text
    )


def test_one_side_with_another_clock_is_named() -> None:
    assert "/right/image_rect" in faults_of({"left": NOW, "right": 5 * SECOND})["other_clock"].text


def test_a_missing_clock_topic_is_named() -> None:
    fault = faults_of({"left": NOW, "right": NOW}, now=0, is_simulated=True)["other_clock"]
    assert "/clock" in fault.text and "use_sim_time to false" in fault.text


def test_images_of_before_are_not_compared() -> None:
    assert not faults_of({"left": 5 * SECOND, "right": None}, age=2 * FRESH)


@given(st.floats(-MAX_AHEAD, MAX_BEHIND))
def test_usual_delays_are_no_fault(behind: float) -> None:
    assert not text_of("/left/image_rect", round(behind * SECOND), NOW, False)
