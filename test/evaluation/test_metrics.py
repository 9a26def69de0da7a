"""Scores against scikit-learn and golden arrays, and ground truth on shifted grids."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.errors import GridError
from occdepth_ros.evaluation.alignment import aligned_labels
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth

LABELS = st.sampled_from([*range(20), UNKNOWN])


def scores_of(predicted: npt.NDArray[np.uint8], ground_truth: npt.NDArray[np.uint8]) -> CompletionScores:
    scores = CompletionScores()
    scores.add(predicted, ground_truth)
    return scores


@pytest.mark.golden
def test_scores_agree_with_golden_arrays(golden_dir: Path) -> None:
    with np.load(golden_dir / "occdepth_parts.npz") as golden:
        scores = CompletionScores()
        for predicted, ground_truth in zip(golden["metric_pred"], golden["metric_true"], strict=True):
            scores.add(predicted.astype(np.uint8), ground_truth.astype(np.uint8))
        assert scores.scenes == 3
        assert scores.precision == pytest.approx(float(golden["metric_precision"]), rel=1e-12)
        assert scores.recall == pytest.approx(float(golden["metric_recall"]), rel=1e-12)
        assert scores.iou == pytest.approx(float(golden["metric_iou"]), rel=1e-12)
        np.testing.assert_allclose(scores.class_iou, golden["metric_iou_ssc"], rtol=1e-12)
        assert scores.mean_iou == pytest.approx(float(golden["metric_iou_ssc_mean"]), rel=1e-12)


@settings(deadline=None)  # the first call imports scikit-learn
@given(hnp.arrays(np.uint8, (2, 4, 5, 6), elements=LABELS))
def test_confusion_matches_scikit_learn(pair: npt.NDArray[np.uint8]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    predicted, ground_truth = pair
    labelled = ground_truth != UNKNOWN
    if not labelled.any():
        return
    expected = metrics.confusion_matrix(
        ground_truth[labelled], np.where(predicted == UNKNOWN, 0, predicted)[labelled], labels=range(20)
    )
    np.testing.assert_array_equal(scores_of(predicted, ground_truth).confusion, expected)


@given(hnp.arrays(np.uint8, (3, 2, 4, 3, 2), elements=LABELS))
def test_adding_scenes_equals_one_large_scene(scenes: npt.NDArray[np.uint8]) -> None:
    scores = CompletionScores()
    for predicted, ground_truth in scenes:
        scores.add(predicted, ground_truth)
    whole = scores_of(scenes[:, 0], scenes[:, 1])
    np.testing.assert_array_equal(scores.confusion, whole.confusion)
    assert scores.summary() == whole.summary()


@settings(deadline=None)
@given(
    hnp.arrays(np.uint8, (2, 4, 5, 6), elements=LABELS),
    st.lists(hnp.arrays(np.bool_, st.sampled_from([(4, 5, 6), (4, 5, 1), (4, 1, 1)])), max_size=5),
)
def test_parts_are_counted_like_separate_scenes(
    pair: npt.NDArray[np.uint8], masks: list[npt.NDArray[np.bool_]]
) -> None:
    predicted, ground_truth = pair
    scores = CompletionScores()
    parts = scores.add_parts(predicted, ground_truth, masks)
    np.testing.assert_array_equal(scores.confusion, scores_of(predicted, ground_truth).confusion)
    assert scores.scenes == 1 and len(parts) == len(masks)
    for part, mask in zip(parts, masks, strict=True):
        alone = scores_of(predicted, np.where(mask, ground_truth, np.uint8(UNKNOWN)))
        np.testing.assert_array_equal(part, alone.confusion)


def test_more_than_16_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="17 parts"):
        CompletionScores().add_parts(np.zeros(3, np.uint8), np.zeros(3, np.uint8), [np.ones(3, bool)] * 17)


def test_scores_agree_with_hand_computed_counts() -> None:
    ground_truth = np.array([0, 0, 1, 1, 9, 255, 9], np.uint8)
    predicted = np.array([0, 1, 1, 9, 255, 1, 9], np.uint8)
    scores = scores_of(predicted, ground_truth)
    assert scores.precision == pytest.approx(3 / 4)
    assert scores.recall == pytest.approx(3 / 4)
    assert scores.iou == pytest.approx(3 / 5)
    assert scores.by_class()["car"] == pytest.approx(1 / 3, abs=1e-5)
    assert scores.by_class()["road"] == pytest.approx(1 / 3, abs=1e-5)
    # one of two cars; one of two road voxels, the other is predicted as unknown
    assert scores.recall_by_class()["car"] == scores.recall_by_class()["road"] == pytest.approx(1 / 2, abs=1e-5)
    assert scores.mean_iou == pytest.approx(2 / 3 / 19, abs=1e-5)
    assert list(scores.summary()) == ["SC IoU", "SC precision", "SC recall", "SSC mIoU"]


def test_perfect_and_empty_predictions() -> None:
    ground_truth = np.arange(20, dtype=np.uint8).reshape(2, 2, 5)
    assert scores_of(ground_truth, ground_truth).iou == 1
    assert scores_of(ground_truth, ground_truth).mean_iou == pytest.approx(1, abs=1e-4)
    for blank in (0, UNKNOWN):
        scores = scores_of(np.full_like(ground_truth, blank), ground_truth)
        assert (scores.iou, scores.precision, scores.recall, scores.mean_iou) == (0, 0, 0, 0)
    assert CompletionScores().summary() == dict.fromkeys(CompletionScores().summary(), 0.0)


@pytest.mark.parametrize(
    ("predicted", "ground_truth", "message"),
    [
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), "differ in shape"),
        (np.full((2, 2, 2), 20), np.zeros((2, 2, 2)), "prediction holds the label 20"),
        (np.zeros((2, 2, 2)), np.full((2, 2, 2), 254), "ground truth holds the label 254"),
    ],
)
def test_wrong_arrays_are_refused(
    predicted: npt.NDArray[np.uint8], ground_truth: npt.NDArray[np.uint8], message: str
) -> None:
    scores = CompletionScores()
    with pytest.raises(GridError, match=message):
        scores.add(predicted.astype(np.uint8), ground_truth.astype(np.uint8))
    assert scores.scenes == 0
    assert not scores.confusion.any()


GRID = VoxelGrid((0, -1, -2.0), (4, 5, 6), 0.2)


@given(st.tuples(*[st.integers(-7, 7)] * 3), st.tuples(*[st.integers(1, 7)] * 3))
def test_alignment_keeps_the_position_of_every_label(shift: tuple[int, int, int], size: tuple[int, int, int]) -> None:
    labels = np.arange(GRID.count, dtype=np.uint8).reshape(GRID.size)
    origin = tuple(o + 0.2 * s for o, s in zip(GRID.origin, shift, strict=True))
    target = VoxelGrid(origin, size, 0.2)  # type: ignore[arg-type]
    out = aligned_labels(labels, GRID, target)
    index, inside = GRID.index_of(target.centers())
    expected = np.where(inside, labels[tuple(index.T)], UNKNOWN).reshape(size)
    np.testing.assert_array_equal(out, expected)


def test_alignment_shifts_a_prediction_onto_the_benchmark_s_layers() -> None:
    grid = VoxelGrid((0, 0, -2.0), (2, 2, 4), 0.2)
    ground_truth_grid = VoxelGrid((0, 0, -2.2), (2, 2, 4), 0.2)
    labels = np.zeros(grid.size, np.uint8)
    labels[..., 1] = 9
    zeros = np.zeros(grid.size, np.uint8)
    prediction = OccupancyPrediction(grid, labels, zeros, zeros, np.zeros((1, 1), np.float32))
    ground_truth = np.zeros(grid.size, np.uint8)
    ground_truth[..., 2] = 9
    scores = CompletionScores(SEMANTIC_KITTI)
    scores.add_scene(prediction, SceneGroundTruth(ground_truth, ground_truth_grid, "made"))
    assert scores.iou == 1


@pytest.mark.parametrize("target", [VoxelGrid((0.1, -1, -2), (4, 5, 6), 0.2), VoxelGrid((0, -1, -2), (4, 5, 6), 0.4)])
def test_alignment_requires_a_common_lattice(target: VoxelGrid) -> None:
    with pytest.raises(GridError, match="lattice"):
        aligned_labels(np.zeros(GRID.size, np.uint8), GRID, target)


def test_alignment_of_equal_grids_returns_the_input() -> None:
    labels = np.zeros(GRID.size, np.uint8)
    assert aligned_labels(labels, GRID, GRID) is labels
