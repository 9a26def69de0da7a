"""Random scenes for training: repeatable; images, depth and labels agree."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.data.synthetic.labels.lidar import lidar_labels, propagate_light
from occdepth_ros.data.synthetic.rendering.camera_view import CameraView
from occdepth_ros.data.synthetic.rendering.raster import Hits, rasterize
from occdepth_ros.data.synthetic.rendering.relief import Backdrop, add_ground
from occdepth_ros.data.synthetic.scene.layout import make_scene
from occdepth_ros.data.synthetic.scene.solids import World, ball, box
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

SCENES = SyntheticDataset(seed=3, length=24)
FORWARD = np.array([[0, 0, 1.0, 0], [-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def examples() -> list[SceneExample]:
    return [SCENES[i] for i in range(12)]


def test_the_same_index_gives_the_same_scene(examples: list[SceneExample]) -> None:
    again = SyntheticDataset(seed=3, length=99)[4]
    for name in ("left", "right", "target", "seen", "semantics"):
        assert (getattr(again, name) == getattr(examples[4], name)).mean() > 0.999, name
    np.testing.assert_allclose(np.asarray(again.depth), np.asarray(examples[4].depth), rtol=1e-4)
    assert again.rig.fingerprint == examples[4].rig.fingerprint
    assert any((a.left != b.left).any() for a, b in pairwise(examples))
    assert (SyntheticDataset(seed=4, length=99)[4].left != again.left).any()


def test_an_index_beyond_the_length_is_refused() -> None:
    assert len(SCENES) == 24
    with pytest.raises(IndexError):
        SCENES[24]


def test_a_camera_hits_blocks_and_balls_at_the_expected_depth() -> None:
    world = World.of(
        [box("building", (10, -1, -1), (12, 1, 1), (1, 1, 1)), ball("vegetation", (8, 0, 0), (2, 0.5, 0.5), (1, 1, 1))]
    )
    k = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    hits = rasterize(CameraView.from_pose(k, FORWARD, 101, 101), world)
    assert 1 / hits.w[50, 50] == pytest.approx(6, rel=1e-4)
    assert hits.solid[50, 50] == 1
    # next to the ball, the block: its edge at 10 m is 10 pixels from the middle
    assert 1 / hits.w[41, 41] == pytest.approx(10, rel=1e-4)
    assert hits.solid[50, 65] == hits.solid[35, 50] == -1


def test_the_right_image_is_the_left_one_shifted_by_the_exact_disparity(examples: list[SceneExample]) -> None:
    errors: list[float] = []
    shifted: list[float] = []
    for e in examples[:6]:
        assert e.depth is not None
        v, u = np.mgrid[: e.depth.shape[0], : e.depth.shape[1]].astype(np.float32)
        disparity = (e.rig.left.projection[0, 0] * e.rig.baseline / e.depth).astype(np.float32)
        inside = (e.depth < 40) & (u > disparity + 6)
        for extra, out in ((0, errors), (4, shifted)):
            moved = cv2.remap(e.right, u - disparity - extra, v, cv2.INTER_LINEAR)
            out.append(float(np.median(np.abs(moved.astype(int) - e.left).mean(axis=2)[inside])))
    assert np.mean(errors) < 7
    assert np.mean(errors) < 0.75 * np.mean(shifted)


def test_surfaces_in_the_image_are_occupied_in_the_labels(examples: list[SceneExample]) -> None:
    for e in examples:
        assert e.depth is not None
        v, u = np.mgrid[: e.depth.shape[0], : e.depth.shape[1]]
        near = e.depth < 12
        h = np.stack([u[near], v[near], np.ones(near.sum())])
        points = np.linalg.inv(e.rig.left.intrinsics) @ h * e.depth[near]
        pose = np.linalg.inv(e.rig.left_from_grid)
        grid = SCENES.grid
        place = pose[:3, :3] @ points + pose[:3, 3:]
        # the ground truth has no labels above the scanner's beams and in the lowest layer
        index, inside = grid.index_of(place[:, (place[2] < 0) & (place[2] > grid.origin[2] + 0.3)].T)
        occupied = cv2.dilate(
            ((e.target != EMPTY) & (e.target != UNKNOWN)).astype(np.uint8).reshape(256, -1), np.ones((3, 1), np.uint8)
        ).reshape(grid.size)
        occupied = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in occupied])
        assert occupied[tuple(index[inside].T)].mean() > 0.9


def test_seen_ground_truth_is_part_of_the_completed_one(examples: list[SceneExample]) -> None:
    for e in examples:
        assert e.seen is not None
        labelled = e.target != UNKNOWN
        assert (labelled[e.seen]).all()
        assert 0.1 < e.seen.mean() < labelled.mean() < 1


def test_all_classes_occur(examples: list[SceneExample]) -> None:
    found = np.zeros(256, bool)
    for e in [*examples, *(SCENES[i] for i in range(12, 24))]:
        found[np.unique(e.target)] = True
    rare = {"truck", "other-vehicle", "bicycle", "bicyclist", "motorcycle", "motorcyclist"}
    missing = [name for label, name in enumerate(SEMANTIC_KITTI.names) if not found[label] and name not in rare]
    assert not missing


def test_light_does_not_pass_a_wall() -> None:
    blocked = np.zeros((40, 40, 8), bool)
    blocked[20, 10:30] = True
    light = propagate_light(blocked, (5.0, 20.0, 4.0))
    assert light[15, 20, 4] > 0.9 and light[30, 2, 4] > 0.5
    assert light[25, 20, 4] < 0.1 and light[35, 15, 4] < 0.1


def test_a_ray_hits_the_ground_at_its_height(examples: list[SceneExample]) -> None:
    ground = make_scene(np.random.default_rng(5)).ground
    k = np.array([[100.0, 0, 50], [0, 100, 20], [0, 0, 1]])
    pose = FORWARD.copy()
    pose[2, 3] = float(ground.height(0.0, 0.0)) + 1.7
    view = CameraView.from_pose(k, pose, 101, 60)
    nothing = Hits(np.zeros((60, 101), np.float32), np.full((60, 101), -1, np.int32), np.zeros((60, 101), np.uint8))
    w, grounded = add_ground(view, nothing, ground, Backdrop(np.full(64, -1, np.float32)))
    assert grounded[50:].all()
    p = view.points(w)[:, 50:]
    np.testing.assert_allclose(p[2], ground.height(p[0], p[1]), atol=0.06)


def test_every_class_of_the_image_is_one_of_the_table(examples: list[SceneExample]) -> None:
    for e in examples:
        assert e.semantics is not None and e.depth is not None
        assert e.semantics.max() < len(SEMANTIC_KITTI.names)
        np.testing.assert_array_equal(e.semantics == EMPTY, np.isinf(e.depth))


def test_ground_truth_is_as_sparse_as_scans(examples: list[SceneExample]) -> None:
    # unlabelled voxels are inside objects; of recon10, made from ten real scans, 1.8 % of the grid is occupied
    unlabelled = np.mean([(e.target == UNKNOWN).mean() for e in examples])
    occupied = np.mean([((e.target != EMPTY) & (e.target != UNKNOWN)).mean() for e in examples])
    assert 0.1 < unlabelled < 0.4
    assert 0.01 < occupied < 0.03


def test_free_space_behind_a_wall_is_labelled_free_but_not_seen() -> None:
    solid = np.zeros(BENCHMARK_GRID.size, np.uint8)
    solid[100:103] = SEMANTIC_KITTI.id_of("building")
    target, seen = lidar_labels(solid, BENCHMARK_GRID, np.zeros((1, 3)), 0, np.random.default_rng(0))
    assert (target[110:] == EMPTY).all()
    assert not seen[110:, 20:-20, :12].any()


def test_gaps_between_leaves_stay_unlabelled() -> None:
    solid = np.zeros(BENCHMARK_GRID.size, np.uint8)
    crown = np.random.default_rng(0).random((40, 40, 20)) < 0.75
    solid[100:140, 100:140, 6:26][crown] = SEMANTIC_KITTI.id_of("vegetation")
    target, _ = lidar_labels(solid, BENCHMARK_GRID, np.zeros((1, 3)), 0, np.random.default_rng(0))
    # beams may clear voxels at the outside of the crown
    assert (target[110:130, 110:130, 10:16] == EMPTY).mean() < 0.01


def test_the_highest_beams_do_not_fill_a_wall() -> None:
    solid = np.zeros(BENCHMARK_GRID.size, np.uint8)
    solid[100:200] = SEMANTIC_KITTI.id_of("building")
    places = np.array([[0.0, 0, 0], [8, 0, 0], [16, 0, 0]])
    target, _ = lidar_labels(solid, BENCHMARK_GRID, places, 0, np.random.default_rng(0))
    occupied = (target != EMPTY) & (target != UNKNOWN)
    assert occupied[100].any()
    assert not occupied[102:198, 20:-20].any()


def test_no_voxel_above_the_beams_is_occupied(examples: list[SceneExample]) -> None:
    for e in examples:
        assert not np.isin(e.target[:32, 112:144, 25:], [EMPTY, UNKNOWN], invert=True).any()
