"""Frames that follow the ground: deviation, pose, resampling, and unknown voxels below the ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.evidence import STANDARD_HEIGHT, Measurement
from occdepth_ros.models.edge_bev.levelling import (
    STEP_DEGREES,
    STEP_M,
    LevelFrames,
    deviation,
    grid_from_level,
    slopes,
    standard_height,
    unknown_below_ground,
)

GRID = VoxelGrid((0.0, -6.4, -2.2), (64, 64, 32), 0.2)
IMAGE = (288, 928)

pytestmark = pytest.mark.usefixtures("one_thread")


def measured(pitch: float = 0.0, roll: float = 0.0, height: float = 0.0, seen: int = 4096) -> Measurement:
    """A measurement of a plane that rises ahead by `pitch` and to the left by `roll` degrees, `height` m too high."""
    a, b = np.tan(np.radians([pitch, roll]))
    x, y = (-origin / GRID.resolution for origin in GRID.origin[:2])
    plane = np.array([a, b, STANDARD_HEIGHT + height / GRID.resolution - a * x - b * y], np.float32)
    columns = np.indices(GRID.size[:2], np.float32) + 0.5
    ground = (plane[0] * columns[0] + plane[1] * columns[1] + plane[2]).astype(np.float32)
    nothing = np.zeros(0, np.intp)
    visible = np.arange(64 * 64).reshape(64, 64) < seen
    return Measurement(np.zeros((60, 120), np.int16), nothing, nothing, nothing, ground, visible, plane)


def test_a_road_as_in_training_keeps_the_frame_of_the_grid() -> None:
    for values in ((0.0, 0.0, 0.0), (1.2, -1.2, 0.17), (2.2, 2.4, -0.17), (-1.1, -2.4, 0.38)):
        assert deviation(*values) is None


def test_deviations_are_rounded_to_steps_and_bounded() -> None:
    assert deviation(-2.1, 0.1, 0.41) == (-4, 0, 8)
    assert deviation(0.0, 2.6, 0.0) == (0, 5, 0) and deviation(2.4, 0.0, 0.0) == (5, 0, 0)
    # a falling or low road leaves the grid earlier than a rising or high one
    assert deviation(-1.3, 0.0, 0.3) == (-3, 0, 0) and deviation(1.3, 0.0, -0.21) == (0, 0, -4)
    assert deviation(-2.1, 1.0, 0.1) == (-4, 0, 0) and deviation(0.5, 0.5, -0.3) == (0, 0, -6)
    assert deviation(20.0, 0.0, 0.0) is None and deviation(0.0, 0.0, 3.0) is None
    assert slopes(measured(-2.1, 1.5, 0.2).plane, GRID) == pytest.approx((-2.1, 1.5, 0.2), abs=1e-3)


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=25, deadline=None)
def test_the_road_is_level_at_the_standard_height_in_the_level_frame(pitch: int, roll: int, height: int) -> None:
    pose = grid_from_level((pitch, roll, height), GRID)
    assert pose[:3, :3] @ pose[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    a, b = np.tan(np.radians([pitch * STEP_DEGREES, roll * STEP_DEGREES]))
    standard = GRID.origin[2] + STANDARD_HEIGHT * GRID.resolution
    x, y = np.random.default_rng(0).uniform(-5, 20, (2, 10))
    road = np.stack([x, y, a * x + b * y + standard + height * STEP_M, np.ones(10)])
    assert (np.linalg.inv(pose) @ road)[2] == pytest.approx(np.full(10, standard), abs=1e-9)


def test_a_level_road_is_resampled_to_the_tilted_road_of_the_grid() -> None:
    from helpers.networks.exports import rig_of

    rig = rig_of(288, 928)
    frames = LevelFrames(rig, GRID, IMAGE)
    flat = measured(pitch=-2.0, height=0.4)
    # disparity of this road, which leaves the grid 33 m ahead
    k, pose = rig.left.intrinsics, rig.left_from_grid
    column, row = np.meshgrid(np.arange(rig.left.width), np.arange(rig.left.height))
    rays = np.stack([(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1], np.ones(column.shape)], -1) @ pose[:3, :3]
    a = np.tan(np.radians(-2.0))
    camera = -pose[:3, :3].T @ pose[:3, 3]
    depth = (a * camera[0] + standard_height(GRID) + 0.4 - camera[2]) / (rays[..., 2] - a * rays[..., 0])
    disparity = np.where(depth > 0, k[0, 0] * rig.baseline / depth, 0)
    sight = replace(flat, disparity=np.rint(disparity * 16).clip(0, 30000).astype(np.int16))
    level = frames.of(sight.plane, sight.disparity)
    assert level is not None and frames.of(sight.plane, sight.disparity) is level
    assert frames.of(measured().plane, sight.disparity) is None
    assert level.grid_from_level == pytest.approx(grid_from_level((-4, 0, 8), GRID), abs=0.06)
    labels = torch.zeros(GRID.size, dtype=torch.uint8)
    labels[:, :, 2] = 9
    out, confidence = (values.numpy() for values in level.resampled(labels, torch.full_like(labels, 200)))
    assert np.array_equal(confidence == 0, out == UNKNOWN) and set(np.unique(confidence)) == {0, 200}
    voxels = np.argwhere(out == 9)
    expected = sight.ground[voxels[:, 0], voxels[:, 1]]
    assert np.abs(voxels[:, 2] + 0.5 - expected).max() < 1.3 and len(voxels) > 3500
    assert (out[..., 20] == 0).mean() > 0.9 and (out == UNKNOWN).any()


def test_only_voxels_below_the_ground_become_unknown() -> None:
    labels = torch.full(GRID.size, 9, dtype=torch.uint8)
    sight = measured(height=1.0, seen=2048)
    out, confidence = unknown_below_ground(labels.clone(), labels.clone(), sight)
    assert torch.equal(confidence == 0, out == UNKNOWN)
    height = STANDARD_HEIGHT + 5
    for half, margin in ((out[:32], 1.25), (out[32:], 3.0)):
        below = (half == UNKNOWN).all(0).all(0).numpy()
        assert below.sum() == int(height - margin) and below[: int(height - margin)].all()
    low = measured(height=-0.4)
    assert torch.equal(unknown_below_ground(labels.clone(), labels.clone(), low)[0], labels)
