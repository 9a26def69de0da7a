"""Pseudo-LiDAR, sweeps merged by pose, voxels and proposals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.scenes import HEIGHT, WIDTH, scene
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.proposals.pseudo_lidar import PseudoLidar, SweepBuffer, voxelize_points
from occdepth_ros.models.monoocc.proposals.semi_global import SemiGlobalDepth
from occdepth_ros.models.monoocc.proposals.source import Depth, ProposalSource
from occdepth_ros.models.monoocc.proposals.stereo import StereoProposals, dilated, halved

GRID = VoxelGrid((0.0, -1.6, -1.6), (32, 16, 16), 0.2)


class Wall:
    """A plane perpendicular to the optical axis at a distance in metres."""

    def __init__(self, distance: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
        self.distance, self.size = distance, size

    def __call__(self, left: object, right: object, rig: StereoRig, grid: VoxelGrid) -> Depth:
        return np.full(self.size, self.distance, np.float32)


def pose(x: float, yaw: float = 0.0) -> np.ndarray:
    out = np.eye(4)
    out[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    out[0, 3] = x
    return out


def test_points_project_back_to_their_pixels() -> None:
    rig = scene().rig
    rng = np.random.default_rng(0)
    depth = rng.uniform(2, 40, (HEIGHT, WIDTH)).astype(np.float32)
    points = PseudoLidar(rig, depth.shape).points(depth)
    seen = rig.left.projection @ rig.reference_from_grid @ np.vstack([points, np.ones(points.shape[1])])
    row, column = np.divmod(np.arange(depth.size), WIDTH)
    assert np.allclose(seen[2], depth.ravel(), atol=1e-3)
    assert np.allclose(seen[:2] / seen[2], [column, row], atol=1e-2)


def test_smaller_depth_images_give_the_same_points() -> None:
    rig = scene().rig
    whole, half = (
        PseudoLidar(rig, s).points(np.full(s, 9.0, np.float32)) for s in ((HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2))
    )
    # mean over the image; the centres of pixels differ by less than a pixel
    assert np.allclose(whole.mean(1), half.mean(1), atol=0.05)
    assert half.shape[1] * 4 == whole.shape[1]


def test_pixels_without_depth_and_far_ones_give_no_points() -> None:
    depth = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    depth[0, :5] = [0, -1, np.inf, 79, 81]
    assert PseudoLidar(scene().rig, depth.shape).points(depth).shape == (3, 1)


@given(arrays(np.float32, (3, 40), elements=st.floats(-1e6, 1e6, width=32)), st.integers(1, 3))
def test_voxels_are_those_of_the_grid(points: np.ndarray, requested: int) -> None:
    grid = VoxelGrid((-2e5, -2e5, -2e5), (8, 8, 8), 5e4)
    index, inside = grid.index_of(points.T)
    hits = np.zeros(grid.size, int)
    np.add.at(hits, tuple(index[inside].T), 1)
    out = voxelize_points([points[:, :15], points[:, 15:]], grid, min_points=requested)
    # float32 may put a point on a face to either side
    cell = (points.T.astype(np.float64) - grid.origin) / grid.resolution
    if (np.abs(cell - np.rint(cell)) > 1e-3).all():
        assert np.array_equal(out, hits >= requested)


def test_nan_and_huge_points_are_left_out() -> None:
    points = np.array([[np.nan, np.inf, 1e30, 0.1], [0, 0, 0, 0.1], [0, 0, 0, 0.1]], np.float32)
    assert voxelize_points([points], GRID).sum() == 1


def test_earlier_sweeps_are_moved_to_the_present_pose() -> None:
    """A static post stays at its position in the views of several poses."""
    post = np.array([12.0, 3.0, 1.0, 1.0])
    memory = SweepBuffer(2)
    for where in (pose(100.0, 0.3), pose(102.0, 0.1), pose(104.0, -0.2)):
        local = np.linalg.inv(where) @ (pose(100.0) @ post)
        clouds = memory.merge(local[:3, None].astype(np.float32), where)
    assert len(clouds) == 3
    assert np.allclose(np.hstack(clouds), clouds[0], atol=1e-4)
    memory.merge(clouds[0], pose(106.0))
    assert len(memory) == 2


def test_without_a_pose_earlier_pairs_are_dropped() -> None:
    memory = SweepBuffer(3)
    memory.merge(np.zeros((3, 1), np.float32), pose(0))
    assert len(memory.merge(np.zeros((3, 1), np.float32), None)) == 1
    assert len(memory) == 0


def test_a_wall_becomes_proposals_at_its_distance() -> None:
    example = scene()
    proposals = StereoProposals(Wall(4.0))(example.left, example.right, example.rig, example.grid)
    assert proposals.shape == tuple(n // 2 for n in example.grid.size) and proposals.dtype == bool
    where = np.argwhere(proposals)
    depth = example.rig.left_from_grid @ np.vstack([example.grid.coarsened(2).centers_of(where).T, np.ones(len(where))])
    assert len(where) > 10
    assert np.abs(depth[2] - 4.0).max() < example.grid.resolution * np.sqrt(3)


def test_history_adds_points_of_earlier_pairs() -> None:
    example = scene()
    pair = (example.left, example.right, example.rig, example.grid)
    alone = StereoProposals(Wall(4.0)).measure(*pair)
    source = StereoProposals(Wall(4.0), history=1)
    source.set_pose(pose(0.0))
    assert np.array_equal(source.measure(*pair), alone)
    source.set_pose(pose(0.0))
    assert np.array_equal(source.measure(*pair), alone)
    source.set_pose(pose(1.0))
    both = source.measure(*pair)
    assert (both & alone).sum() == alone.sum() and both.sum() > 1.5 * alone.sum()
    # the pose of this pair is unknown
    assert np.array_equal(source.measure(*pair), alone)


def test_points_of_all_sweeps_count_towards_the_threshold() -> None:
    example = scene()
    pair = (example.left, example.right, example.rig, example.grid)
    counts = []
    for history in (0, 1):
        source = StereoProposals(Wall(6.0), history=history, min_points=8)
        for _ in range(2):
            source.set_pose(pose(0.0))
            occupied = source.measure(*pair)
        counts.append(occupied.sum())
    assert counts[1] > counts[0]


def test_a_refiner_decides_on_the_proposals() -> None:
    example = scene()
    seen = []

    def refine(occupied: np.ndarray, grid: VoxelGrid) -> np.ndarray:
        seen.append((occupied.sum(), grid))
        return np.ones((1, 1, 1), bool)

    source = StereoProposals(Wall(4.0), refine)
    assert isinstance(source, ProposalSource)
    assert source(example.left, example.right, example.rig, example.grid).all()
    assert seen[0][0] > 0 and seen[0][1] == example.grid


def test_a_new_calibration_changes_the_prediction() -> None:
    example = scene()
    source = StereoProposals(Wall(4.0))
    first = source(example.left, example.right, example.rig, example.grid)
    moved = example.rig.reference_from_grid @ pose(-0.8)
    rig = replace(example.rig, reference_from_grid=moved)
    second = source(example.left, example.right, rig, example.grid)
    # a point on the border of two voxels may be rounded to either
    assert (second[2:] == first[:-2]).mean() > 0.98
    assert not np.array_equal(second, first)


@given(arrays(bool, (6, 4, 8)))
def test_halving_keeps_occupied_voxels(volume: np.ndarray) -> None:
    out = halved(volume)
    assert out.shape == (3, 2, 4)
    for index in np.ndindex(*out.shape):
        block = tuple(slice(2 * i, 2 * i + 2) for i in index)
        assert out[index] == volume[block].any()


@given(arrays(bool, (5, 4, 6)), st.integers(0, 2))
def test_dilation_reaches_the_given_number_of_steps(volume: np.ndarray, steps: int) -> None:
    out = dilated(volume, steps)
    for index in np.ndindex(*out.shape):
        block = tuple(slice(max(0, i - steps), i + steps + 1) for i in index)
        assert out[index] == volume[block].any()


@pytest.mark.parametrize(("name", "value"), [("history", -1), ("min_points", 0), ("dilation", -1)])
def test_invalid_options_are_refused(name: str, value: int) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ModelError, match=name):
        StereoProposals(Wall(4.0), **options)


def test_proposals_of_a_real_frame_lie_where_it_is_occupied(kitti_mini: Path) -> None:
    from occdepth_ros.data.pooling import downsample_labels
    from occdepth_ros.sources.factory import open_source

    source = open_source(str(kitti_mini / "dataset" / "sequences" / "00"))
    ground_truth = source.ground_truth(0)
    assert ground_truth is not None
    frame = source[0]
    proposals = StereoProposals(SemiGlobalDepth(), dilation=1)(frame.left, frame.right, source.rig, ground_truth.grid)
    half = downsample_labels(ground_truth.labels, 2)
    labelled = half != 255
    occupied = labelled & (half > 0)
    chance = occupied.sum() / labelled.sum()
    assert (proposals & occupied).sum() / (proposals & labelled).sum() > 2 * chance
    assert (proposals & occupied).sum() / occupied.sum() > 0.3
