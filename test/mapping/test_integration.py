"""The compiled fusion against the same rules written voxel by voxel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from helpers.maps import BUILDING, CAR, GRID, HIDDEN, ROAD, SEEN, SIDEWALK, SMALL, pose, predict
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.mapping.resampling import resample
from occdepth_ros.prediction import Visibility


@settings(max_examples=15)
@given(
    yaw=st.floats(-3.2, 3.2),
    pitch=st.floats(-3.2, 3.2),
    roll=st.floats(-3.2, 3.2),
    x=st.integers(-500, 500),
    z=st.integers(-500, 500),
    seed=st.integers(0, 999),
)
def test_every_voxel_reads_the_nearest_one_of_the_prediction_at_any_pose(
    yaw: float, pitch: float, roll: float, x: int, z: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).choice([0, CAR, ROAD, BUILDING, UNKNOWN], GRID.size).astype(np.uint8)
    prediction = predict(labels)
    # a fraction of a voxel, so that no position lies halfway between two voxels without rotation
    at = pose(x + 0.03, -3.0, z - 0.03, yaw=yaw, pitch=pitch, roll=roll)
    world = OccupancyMap(SMALL)
    world.integrate(prediction, at)
    window = world.window()
    assert window is not None and world.state is not None
    snapshot = world.snapshot(world.state.low, world.state.size)
    assert snapshot is not None
    expected = resample(prediction, window, np.asarray(np.linalg.inv(at), np.float64)).labels
    # positions nearly halfway between two voxels may be rounded either way
    assert (snapshot.labels != expected).mean() < 2e-3
    assert ((snapshot.visibility == SEEN) == (snapshot.labels != UNKNOWN)).all()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([0, CAR, BUILDING, UNKNOWN]), st.booleans()), min_size=1, max_size=30))
def test_voxels_that_were_seen_once_never_become_unknown_or_completed(frames: list[tuple[int, bool]]) -> None:
    world = OccupancyMap(SMALL)
    was_seen = False
    for label, is_seen in frames:
        world.integrate(predict(label, SEEN if is_seen else HIDDEN), pose())
        was_seen |= is_seen and label != UNKNOWN
    snapshot = world.snapshot((0, -8, -4), GRID.size)
    assert snapshot is not None
    expected = Visibility.SEEN if was_seen else Visibility.HIDDEN
    if any(label != UNKNOWN for label, _ in frames):
        assert (snapshot.visibility == int(expected)).all()


def test_a_pause_longer_than_the_fading_time_removes_completed_voxels_at_once() -> None:
    world = OccupancyMap(SMALL)
    for i in range(20):
        world.integrate(predict(BUILDING, HIDDEN, at_s=0.1 * i), pose())
    world.integrate(predict(UNKNOWN, at_s=30.0), pose())
    snapshot = world.snapshot()
    assert snapshot is not None and not snapshot.occupied.any()


def test_dynamic_voxels_stay_gone_when_the_counter_of_ticks_wraps() -> None:
    world = OccupancyMap(SMALL)
    world.integrate(predict(CAR, at_s=100.0), pose())
    # 65,536 ticks later the counter has the same value
    world.integrate(predict(UNKNOWN, at_s=100.0 + 6553.6), pose())
    snapshot = world.snapshot()
    assert snapshot is not None and not snapshot.occupied.any()


@settings(max_examples=40)
@given(seed=st.integers(0, 999), layers=st.integers(-40, 40))
def test_completed_ground_is_not_stacked_on_ground_of_its_class(seed: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    # the layers lie anywhere in the rows of 16 that the compiled loops process
    low, at = (0, -8, -4 + layers), pose(z=0.2 * layers)
    world = OccupancyMap(SMALL)
    plain = OccupancyMap(SMALL, replace(SEMANTIC_KITTI, ground=frozenset()))
    # of one time, so that nothing fades between them
    first, second = (
        replace(
            predict(rng.choice([0, ROAD, SIDEWALK, BUILDING, UNKNOWN], GRID.size).astype(np.uint8)),
            visibility=rng.choice([SEEN, HIDDEN], GRID.size).astype(np.uint8),
        )
        for _ in range(2)
    )
    for each in (world, plain):
        each.integrate(first, at)
    before = world.snapshot(low, GRID.size)
    assert before is not None and np.array_equal(before.labels, first.labels)
    for each in (world, plain):
        each.integrate(second, at)
    after, expected = world.snapshot(low, GRID.size), plain.snapshot(low, GRID.size)
    assert after is not None and expected is not None
    stacked = np.isin(second.labels, [ROAD, SIDEWALK]) & (second.visibility == HIDDEN) & ~before.occupied
    stacked &= before.visibility != SEEN
    stacked[..., 0] = False
    stacked[..., 1:] &= second.labels[..., 1:] == before.labels[..., :-1]
    for name in ("labels", "confidence", "visibility"):
        kept, added = getattr(before, name), getattr(expected, name)
        assert np.array_equal(getattr(after, name), np.where(stacked, kept, added))


def test_completed_ground_of_neighbouring_layers_stays_thin_and_seen_ground_counts() -> None:
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :8, 3], labels[:, 8:, 3] = ROAD, BUILDING
    labels[labels == 0] = UNKNOWN
    world = OccupancyMap(SMALL)
    for frame, visibility in enumerate([HIDDEN, HIDDEN, HIDDEN, SEEN]):
        world.integrate(predict(labels, visibility, at_s=1 + 0.1 * frame), pose(z=0.2 if frame else 0.0))
        snapshot = world.snapshot((0, -8, -4), GRID.size)
        assert snapshot is not None
        assert (snapshot.occupied.sum(axis=2)[:, :8] == (2 if visibility == SEEN else 1)).all()
        assert (snapshot.occupied.sum(axis=2)[:, 8:] == (2 if frame else 1)).all()
