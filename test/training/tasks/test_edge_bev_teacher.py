"""The second target of scenes with incomplete ground truth: where it comes from, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.networks.exports import pair, rig_of

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import LiftedState
from occdepth_ros.models.edge_bev.readout import unfolded
from occdepth_ros.training.losses.bev_terms import TEACHER_WEIGHTS, teacher_term
from occdepth_ros.training.task import collate
from occdepth_ros.training.tasks.edge_bev import BevLossWeights, EdgeBevOptions
from occdepth_ros.training.tasks.edge_bev_teacher import OccupancyTeacher

GRID = VoxelGrid((0.0, -3.2, -2.2), (64, 32, 32), 0.2)
SMALL = {"image": [64, 128], "stages": [16, 16, 16, 16], "depths": [1, 1, 1, 1], "hidden": 16}

pytestmark = pytest.mark.usefixtures("one_thread")


def example(unknown: float) -> SceneExample:
    target = np.zeros(GRID.size, np.uint8)
    target[:, :, 2] = 9
    target[np.random.default_rng(1).random(GRID.size) < unknown] = UNKNOWN
    left, right = pair(64, 128, 0)
    return SceneExample("a", left, right, rig_of(64, 128), GRID, target, seen=target == 9)


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> list[VoxelGrid]:
    """Replace the engine: the half at small x is road, the lowest layer unknown, all else free; return the grids of
    its predictions."""
    made: list[VoxelGrid] = []

    class Predicting:
        def __init__(self, rig: Any, grid: VoxelGrid, *, model: str, device: str) -> None:
            self.grid = grid

        def calibrate(self, rig: Any, grid: VoxelGrid) -> None:
            self.grid = grid

        def predict(self, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> SimpleNamespace:
            made.append(self.grid)
            labels = np.zeros(self.grid.size, np.uint8)
            labels[: labels.shape[0] // 2] = 9
            labels[:, :, 0] = UNKNOWN
            return SimpleNamespace(labels=labels)

    monkeypatch.setattr("occdepth_ros.training.tasks.edge_bev_teacher.Engine", Predicting)
    return made


def test_the_occupancy_is_predicted_once_for_each_scene_and_grid(predictions: list[VoxelGrid]) -> None:
    teacher, scene = OccupancyTeacher("stereo-geometry"), example(0.5)
    found = teacher(scene)
    assert (found[:32, :, 1:] == 1).all() and (found[32:, :, 1:] == 0).all() and (found[:, :, 0] == UNKNOWN).all()
    teacher(scene)
    assert len(predictions) == 1
    teacher(replace(scene, grid=replace(GRID, origin=(0.2, -3.2, -2.2))))
    assert [grid.origin[0] for grid in predictions] == [0.0, 0.2]


def test_complete_ground_truth_has_no_second_target(predictions: list[VoxelGrid]) -> None:
    assert (OccupancyTeacher("stereo-geometry")(example(0.01)) == UNKNOWN).all()
    assert not predictions


def test_the_second_target_moves_with_the_grid(predictions: list[VoxelGrid]) -> None:
    options = EdgeBevOptions(network=SMALL, teacher="stereo-geometry", shift=(4, 0, 0))
    task = options.build()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        step = int(np.random.default_rng(seed).integers(-4, 5))
        prepared = task.prepare(example(0.5), rng)
        row = unfolded(prepared["predicted"], (32, 16, 16))[:, 16, 10]
        assert int((row == 0).nonzero()[0]) == 32 - step, seed
        assert int((row == UNKNOWN).sum()) == abs(step), seed


def test_the_term_is_part_of_the_loss_and_has_gradients(predictions: list[VoxelGrid]) -> None:
    options = EdgeBevOptions(network=SMALL, teacher="stereo-geometry", losses=BevLossWeights(teacher=3.0))
    task = options.build()
    terms = task.losses(collate([task.prepare(example(0.5), None)]))
    assert float(terms["teacher"].detach()) > 0
    terms["teacher"].backward()
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in task.network.parameters())


def test_voxels_out_of_view_count_more_and_unknown_ones_not() -> None:
    state = torch.tensor([LiftedState.NEAR, LiftedState.OUT_OF_VIEW], dtype=torch.uint8)
    free = torch.zeros(2, 8, dtype=torch.uint8)
    wrong_in_view, wrong_outside = torch.full((2, 8), -9.0), torch.full((2, 8), -9.0)
    wrong_in_view[0], wrong_outside[1] = 9.0, 9.0
    ratio = teacher_term(wrong_outside, free, state) / teacher_term(wrong_in_view, free, state)
    assert float(ratio) == pytest.approx(TEACHER_WEIGHTS[1] / TEACHER_WEIGHTS[0], rel=1e-3)
    unknown = torch.full((2, 8), UNKNOWN, dtype=torch.uint8)
    assert float(teacher_term(wrong_outside, unknown, state)) == 0
