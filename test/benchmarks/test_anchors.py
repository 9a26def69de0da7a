"""Anchors: blind prior, voxel features, and boosted trees trained on both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from benchmarks.anchors.__main__ import main
from benchmarks.anchors.features import NAMES, VoxelFeatures
from benchmarks.anchors.prior import BlindPrior, best_threshold
from benchmarks.anchors.rows import ROWS, Anchors, rows
from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import GridError, SourceError
from occdepth_ros.grid import VoxelGrid

GRID = VoxelGrid((0.0, -6.4, -2.0), (64, 64, 16), 0.2)
AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
BUILDING = 13
WALL_X = 31


def make_rig() -> StereoRig:
    left = np.array([[150.0, 0, 160, 0], [0, 150, 60, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -150 * 0.5
    return StereoRig(PinholeCamera(left, 320, 120), PinholeCamera(right, 320, 120), AXES)


def wall_scene(name: str, disparity: int = 12) -> SceneExample:
    """A scene with a wall across the view and free space in front of it."""
    rng = np.random.default_rng(disparity)
    rig = make_rig()
    wall = int(rig.left.intrinsics[0, 0] * rig.baseline / disparity / GRID.resolution)
    target = np.zeros(GRID.size, np.uint8)
    target[wall, :, 2:] = BUILDING
    target[wall + 1 :] = UNKNOWN
    grey = cv2.GaussianBlur(rng.integers(0, 256, (120, 320 + disparity), dtype=np.uint8), (3, 3), 0)
    image = np.repeat(np.asarray(grey, np.uint8)[:, :, None], 3, axis=2)
    # points are further to the left in the right image
    left, right = (np.ascontiguousarray(part) for part in (image[:, :320], image[:, disparity:]))
    return SceneExample(name, left, right, rig, GRID, target)


class Scenes(list[SceneExample]):
    """A data set in memory."""


def test_the_prior_is_a_mean_over_labelled_voxels() -> None:
    targets = [np.array([[[0, 1, 9, UNKNOWN]]], np.uint8), np.array([[[0, 1, 0, UNKNOWN]]], np.uint8)]
    targets.append(np.array([[[UNKNOWN, 9, 9, UNKNOWN]]], np.uint8))
    prior = BlindPrior(targets, [0, 1, 1])
    np.testing.assert_allclose(prior.occupancy, [0, 1, 2 / 3, 0], rtol=1e-6)
    np.testing.assert_array_equal(prior.classes, [0, 1, 9, 0])
    occupancy, classes = prior.without(1)
    np.testing.assert_array_equal(occupancy, [0, 1, 1, 0])
    np.testing.assert_array_equal(classes, [0, 1, 9, 0])
    # without its only fold, no scenes are left
    np.testing.assert_allclose(prior.without(2)[0], prior.occupancy)
    prior.threshold = 0.7
    np.testing.assert_array_equal(prior.labels(), [[[0, 1, 0, 0]]])


counts = hnp.arrays(np.int64, 11, elements=st.integers(0, 50))


@settings(deadline=None)
@given(counts, counts)
def test_the_selected_threshold_scores_highest(free: npt.NDArray[np.int64], occupied: npt.NDArray[np.int64]) -> None:
    level = np.arange(11) / 10

    def iou(threshold: float) -> float:
        chosen = level > threshold
        union = occupied.sum() + free[chosen].sum()
        return float(occupied[chosen].sum() / union) if union else 0.0

    best = iou(best_threshold(free, occupied))
    assert best == pytest.approx(max(iou(threshold) for threshold in np.arange(-0.05, 1, 0.1)))


def test_features_describe_the_matched_wall() -> None:
    example = wall_scene("00/000000")
    features = VoxelFeatures(example.rig, GRID).of(example.left, example.right).reshape(*GRID.size, len(NAMES))
    named = dict(zip(NAMES, np.moveaxis(features, -1, 0), strict=True))
    # straight ahead, at the camera's height
    line = np.s_[:, 32, 10]
    np.testing.assert_allclose(named["x"][line], GRID.axis_centers(0), atol=1e-5)
    error = named["depth_error"][line][3:]
    assert np.isfinite(error).all() and (np.diff(error) < 0).all()
    assert abs(error[WALL_X - 3]) < 0.3 and error[5] > 3 and error[-1] < -3
    assert (np.sign(named["disparity_error"][line][3:]) == np.sign(error)).mean() > 0.95
    for box in (3, 7, 15):
        assert abs(int(named[f"surface_{box}"][line].argmax()) - WALL_X) <= box // 2 + 1
    # outside the view there is no disparity
    assert np.isnan(named["depth_error"][0, 0]).all() and np.isnan(named["red"][0, 0]).all()
    assert np.isfinite(named["surface_3"]).all()
    row, column = 60, 160
    color = example.left[row - 2 : row + 3, column - 2 : column + 3, 0].mean()
    ahead = VoxelGrid((5.0, -0.1, -0.1), (1, 1, 1), 0.2)
    one = VoxelFeatures(example.rig, ahead).of(example.left, example.right)
    assert one[0, NAMES.index("red")] == pytest.approx(color, abs=1)


def test_trees_use_the_images_and_the_prior_cannot() -> None:
    train = Scenes(wall_scene(f"{i:02}/000000", i) for i in (7, 8, 9, 11, 13, 16, 18, 20))
    anchors = Anchors(train)
    scores = anchors.score(Scenes([wall_scene("90/000000", 12), wall_scene("91/000000", 14)]))
    assert list(scores) == list(ROWS)
    table = {row["anchor"]: row for row in rows(scores)}
    assert table["blind-prior"]["SC IoU"] + 10 < table["boosted-trees"]["SC IoU"]
    assert table["boosted-trees"]["SC IoU"] > 60
    assert set(anchors.seconds) == {"features", "prior", "trees"}
    report = scores["boosted-trees"].report()
    assert report["per_class"]["building"] > 50 and set(report["by_sequence"]) == {"90", "91"}


def test_equal_scenes_make_a_perfect_prior() -> None:
    scene = wall_scene("00/000000")
    anchors = Anchors(Scenes([scene, replace(scene, name="01/000000")]))
    scores = anchors.score(Scenes([replace(scene, name="02/000000")]))
    assert scores["blind-prior"].total.iou == 1


def test_invalid_scenes_are_refused() -> None:
    with pytest.raises(SourceError, match="training set is empty"):
        Anchors(Scenes())
    scene = wall_scene("00/000000")
    lower = replace(scene, name="01/000000", grid=replace(GRID, origin=(0.0, -6.4, -2.2)))
    with pytest.raises(GridError, match="01/000000"):
        Anchors(Scenes([scene, lower]))


def test_the_command_requires_a_root(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--train", "00", "--test", "05"]) == 2
    assert "--root" in capsys.readouterr().err
    assert main(["--dataset", "synthetic", "--train", "00", "01", "--test", "1"]) == 2
    assert "--train: 00 01 is not a number of scenes" in capsys.readouterr().err


def test_the_command_on_real_frames(
    kitti_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.anchors.trees.TREES", 20)
    monkeypatch.setattr("benchmarks.anchors.trees.CLASS_TREES", 5)
    out = tmp_path / "anchors.json"
    arguments = ["--labels", "recon10", "--train", "00", "04", "--test", "07", "--json", str(out)]
    assert main(["--root", str(kitti_mini), *arguments]) == 0
    assert "anchors on recon10" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["train"]["scenes"] == 4 and report["test"]["scenes"] == 2
    found = {name: row["sc_iou"] for name, row in report["rows"].items()}
    assert found["boosted-trees"] > max(found["blind-prior"], found["stereo-geometry"]) > 15
