"""Scores over places, calibration of labels, and the lowest layer of the benchmark's ground ground_truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.evaluation.alignment import comparable_labels
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.places import place_report
from occdepth_ros.evaluation.reliability import Reliability
from occdepth_ros.evaluation.report import confusion_of, rows_of
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID


def confusion(right: int, missed: int = 0) -> np.ndarray:
    """Of 100 voxels, `right` are road in both and `missed` are called free."""
    out = np.zeros((20, 20), np.int64)
    out[9, 9], out[9, 0], out[0, 0] = right, missed, 100 - right - missed
    return out


def test_intervals_contain_the_mean_and_widen_with_the_spread_of_the_places() -> None:
    alike = place_report([confusion(40, 10)] * 5)
    assert alike["mean"]["sc_iou"] == pytest.approx(80)
    assert alike["interval"]["sc_iou"] == pytest.approx([80, 80])
    assert alike["pooled_interval"]["ssc_miou"] == pytest.approx([80 / 19] * 2, abs=1e-3)
    spread = place_report([confusion(50 - 10 * i, 10 * i) for i in range(5)])
    low, high = spread["interval"]["sc_iou"]
    assert spread["mean"]["sc_iou"] == pytest.approx(60)
    assert 20 < low < 60 < high < 100


def test_equal_places_give_equal_intervals_and_one_place_gives_none() -> None:
    places = [confusion(30, 20), confusion(10, 5), confusion(60)]
    assert place_report(places) == place_report(places)
    assert "interval" not in place_report(places[:1])


def test_classes_that_the_ground_truth_lacks_do_not_lower_the_mean_over_present_ones() -> None:
    scores = CompletionScores()
    scores.confusion = confusion(50)
    scores.confusion[0, 1] = 7  # a class that is only predicted
    assert scores.present == [9]
    assert scores.present_mean_iou == pytest.approx(1, abs=1e-6)
    assert scores.mean_iou == pytest.approx(1 / 19, abs=1e-6)
    assert CompletionScores().present_mean_iou == 0
    np.testing.assert_array_equal(confusion_of(rows_of(scores)), scores.confusion)


def test_the_calibration_error_is_the_distance_between_confidence_and_accuracy() -> None:
    part = Reliability()
    # 51 of 255 = 20 % confidence; half of the labels are right
    part.add(np.array([9, 9], np.uint8), np.array([51, 51], np.uint8), np.array([9, 1], np.uint8))
    # fully confident and right; unknown ground ground_truth does not count; one voxel is unknown and occupied
    part.add(
        np.array([0, 0, UNKNOWN], np.uint8), np.array([255, 255, 0], np.uint8), np.array([0, UNKNOWN, 1], np.uint8)
    )
    report = part.report()
    assert report["ece"] == pytest.approx(100 * (2 / 3 * 0.3), abs=1e-3)
    assert report["voxels"] == 4 and report["unknown"] == 25 and report["occupied_of_unknown"] == 100
    assert report["occupied_of_free"] == 0 and report["occupied"] == 75
    assert [row[2] for row in report["bins"]] == [2, 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_voxels_in_any_order_and_number_of_parts_give_the_same_reliability(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    labels, ground_truth = (rng.choice(np.array([0, 9, UNKNOWN], np.uint8), 60) for _ in range(2))
    confidence = rng.integers(0, 256, 60, dtype=np.uint8)
    whole, parts = Reliability(), Reliability()
    whole.add(labels, confidence, ground_truth)
    for part in (slice(cut, None), slice(cut)):
        parts.add(labels[part], confidence[part], ground_truth[part])
    assert whole.report() == parts.report()
    assert 0 <= whole.report()["ece"] <= 100


def test_the_lowest_layer_counts_alike_on_both_grids() -> None:
    ground_truth = np.zeros(BENCHMARK_GRID.size, np.uint8)
    filled = np.full(BENCHMARK_GRID.size, 9, np.uint8)
    low = comparable_labels(filled, BENCHMARK_GRID, BENCHMARK_GRID, ground_truth)
    high = comparable_labels(filled, VoxelGrid.semantic_kitti(), BENCHMARK_GRID, ground_truth)
    assert (low[..., 0] == UNKNOWN).all() and (low[..., 1:] == 9).all()
    np.testing.assert_array_equal(low[..., 0], high[..., 0])
    assert (filled == 9).all()


def test_a_ground_truth_with_surfaces_in_the_lowest_layer_is_compared_there() -> None:
    ground_truth = np.zeros(BENCHMARK_GRID.size, np.uint8)
    ground_truth[0, 0, 0] = 9
    filled = np.full(BENCHMARK_GRID.size, 9, np.uint8)
    assert comparable_labels(filled, BENCHMARK_GRID, BENCHMARK_GRID, ground_truth) is filled
