"""Errors of depth as disparity: medians by range, and outliers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.evaluation.disparity import MIN_PIXELS, STEPS, DisparityScores

FOCAL, BASELINE = 700.0, 0.5
LEFT = np.array([[FOCAL, 0, 50, 0], [0, FOCAL, 20, 0], [0, 0, 1, 0]], float)
RIGHT = LEFT - np.array([[0, 0, 0, FOCAL * BASELINE], [0] * 4, [0] * 4])
RIG = StereoRig(PinholeCamera(LEFT, 100, 40), PinholeCamera(RIGHT, 100, 40), np.eye(4))


def depth_of(disparity: np.ndarray) -> np.ndarray:
    return np.float32(FOCAL * BASELINE) / disparity.astype(np.float32)


@given(st.floats(-0.9, 0.9))
def test_a_constant_error_is_the_median_of_every_range(error: float) -> None:
    true = np.linspace(2.0, 100.0, 4000).reshape(40, 100)
    scores = DisparityScores()
    scores.add(depth_of(true - error), depth_of(true), RIG)
    report = scores.report()
    assert report["frames"] == 1 and report["pixels"] == 4000
    for median in (report["median"], *report["by_disparity"].values()):
        assert median == pytest.approx(error, abs=1.5 / STEPS)


def test_mismatches_are_outliers_and_do_not_move_the_median() -> None:
    true = np.full((40, 100), 20.0)
    predicted = true - 0.25
    predicted[:10] = 60.0
    scores = DisparityScores()
    scores.add(depth_of(predicted), depth_of(true), RIG)
    assert scores.report()["median"] == pytest.approx(0.25, abs=1.5 / STEPS)
    assert scores.report()["outliers"] == pytest.approx(25.0)


def test_an_error_of_five_percent_of_a_near_disparity_is_no_outlier() -> None:
    true = np.full((40, 100), 100.0)
    scores = DisparityScores()
    scores.add(depth_of(true - 4.5), depth_of(true), RIG)
    assert scores.report()["outliers"] == 0


def test_pixels_without_depth_do_not_count() -> None:
    true = depth_of(np.full((40, 100), 20.0))
    predicted = true.copy()
    predicted[0], true[1], true[2] = np.nan, np.inf, 0
    scores = DisparityScores()
    scores.add(predicted, true, RIG)
    assert scores.report()["pixels"] == 3700


def test_ranges_with_few_pixels_have_no_median() -> None:
    true = depth_of(np.full((40, 100), 20.0))
    true.ravel()[MIN_PIXELS - 1 :] = np.nan
    scores = DisparityScores()
    scores.add(true, true, RIG)
    assert scores.report()["median"] is None and set(scores.report()["by_disparity"].values()) == {None}
