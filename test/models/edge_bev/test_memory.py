"""Memory of earlier pairs: storage, reading and clearing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import FINE, GROUND, GROUND_CLASSES, STANDING_CLASSES, LiftedState
from occdepth_ros.models.edge_bev.evidence import Measurement
from occdepth_ros.models.edge_bev.loops.evidence import folded_index
from occdepth_ros.models.edge_bev.memory import CHANNELS, JUMP_M, KEYFRAMES, SceneMemory
from occdepth_ros.models.edge_bev.tables import BevTables

GRID = VoxelGrid((0.0, -3.2, -2.0), (64, 32, 32), 0.2)
SIZE = (32, 16, 16)
BUILDING, CAR, ROAD = 13, 1, 9
NOWHERE = np.zeros(int(np.prod(SIZE)), np.uint8)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tables() -> BevTables:
    k = np.array([[70.0, 0, 64], [0, 70.0, 32], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    left, right = np.hstack([k, np.zeros((3, 1))]), np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    return BevTables.of_rig(
        StereoRig(PinholeCamera(left, 128, 64), PinholeCamera(right, 128, 64), pose), GRID, (64, 128)
    )


def occupied(*voxels: tuple[int, int, int]) -> Measurement:
    flat = np.sort([np.ravel_multi_index(voxel, GRID.size) for voxel in voxels])
    ground = np.zeros(GRID.size[:2])
    return Measurement(
        np.ones((64, 128), np.int16),
        flat,
        np.full(len(flat), 9),
        flat,
        ground.astype(np.float32),
        ground > 0,
        np.zeros(3, np.float32),
    )


def moved(x: float, y: float = 0.0, yaw: float = 0.0) -> Matrix:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:2, 3] = x, y
    return pose


def of_class(class_id: int) -> torch.Tensor:
    return torch.full((16 * 32,), class_id)


VOXEL = (40, 16, 12)


def test_a_surface_is_remembered_where_the_motion_has_brought_it(tables: BevTables) -> None:
    memory = SceneMemory(GRID)
    memory.move(moved(0))
    memory.add(moved(0), occupied(VOXEL), tables, of_class(BUILDING))
    memory.move(moved(4))
    content = memory.read(moved(4), NOWHERE)
    lifted, fine = np.divmod(folded_index(np.array([np.ravel_multi_index((20, 16, 12), GRID.size)]), SIZE), FINE)
    assert content.rows.tolist() == lifted.tolist() and content.features.shape == (1, CHANNELS)
    assert content.features[0, :FINE].nonzero()[:, 0].tolist() == fine.tolist()
    votes = content.features[0, -GROUND - 1 :]
    assert votes[STANDING_CLASSES.index(BUILDING)] == 1 and votes.sum() == 1
    assert not content.columns.any(), "a building has no vote in the layout of the ground"


def test_ground_is_remembered_as_layout_too(tables: BevTables) -> None:
    memory = SceneMemory(GRID)
    memory.add(moved(0), occupied(VOXEL), tables, of_class(ROAD))
    content = memory.read(moved(4), NOWHERE)
    assert content.features[0, -1] == 1
    assert content.columns[10, 8].tolist() == [float(c == ROAD) for c in GROUND_CLASSES] + [1.0]
    assert content.columns.sum() == 2


@pytest.mark.parametrize("class_id", [0, CAR])
def test_sky_and_movable_objects_are_not_remembered(tables: BevTables, class_id: int) -> None:
    memory = SceneMemory(GRID)
    memory.add(moved(0), occupied(VOXEL), tables, of_class(class_id))
    assert not len(memory.read(moved(0), NOWHERE).rows)


@pytest.mark.parametrize(
    ("state", "is_remembered"),
    [
        (LiftedState.OUT_OF_VIEW, True),
        (LiftedState.BEHIND, True),
        (LiftedState.NEAR, False),
        (LiftedState.FRONT, False),
        (LiftedState.UNMATCHED, False),
    ],
)
def test_the_present_pair_overrides_the_memory_where_it_sees(
    tables: BevTables, state: int, is_remembered: bool
) -> None:
    memory = SceneMemory(GRID)
    memory.add(moved(0), occupied(VOXEL), tables, of_class(BUILDING))
    assert len(memory.read(moved(0), np.full_like(NOWHERE, state)).rows) == is_remembered


def test_a_jump_of_the_pose_clears_the_memory(tables: BevTables) -> None:
    memory = SceneMemory(GRID)
    memory.move(moved(0))
    memory.add(moved(0), occupied(VOXEL), tables, of_class(BUILDING))
    memory.move(moved(JUMP_M + 0.1))
    memory.move(moved(0.2))
    assert not len(memory.read(moved(0.2), NOWHERE).rows)


def test_the_memory_is_bounded_and_unchanged_by_a_stationary_robot(tables: BevTables) -> None:
    memory = SceneMemory(GRID)
    for step in range(3 * KEYFRAMES):
        for _ in range(3):
            memory.add(moved(0.0, 1.5 * step), occupied(VOXEL), tables, of_class(BUILDING))
    assert len(memory) == KEYFRAMES


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-np.pi, np.pi), st.floats(-9e5, 9e5))
@settings(max_examples=25)
def test_memory_follows_any_motion(tables: BevTables, x: float, y: float, yaw: float, far: float) -> None:
    start = moved(far, -far, 0.3)
    pose = start @ moved(x, y, yaw)
    memory = SceneMemory(GRID)
    memory.add(start, occupied(VOXEL), tables, of_class(BUILDING))
    centre = (np.array(VOXEL) + 0.5) * GRID.resolution + GRID.origin
    place = (np.linalg.inv(moved(x, y, yaw)) @ np.append(centre, 1))[:3]
    index = (place - GRID.origin) / GRID.resolution
    content = memory.read(pose, NOWHERE)
    if (np.abs(index / 2 - np.rint(index / 2)) < 1e-2)[:2].any():
        return  # on the border of two lifted voxels
    if ((index < 0) | (index >= GRID.size)).any():
        assert not len(content.rows)
    else:
        assert content.rows.tolist() == [np.ravel_multi_index(tuple(index.astype(int) // 2), SIZE)]
