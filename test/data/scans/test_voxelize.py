"""Completion labels from scans: votes, lines of sight, merging, and agreement with files of the benchmark."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.data.scans.labelled import LabelledScans
from occdepth_ros.data.scans.voxelize import PosedScan, Votes, completion_labels, visible_from
from occdepth_ros.grid import VoxelGrid

GRID = VoxelGrid((0.0, -1.2, -1.0), (16, 12, 8), 0.2)
CAR, MOVING_CAR, ROAD = 10, 252, 40


def scan(cells: list[tuple[int, int, int]], labels: list[int], pose: np.ndarray | None = None) -> PosedScan:
    """Return a scan with a point at the centre of each cell, in the labelled frame."""
    pose = np.eye(4) if pose is None else pose
    points = GRID.centers_of(np.array(cells).reshape(-1, 3))
    inverse = np.linalg.inv(pose)
    return PosedScan(points @ inverse[:3, :3].T + inverse[:3, 3], np.array(labels, np.uint16), pose)


def ahead(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[0, -1], [1, 0]]
    pose[0, 3] = x
    return pose


POINT = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1), st.sampled_from([0, 1, 10, 40, 252]))


@given(st.lists(st.lists(POINT, max_size=12), min_size=1, max_size=3))
def test_voxels_have_the_most_frequent_id_and_the_smallest_on_ties(
    scans: list[list[tuple[int, int, int, int]]],
) -> None:
    votes = Votes(GRID)
    counts: dict[tuple[int, ...], Counter[int]] = {}
    for points in scans:
        votes.add(scan([point[:3] for point in points], [point[3] for point in points]))
        for *cell, raw in points:
            counts.setdefault(tuple(cell), Counter())[0 if raw == 1 else raw] += 1
    expected = np.zeros(GRID.size, np.uint16)
    for index, counter in counts.items():
        expected[index] = min(raw for raw, count in counter.items() if count == max(counter.values()))
    np.testing.assert_array_equal(votes.majority(), expected)


@pytest.mark.parametrize("sensor", [(0.1, 0.1, 0.1), (1.6, -1.1, 0.5), (-3.0, 0.0, 0.1), (9.0, 4.0, 5.0)])
def test_an_empty_grid_is_visible_from_anywhere(sensor: tuple[float, float, float]) -> None:
    assert visible_from(np.array(sensor), np.zeros(GRID.size, bool), GRID).all()


def test_a_wall_hides_voxels_behind_it() -> None:
    wall = np.zeros(GRID.size, bool)
    wall[9] = True
    visible = visible_from(np.array([0.1, 0.1, 0.1]), wall, GRID)
    assert visible[:9].all() and not visible[9:].any()


def test_a_shadow_widens_with_distance() -> None:
    post = np.zeros(GRID.size, bool)
    post[7, 6, :] = True
    visible = visible_from(np.array([0.1, 0.1, 0.1]), post, GRID)
    hidden = (~visible[:, :, 5]).sum(axis=1)
    assert (hidden[:7] == 0).all() and (hidden[7:] >= 1).all() and (hidden <= 3).all()
    assert visible[:, 0].all() and visible[:, -1].all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(-4, 4)] * 3))
def test_additional_obstacles_never_increase_visibility(seed: int, sensor: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    few = rng.random(GRID.size) < 0.05
    more = few | (rng.random(GRID.size) < 0.05)
    seen_past_few, seen_past_more = (visible_from(np.array(sensor), occupied, GRID) for occupied in (few, more))
    assert not (seen_past_more & ~seen_past_few).any()
    assert not (seen_past_few & few).any()


def test_scans_are_merged_by_pose_and_moving_objects_leave_no_trail() -> None:
    own = scan([(4, 6, 3), (5, 6, 3)], [CAR, MOVING_CAR])
    other = scan([(9, 2, 3), (10, 2, 3), (4, 6, 3)], [ROAD, MOVING_CAR, CAR], ahead(2.0))
    made = completion_labels(own, [other], GRID)
    expected = np.zeros(GRID.size, np.uint16)
    expected[4, 6, 3], expected[5, 6, 3], expected[9, 2, 3] = CAR, MOVING_CAR, ROAD
    np.testing.assert_array_equal(made.label, expected)
    assert np.argwhere(made.scanned).tolist() == [[4, 6, 3], [5, 6, 3]]


def test_a_second_scan_observes_space_hidden_from_the_first() -> None:
    wall = [(6, y, z) for y in range(GRID.size[1]) for z in range(GRID.size[2])]
    own = scan(wall, [50] * len(wall))
    alone = completion_labels(own, [], GRID)
    both = completion_labels(own, [scan([], [], ahead(2.5))], GRID)
    np.testing.assert_array_equal(alone.occluded, both.occluded)
    assert alone.occluded[6:].all() and not alone.occluded[:6].any()
    assert alone.invalid[7:].all() and not alone.invalid[:7].any()
    assert not both.invalid.any()


def official(kitti_mini: Path, kind: str) -> np.ndarray:
    file = kitti_mini / "dataset" / "sequences" / "00" / "voxels" / f"000000.{kind}"
    return np.unpackbits(np.fromfile(file, np.uint8)).reshape(256, 256, 32).astype(bool)


def test_labels_agree_with_files_of_the_benchmark(kitti_mini: Path) -> None:
    points, labels = LabelledScans(kitti_mini / "dataset" / "sequences" / "00").read("000000")
    made = completion_labels(PosedScan(points, labels, np.eye(4)), [])
    scanned = official(kitti_mini, "bin")
    assert (made.scanned & scanned).sum() / (made.scanned | scanned).sum() >= 0.998
    # Occlusion in the official files is that of the whole drive; the lowest layer wraps to the top of another row.
    ours, theirs = made.occluded[..., 1:], official(kitti_mini, "occluded")[..., 1:]
    assert (ours & theirs).sum() / ours.sum() > 0.995
    assert (ours & theirs).sum() / theirs.sum() > 0.5
