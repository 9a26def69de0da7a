"""Fusion of predictions: position and precedence of evidence, fading, and jumps of the pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from helpers.maps import BUILDING, CAR, GRID, HIDDEN, ROAD, SEEN, SMALL, pose, predict, street
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.errors import GridError
from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.mapping.resampling import resample
from occdepth_ros.prediction import Visibility


def labels_at(world: OccupancyMap, points: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    snapshot = world.snapshot()
    assert snapshot is not None
    index, inside = snapshot.grid.index_of(points)
    found = snapshot.labels[tuple(index.T)]
    return np.where(inside, found, UNKNOWN).astype(np.uint8)


def test_a_prediction_at_the_origin_is_stored_voxel_by_voxel() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice([0, CAR, ROAD, BUILDING, UNKNOWN], GRID.size).astype(np.uint8)
    world = OccupancyMap(SMALL)
    world.integrate(predict(labels), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None and snapshot.grid.origin == pytest.approx(GRID.origin)
    assert np.array_equal(snapshot.labels, labels)
    assert (snapshot.visibility[labels != UNKNOWN] == SEEN).all()
    assert (snapshot.visibility[labels == UNKNOWN] == int(Visibility.OUTSIDE)).all()


@given(
    yaw=st.floats(-3.2, 3.2),
    pitch=st.floats(-0.5, 0.5),
    roll=st.floats(-0.5, 0.5),
    x=st.floats(-3, 3),
    y=st.floats(-3, 3),
    z=st.floats(-1, 1),
)
def test_evidence_lands_where_the_pose_puts_it(
    yaw: float, pitch: float, roll: float, x: float, y: float, z: float
) -> None:
    labels = np.full(GRID.size, UNKNOWN, np.uint8)
    labels[4:12, 4:12, 2:6] = BUILDING
    labels[4:12, 4:8, 2:6] = ROAD
    at = pose(x, y, z, yaw=yaw, pitch=pitch, roll=roll)
    world = OccupancyMap(SMALL)
    world.integrate(predict(labels), at)
    # the middle of each half lies at least one voxel and a half from every border
    for columns, expected in (((5.5, 6.5), ROAD), ((9.5, 10.5), BUILDING)):
        inner = np.array([[i, j, k] for i in (6, 8, 9) for j in columns for k in (3.5, 4.5)])
        points = (np.asarray(GRID.origin) + inner * GRID.resolution) @ at[:3, :3].T + at[:3, 3]
        assert (labels_at(world, points) == expected).all()


def test_rotated_maps_have_no_holes() -> None:
    world = OccupancyMap(SMALL)
    world.integrate(predict(ROAD), pose(yaw=0.6, pitch=0.03, roll=-0.02))
    inner = np.array([[i, j, k] for i in range(2, 14) for j in range(2, 14) for k in range(1, 7)]) + 0.5
    at = pose(yaw=0.6, pitch=0.03, roll=-0.02)
    points = (np.asarray(GRID.origin) + inner * GRID.resolution) @ at[:3, :3].T + at[:3, 3]
    assert (labels_at(world, points) == ROAD).all()


@pytest.mark.parametrize(("seen", "completed"), [(0, BUILDING), (BUILDING, 0), (ROAD, BUILDING)])
def test_completed_evidence_never_changes_seen_voxels(seen: int, completed: int) -> None:
    world = OccupancyMap(SMALL)
    world.integrate(predict(seen), pose())
    for i in range(1, 30):
        world.integrate(predict(completed, HIDDEN, at_s=0.1 * i), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None
    assert (snapshot.labels == seen).all() and (snapshot.visibility == SEEN).all()


def test_one_seen_observation_replaces_completed_ones() -> None:
    world = OccupancyMap(SMALL)
    for i in range(10):
        world.integrate(predict(BUILDING, HIDDEN, at_s=0.1 * i), pose())
    world.integrate(predict(0, at_s=1.0), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None and (snapshot.labels == 0).all()


def test_unknown_predictions_leave_the_map_as_it_is() -> None:
    world = OccupancyMap(SMALL)
    world.integrate(predict(BUILDING), pose())
    for i in range(1, 40):
        world.integrate(predict(UNKNOWN, at_s=0.1 * i), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None and (snapshot.labels == BUILDING).all()


def test_unobserved_dynamic_voxels_expire_and_static_ones_stay() -> None:
    labels = np.full(GRID.size, UNKNOWN, np.uint8)
    labels[2:6], labels[8:12] = CAR, BUILDING
    world = OccupancyMap(SMALL)
    for i in range(5):
        world.integrate(predict(labels, at_s=0.1 * i), pose())
    world.integrate(predict(UNKNOWN, at_s=2.4), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None
    assert (snapshot.labels[2:6] == UNKNOWN).all() and (snapshot.labels[8:12] == BUILDING).all()


def frames_until_free(label: int) -> int:
    world = OccupancyMap(SMALL)
    for i in range(20):
        world.integrate(predict(label, at_s=0.1 * i), pose())
    for i in range(40):
        world.integrate(predict(0, at_s=2 + 0.1 * i), pose())
        snapshot = world.snapshot((0, -8, -4), GRID.size)
        assert snapshot is not None
        if (snapshot.labels == 0).all():
            return i + 1
    pytest.fail("the voxels were not cleared")


@pytest.mark.parametrize("visibility", [SEEN, HIDDEN])
def test_uncertain_obstacles_are_kept_until_two_frames_find_them_free(visibility: int) -> None:
    found = []
    for confidence in (255, 20):
        world = OccupancyMap(SMALL)
        obstacle = predict(BUILDING, visibility)
        world.integrate(replace(obstacle, confidence=np.full(GRID.size, confidence, np.uint8)), pose())
        snapshot = world.snapshot((0, -8, -4), GRID.size)
        assert snapshot is not None and (snapshot.labels == BUILDING).all()
        for i in (1, 2):
            world.integrate(predict(0, visibility, at_s=0.1 * i), pose())
        snapshot = world.snapshot((0, -8, -4), GRID.size)
        assert snapshot is not None
        found.append(snapshot.occupied.mean())
    assert found == [1.0, 0.0]


def test_observed_free_space_clears_dynamic_classes_sooner() -> None:
    assert 1 < frames_until_free(CAR) <= 10 < frames_until_free(BUILDING)


def test_completed_voxels_fade() -> None:
    config = replace(SMALL, completed_s=2.0)
    world = OccupancyMap(config)
    world.integrate(predict(BUILDING, HIDDEN), pose())
    world.integrate(predict(UNKNOWN, at_s=0.5), pose())
    early = world.snapshot()
    for i in range(40):
        world.integrate(predict(UNKNOWN, at_s=0.5 + 0.1 * i), pose())
    late = world.snapshot()
    assert early is not None and early.occupied.any()
    assert late is not None and not late.occupied.any()


def test_the_majority_of_votes_names_a_voxel() -> None:
    world = OccupancyMap(SMALL)
    for i, label in enumerate([ROAD, BUILDING, ROAD, ROAD, BUILDING]):
        world.integrate(predict(label, at_s=0.1 * i), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None and (snapshot.labels == ROAD).all()


@pytest.mark.parametrize("hits", range(1, 6))
def test_predictions_with_few_occupied_voxels_are_fused(hits: int) -> None:
    labels = np.zeros(GRID.size, np.uint8)
    labels[5, 5, :hits] = BUILDING
    world = OccupancyMap(SMALL)
    for i in range(60):
        world.integrate(predict(labels, at_s=0.1 * i), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None and np.array_equal(snapshot.labels, labels)
    assert world.state is not None and world.state.voxels.margin.max() > 200, "votes saturate"


def test_voxels_that_left_the_window_return_with_the_vehicle() -> None:
    world = OccupancyMap(SMALL)
    labels = np.full(GRID.size, UNKNOWN, np.uint8)
    labels[3:6, 3:6, 2:4] = BUILDING
    world.integrate(predict(labels), pose())
    for i, x in enumerate([*np.arange(0, 30, 2.0), *np.arange(30, -1, -2.0)]):
        world.integrate(predict(UNKNOWN, at_s=0.1 * (i + 1)), pose(float(x)))
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None and np.array_equal(snapshot.labels, labels)


def test_memory_stays_below_the_limit_on_a_drive_of_ten_kilometres() -> None:
    config = replace(SMALL, max_bytes=SMALL.window_bytes + (200 << 10))
    world = OccupancyMap(config)
    labels = np.random.default_rng(2).choice([0, BUILDING, UNKNOWN], GRID.size).astype(np.uint8)
    for i in range(2500):
        world.integrate(predict(labels, at_s=0.1 * i), pose(4.0 * i, yaw=0.1))
        assert world.nbytes <= config.max_bytes
    assert world.store.evicted > 0 and world.nbytes > config.window_bytes + (150 << 10)
    assert not world.events


@given(st.permutations(range(8)))
def test_predictions_of_one_second_may_come_in_any_order(order: list[int]) -> None:
    labels = street(0)
    world = OccupancyMap(SMALL)
    for i in order:
        world.integrate(predict(labels, at_s=5 + 0.1 * i), pose())
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert not world.events and world.stamp_ns == 5_700_000_000
    assert snapshot is not None and np.array_equal(snapshot.labels, labels)


def test_jumps_of_pose_and_time_reset_the_map_by_name() -> None:
    world = OccupancyMap(SMALL)
    world.integrate(predict(BUILDING, at_s=5), pose())
    world.integrate(predict(ROAD, at_s=5.1), pose(x=100.0))
    world.integrate(predict(ROAD, at_s=1.0), pose(x=100.0))
    assert world.events == ["the pose jumped by 100.0 m", "stamps went back by 4.1 s"]
    assert (labels_at(world, np.array([[1.5, 0.0, 0.0]])) == UNKNOWN).all()


@pytest.mark.parametrize(("yaw", "least"), [(np.pi / 2, 1.0), (0.3, 0.75)])
def test_a_jump_moves_the_map_with_the_vehicle_on_request(yaw: float, least: float) -> None:
    world = OccupancyMap(replace(SMALL, on_jump="reanchor"))
    labels = np.full(GRID.size, UNKNOWN, np.uint8)
    labels[4:12, 4:12, 2:6] = BUILDING
    world.integrate(predict(labels), pose())
    after = pose(40.0, -8.0, 0.4, yaw=yaw)
    world.integrate(predict(UNKNOWN, at_s=0.1), after)
    assert world.events == ["re-anchored: the pose jumped by 40.8 m"]
    snapshot = world.snapshot()
    assert snapshot is not None
    seen_again = resample(snapshot, GRID, after).labels
    assert (seen_again[labels == BUILDING] == BUILDING).mean() >= least
    assert (seen_again[labels == UNKNOWN] == UNKNOWN).mean() > 0.9
    assert world.nbytes <= SMALL.max_bytes


def test_invalid_predictions_are_refused() -> None:
    world = OccupancyMap(SMALL)
    with pytest.raises(GridError, match="resolution"):
        world.integrate(predict(0, grid=replace(GRID, resolution=0.4)), pose())
    with pytest.raises(GridError, match="rotation"):
        world.integrate(predict(0), 2 * np.eye(4))
    with pytest.raises(GridError, match="whole blocks"):
        replace(SMALL, size=(40, 48, 32))
    with pytest.raises(GridError, match="on_jump"):
        replace(SMALL, on_jump="ignore")
    with pytest.raises(GridError, match="max_bytes"):
        replace(SMALL, max_bytes=1000)


def test_a_part_of_the_map_equals_the_whole_map_there() -> None:
    world = OccupancyMap(SMALL)
    for i in range(12):
        world.integrate(predict(street(i), at_s=0.1 * i), pose(1.5 * i))
    whole = world.whole()
    for place in (pose(0.0), pose(7.0, yaw=0.5), pose(17.0, 2.0, pitch=0.2), pose(500.0)):
        part = world.part(world.blocks(), GRID, place)
        expected, found = (resample(read, GRID, place) for read in (whole, part))
        assert np.array_equal(found.labels, expected.labels)
        assert np.array_equal(found.visibility, expected.visibility)
