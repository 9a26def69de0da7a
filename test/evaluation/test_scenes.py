"""Evaluation of a model on scenes with different rigs and grids: calibration, alignment, visibility."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.commands.eval import score_scenes
from occdepth_ros.commands.run.statistics import RunStatistics
from occdepth_ros.data.earlier import PosedPair
from occdepth_ros.data.example import SceneExample
from occdepth_ros.engine import Engine
from occdepth_ros.evaluation.report import SetScores
from occdepth_ros.evaluation.scenes import SceneModel, default_alignment
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.models.registry import MODELS
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

SMALL = VoxelGrid((0.0, -1.6, -1.0), (16, 16, 8), 0.2)
AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def scene(name: str = "08/000000", focal: float = 60.0, grid: VoxelGrid = SMALL, seen: bool = True) -> SceneExample:
    left = np.array([[focal, 0, 48, 0], [0, focal, 32, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -0.5 * focal
    rig = StereoRig(PinholeCamera(left, 96, 64), PinholeCamera(right, 96, 64), AXES)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    target = rng.choice(np.array([0, 1, 9, UNKNOWN], np.uint8), grid.size)
    half = np.zeros(grid.size, bool)
    half[: grid.size[0] // 2] = True
    return SceneExample(name, images[0], images[1], rig, grid, target, half if seen else None)


class Counting:
    """A predictor that records its calibrations and marks only the far half as seen."""

    name = "counting"
    free_space = FreeSpace.SUPPORTED

    def __init__(self) -> None:
        self.calibrations: list[tuple[StereoRig, VoxelGrid]] = []

    def calibrate(self, rig: StereoRig, grid: VoxelGrid) -> None:
        self.calibrations.append((rig, grid))

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        size = self.calibrations[-1][1].size
        visibility = np.full(size, 2, np.uint8)
        visibility[size[0] // 2 :] = 1
        return Occupancy(np.ones(size, np.uint8), visibility, visibility, np.full(left.shape[:2], 7.0, np.float32))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    predictor = Counting()
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: predictor)
    return predictor


def test_the_engine_is_calibrated_when_rig_or_grid_change(counting: Counting) -> None:
    model = SceneModel()
    other = replace(SMALL, size=(16, 16, 16))
    for example in (scene(), scene("08/000005"), scene(focal=61), scene(focal=61, grid=other)):
        assert model.predict(example).grid == example.grid
    assert [(rig.left.intrinsics[0, 0], grid) for rig, grid in counting.calibrations] == [
        (60, SMALL),
        (61, SMALL),
        (61, other),
    ]


def test_index_alignment_moves_only_the_benchmark_s_grid(counting: Counting) -> None:
    by_index = SceneModel(align="index")
    assert by_index.grid_of(BENCHMARK_GRID) == VoxelGrid.semantic_kitti()
    assert by_index.grid_of(replace(BENCHMARK_GRID, frame_id="lidar")).origin[2] == -2.0
    assert by_index.grid_of(SMALL) == SMALL
    assert SceneModel().grid_of(BENCHMARK_GRID) == BENCHMARK_GRID


def test_published_checkpoints_are_scored_by_index() -> None:
    by_index = {name for name in MODELS if default_alignment(name) == "index"}
    assert {"occdepth-b3", "monoscene"} <= by_index
    assert (
        not {"stereo-geometry", "occdepth-edge", "occdepth-edge-kitti", "occdepth-small", "lmscnet-stereo"} & by_index
    )


def test_visibility_of_the_ground_truth_takes_precedence(counting: Counting) -> None:
    model = SceneModel()
    for given, side in ((True, np.s_[:8]), (False, np.s_[8:])):
        example = scene(seen=given)
        regions = model.regions(example, model.predict(example))
        expected = np.zeros(SMALL.size, bool)
        expected[side] = True
        if given:
            expected &= regions["in_view"]
        np.testing.assert_array_equal(regions["seen"], expected)
        np.testing.assert_array_equal(regions["completed"], ~expected)


class Remembering(Counting):
    """A predictor that records the poses of its pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.poses: list[float | None] = []

    def set_pose(self, world_from_grid: np.ndarray | None) -> None:
        self.poses.append(None if world_from_grid is None else float(world_from_grid[0, 3]))


def at(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_a_stateful_model_sees_the_earlier_pairs_of_each_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Remembering()
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: predictor)
    base = scene()

    def history(count: int) -> list[PosedPair]:
        return [PosedPair(base.left, base.right, at(x)) for x in (1.0, 2.0, 3.0)[-count:]]

    posed = replace(base, history=history, world_from_grid=at(4.0))
    model = SceneModel()
    model.predict(posed, memory=2)
    # the memory of the scene before is dropped first
    assert predictor.poses == [None, 2.0, 3.0, 4.0]
    predictor.poses.clear()
    for example, memory in ((posed, 0), (base, 2)):
        model.predict(example, memory)
    assert predictor.poses == [None, None]


def test_a_model_without_state_predicts_the_scene_alone(counting: Counting) -> None:
    def history(count: int) -> list[PosedPair]:
        raise AssertionError("earlier pairs were read")

    SceneModel().predict(replace(scene(), history=history, world_from_grid=at(0.0)), memory=3)


def test_names_are_sequence_and_frame(counting: Counting) -> None:
    model, scores = SceneModel(), SetScores()
    for name in ("08/000000", "09/000005", "alone"):
        example = scene(name)
        model.count(scores, example, model.predict(example))
    assert [(row["sequence"], row["frame"]) for row in scores.by_frame] == [
        ("08", "000000"),
        ("09", "000005"),
        ("", "alone"),
    ]
    known = int((example.target != UNKNOWN).sum())
    assert scores.total.confusion.sum() == 3 * known


def test_models_that_name_pixels_are_scored_on_labelled_ones(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = np.full((64, 96), 9, np.uint8)
    monkeypatch.setattr(counting, "pixel_classes", lambda left: named, raising=False)
    semantics = np.full((64, 96), UNKNOWN, np.uint8)
    semantics[:2], semantics[2:3], semantics[3:4] = 9, 1, 0
    model, scores = SceneModel(), SetScores()
    for example in (replace(scene(), semantics=semantics), scene()):
        model.count(scores, example, model.predict(example))
    pixels = scores.report()["pixels"]
    assert (pixels["frames"], pixels["labelled"], pixels["accuracy"]) == (1, 3 * 96, pytest.approx(66.6667))
    assert pixels["per_class"]["road"] == pytest.approx(66.6667, abs=1e-3)


def test_without_pixel_classes_there_is_no_pixel_score(counting: Counting) -> None:
    model, scores = SceneModel(), SetScores()
    example = replace(scene(), semantics=np.full((64, 96), 9, np.uint8))
    model.count(scores, example, model.predict(example))
    assert "pixels" not in scores.report()


def test_a_drive_gives_the_poses_that_the_evaluation_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Remembering()
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: predictor)
    example = scene()
    drive = Engine(example.rig, example.grid)
    drive.predict(example.left, example.right)  # warm-up
    for stamp, x in ((5, 1.0), (6, 2.0), (6, 3.0), (2, 4.0), (3, 5.0)):
        drive.predict(example.left, example.right, stamp_ns=stamp, world_from_grid=at(x))
    # a stamp that goes back drops the earlier pairs
    assert predictor.poses == [None, 1.0, 2.0, 3.0, None, 4.0, 5.0]


class Staged(Counting):
    """A predictor in two stages that records them, with the grey value of its left image."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[str] = []

    def begin(self, left: ImageArray, right: ImageArray) -> Callable[[], Occupancy]:
        shade = int(left[0, 0, 0])
        self.stages.append(f"begin {shade}")

        def complete() -> Occupancy:
            self.stages.append(f"complete {shade}")
            return self.infer(left, right)

        return complete


def shaded(shade: int) -> SceneExample:
    image = np.full((64, 96, 3), shade, np.uint8)
    return replace(scene(f"08/{shade:06d}"), left=image, right=image)


def test_a_scene_begins_before_the_one_before_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Staged()
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: predictor)
    scores = SetScores()
    score_scenes(SceneModel(), [shaded(i) for i in range(3)], scores, RunStatistics())
    assert predictor.stages == ["begin 0", "begin 1", "complete 0", "begin 2", "complete 1", "complete 2"]
    assert [row["frame"] for row in scores.by_frame] == ["000000", "000001", "000002"]


def test_the_earlier_pairs_of_a_scene_are_predicted_after_the_scene_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(Staged, Remembering):
        pass

    predictor = Both()
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: predictor)

    def posed(shade: int) -> SceneExample:
        earlier = shaded(shade - 1)
        pair = PosedPair(earlier.left, earlier.right, at(shade - 1.0))
        return replace(shaded(shade), history=lambda count: [pair], world_from_grid=at(float(shade)))

    score_scenes(SceneModel(), [posed(2), posed(4)], SetScores(), RunStatistics(), memory=1)
    assert predictor.poses == [None, 1.0, 2.0, None, 3.0, 4.0]
    order = ["begin 1", "begin 2", "complete 1", "complete 2", "begin 3", "begin 4", "complete 3", "complete 4"]
    assert predictor.stages == order
