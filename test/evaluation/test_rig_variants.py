"""Scenes by other rigs: a voxel keeps its pixel, disparity and label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.data.example import SceneExample
from occdepth_ros.evaluation.rig_variants import (
    GROUND_Z,
    VARIANTS,
    RigVariant,
    VariantScenes,
    on_moved_grid,
    view_angle,
    with_height,
    with_pitch,
    with_view,
)
from occdepth_ros.grid import VoxelGrid

GRID = VoxelGrid((0.0, -3.2, -2.2), (64, 32, 16), 0.2)
WIDTH, HEIGHT, FOCAL = 200, 60, 116.0


@pytest.fixture(scope="module")
def scene() -> SceneExample:
    """A bright patch of the image at the place of the only car."""
    k = np.array([[FOCAL, 0, WIDTH / 2, 0], [0, FOCAL, HEIGHT / 2, 0], [0, 0, 1, 0]])
    right = k.copy()
    right[0, 3] = -0.5 * FOCAL
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]])
    rig = StereoRig(PinholeCamera(k, WIDTH, HEIGHT), PinholeCamera(right, WIDTH, HEIGHT), pose)
    target = np.zeros(GRID.size, np.uint8)
    target[38:42, 14:18, 8:12] = 1
    left = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image = np.tile(np.arange(WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))
    scene = SceneExample("a", left, image, rig, GRID, target, seen=target > 0)
    column, row, _ = pixel_of_car(scene)
    left[round(row) - 3 : round(row) + 4, round(column) - 3 : round(column) + 4] = 255
    return scene


def pixel_of_car(scene: SceneExample) -> tuple[float, float, float]:
    """Column and row of the car's centre in the left image, and its disparity, pixels."""
    centre = np.append(scene.grid.centers_of(np.argwhere(scene.target == 1)).mean(0), 1.0)
    rig = scene.rig
    pixels = [camera.projection @ rig.reference_from_grid @ centre for camera in (rig.left, rig.right)]
    (x, y), (other, _) = (p[:2] / p[2] for p in pixels)
    return float(x), float(y), float(x - other)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_car_is_at_its_position_in_the_image(scene: SceneExample, variant: RigVariant) -> None:
    changed = VariantScenes([scene], variant)[0]
    column, row, disparity = pixel_of_car(changed)
    assert changed.left[round(row), round(column), 0] > 128
    rows, columns = np.nonzero(changed.left[..., 0] > 128)
    assert (columns.mean(), rows.mean()) == pytest.approx((column, row), abs=3)
    focal = changed.rig.left.projection[0, 0] / FOCAL
    assert disparity == pytest.approx(pixel_of_car(scene)[2] * focal, rel=0.06)


def test_view_angles_are_as_requested(scene: SceneExample) -> None:
    for degrees in (50, 65, 95, 110):
        assert view_angle(with_view(scene, degrees).rig.left) == pytest.approx(degrees, abs=1)


def test_a_scaled_world_keeps_the_road_and_moves_the_camera(scene: SceneExample) -> None:
    for height in (0.8, 2.0):
        rig = with_height(scene, height).rig
        assert np.linalg.inv(rig.left_from_grid)[2, 3] - GROUND_Z == pytest.approx(height, abs=1e-6)


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_a_surface_of_one_layer_stays_in_a_smaller_world(scene: SceneExample, layer: int) -> None:
    road = np.zeros(GRID.size, np.uint8)
    road[..., layer] = 9
    smaller = with_height(replace(scene, target=road), 0.8).target
    labelled = (smaller != 255).any(2)
    assert (smaller == 9).any(2)[labelled].all()


def test_the_lowest_layer_labels_no_other_layer(scene: SceneExample) -> None:
    target = np.full(GRID.size, 255, np.uint8)
    target[..., 0] = 0
    for changed in (
        with_height(replace(scene, target=target), 0.8),
        on_moved_grid(replace(scene, target=target), up=-0.2),
    ):
        assert (changed.target == 255).all()


def test_free_space_of_a_smaller_world_needs_labels_of_half_a_voxel(scene: SceneExample) -> None:
    target = np.full(GRID.size, 255, np.uint8)
    target[::8, ::8, ::8] = 0
    assert (with_height(replace(scene, target=target), 0.8).target == 255).all()


def test_a_descending_road_is_lower_ahead(scene: SceneExample) -> None:
    road = np.zeros(GRID.size, np.uint8)
    road[..., 2] = 9
    falling = on_moved_grid(replace(scene, target=road), pitch=2).target
    near, far = (np.argwhere(falling[x] == 9)[:, 1].mean() for x in (2, 55))
    assert near - far == pytest.approx(53 * np.tan(np.radians(2)), abs=1)
    raised = on_moved_grid(replace(scene, target=road), up=0.2).target
    assert (raised[..., 1] == 9).all()


def test_a_camera_that_looks_down_sees_the_horizon_higher(scene: SceneExample) -> None:
    down = with_pitch(scene, 5)
    assert pixel_of_car(down)[1] < pixel_of_car(scene)[1] - 5
