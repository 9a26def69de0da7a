"""The focal length that turns show: equal to the stated one, or named where both images are zoomed."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, projection, turned_pair

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.pair_checks.focal_watch import FIRST_PERIOD, MIN_MEASUREMENTS, FocalWatch
from occdepth_ros.stereo.pair_checks.row_watch import RowWatch
from occdepth_ros.stereo.rig_assessment.focal_length import FocalLengthMeter

Pair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
FOCAL = float(intrinsics()[0, 0])
COUNT = (MIN_MEASUREMENTS + 1) * (FIRST_PERIOD + 1)


def rig(factor: float) -> StereoRig:
    """The cameras of the views, with a focal length and a P[0,3] that are stated too large by a factor."""
    k = intrinsics(factor * FOCAL)
    left, right = (PinholeCamera(projection(k, x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
    return StereoRig(left, right, np.eye(4))


@pytest.fixture(scope="module")
def turn() -> list[Pair]:
    """A robot that turns by 1.5 degrees a pair."""
    return [turned_pair(1.5 * i - 12) for i in range(COUNT)]


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.0, 1.1, 1.25])
def test_the_focal_length_is_measured_for_any_stated_one(turn: list[Pair], factor: float) -> None:
    found = FocalLengthMeter(rig(factor)).measure(turn[4], turn[5])
    assert found is not None
    assert found.ratio == pytest.approx(1 / factor, rel=0.04)
    # the stated focal length turns pixels into degrees
    assert found.yaw == pytest.approx(1.5 / factor, rel=0.1)


def test_images_without_a_turn_have_no_focal_length(turn: list[Pair]) -> None:
    meter = FocalLengthMeter(rig(1.0))
    assert meter.measure(turn[4], turn[4]) is None
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert meter.measure((plain, plain), (plain, plain)) is None


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.2])
def test_a_focal_length_that_contradicts_turns_is_named(turn: list[Pair], factor: float) -> None:
    watch = RowWatch(rig(factor), only_turns=True)
    for pair in turn:
        warnings = {warning.name: str(warning) for warning in watch.check(*pair, "topics")}
    if factor == 1.0:
        assert not warnings
        return
    text = warnings["focal_length_contradicts_turns"]
    named = re.search(r"about (\d\.\d+) times the stated (\d+) px", text)
    assert named and float(named[1]) == pytest.approx(1 / factor, rel=0.05), text
    assert int(named[2]) == round(factor * FOCAL)


def test_attempts_that_measure_nothing_become_rare(monkeypatch: pytest.MonkeyPatch, turn: list[Pair]) -> None:
    attempts: list[None] = []
    monkeypatch.setattr(FocalLengthMeter, "measure", lambda meter, before, now: attempts.append(None))
    watch = FocalWatch(rig(1.0))
    made = []
    for _ in range(200):
        watch.check(*turn[0], 1.5, "topics")
        made.append(len(attempts))
    pairs = np.flatnonzero(np.diff(made, prepend=0))
    assert pairs[0] == 1
    assert list(np.diff(pairs)) == sorted(np.diff(pairs))
    assert 3 <= len(pairs) <= 7
