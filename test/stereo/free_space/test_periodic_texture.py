"""Periodic texture: nothing is free behind the nearest surface that an ambiguous match may show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.engine import Engine
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.occupancy_grid import FREE, traversability
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.sources.factory import open_source
from occdepth_ros.stereo.free_space.guard import FreeSpaceGuard
from occdepth_ros.stereo.free_space.periodic_texture import PeriodicTexture, write_periods
from occdepth_ros.stereo.pair_checks.pair_warnings import MAX_AMBIGUOUS, periodic_warnings

WIDTH, HEIGHT, FOCAL, BASELINE = 480, 240, 240.0, 0.5
GRID = VoxelGrid((0.0, -4.0, -1.0), (60, 40, 16), 0.2, "base_link")
FENCE_M, FENCE_PX, FAR_PX = 6.0, 20, 4
"""The background lies two periods of eight pixels behind the fence: each bar matches there as well."""
Image = npt.NDArray[np.uint8]


def make_rig() -> StereoRig:
    k = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
    right = k @ np.array([[1.0, 0, 0, -BASELINE], [0, 1, 0, 0], [0, 0, 1, 0]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0.5], [1, 0, 0, 0], [0, 0, 0, 1]])
    return StereoRig(PinholeCamera(k @ np.eye(3, 4), WIDTH, HEIGHT), PinholeCamera(right, WIDTH, HEIGHT), pose)


def texture(seed: int = 0) -> npt.NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH + 64))
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(cv2.normalize(smooth, smooth, 60, 200, cv2.NORM_MINMAX), np.float64)


def pair_of(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64], noise: float = 1.0) -> tuple[Image, Image]:
    rng = np.random.default_rng(3)
    noisy = (np.clip(side + rng.normal(0, noise, side.shape), 0, 255).astype(np.uint8) for side in (left, right))
    first, second = (np.repeat(side[..., None], 3, 2) for side in noisy)
    return first, second


def fence(
    period: int = 8, bar: int = 3, grey: float = 20, noise: float = 1.0, near_px: int = FENCE_PX
) -> tuple[Image, Image]:
    """Vertical bars in the right half, before a textured background that is seen between and beside them."""
    background, column = texture(), np.arange(WIDTH)
    sides = []
    for fence_px, far_px in ((0, 0), (near_px, FAR_PX)):
        is_bar = ((column + fence_px) % period < bar) & (column + fence_px >= WIDTH // 2)
        sides.append(np.where(is_bar[None], grey, background[:, far_px : far_px + WIDTH]))
    return pair_of(sides[0], sides[1], noise)


def in_the_middle(prediction: OccupancyPrediction, low: float, high: float) -> npt.NDArray[np.bool_]:
    """Seen free voxels between two distances, near the axis of the camera."""
    x = GRID.axis_centers(0)
    is_free = (prediction.labels == EMPTY) & (prediction.visibility == int(Visibility.SEEN))
    return np.asarray(is_free[(x > low) & (x < high)][:, 12:28, 5:10])


@pytest.mark.parametrize(("period", "bar"), [(8, 3), (8, 4), (16, 4)])
@pytest.mark.parametrize(("grey", "noise"), [(20, 1.0), (235, 3.0)])
def test_a_fence_is_never_seen_free(period: int, bar: int, grey: float, noise: float) -> None:
    engine = Engine(make_rig(), GRID)
    prediction = engine.predict(*fence(period, bar, grey, noise))
    right, left = slice(0, 7), slice(9, 16)
    assert in_the_middle(prediction, FENCE_M - 0.3, 12)[:, right].mean() < 0.02
    assert in_the_middle(prediction, 2, 12)[:, left].mean() > 0.6
    assert engine.ambiguous_share > MAX_AMBIGUOUS
    assert periodic_warnings(engine.ambiguous_share)
    assert np.isnan(prediction.depth[:, WIDTH // 2 + 20 :]).mean() > 0.9


def test_without_the_limit_the_fence_is_carved_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Semi-global matching prefers the background; the scene is a hazard without the limit."""
    monkeypatch.setattr(FreeSpaceGuard, "limited", lambda self, labels, confidence, seen, _: (labels, confidence, seen))
    prediction = Engine(make_rig(), GRID).predict(*fence())
    assert in_the_middle(prediction, FENCE_M - 0.3, FENCE_M + 0.3)[:, :7].mean() > 0.5


@pytest.mark.parametrize("period", [10, 14, 20, 33])
def test_stripes_on_a_wall_free_no_voxel_behind_it(period: int) -> None:
    """Blinds on a wall at 6 m."""
    column = np.arange(WIDTH + 64)
    stripes = np.broadcast_to(np.where(column % period < period // 2, 90.0, 160.0), (HEIGHT, WIDTH + 64))
    left, right = pair_of(stripes[:, :WIDTH], stripes[:, FENCE_PX : FENCE_PX + WIDTH])
    prediction = Engine(make_rig(), GRID).predict(left, right)
    assert in_the_middle(prediction, FENCE_M + 0.3, 12).mean() < 0.02


def test_random_texture_is_not_ambiguous() -> None:
    wall = texture()
    left, right = pair_of(wall[:, :WIDTH], wall[:, FENCE_PX : FENCE_PX + WIDTH])
    engine = Engine(make_rig(), GRID)
    prediction = engine.predict(left, right)
    assert engine.ambiguous_share < 0.02
    assert periodic_warnings(engine.ambiguous_share) == []
    assert in_the_middle(prediction, 2.0, FENCE_M - 0.5).mean() > 0.9


def test_streets_have_few_ambiguous_matches(kitti_mini: Path) -> None:
    for sequence in ("00", "07"):
        source = open_source(kitti_mini / "dataset" / "sequences" / sequence)
        frame = source[0]
        depth = np.full(frame.left.shape[:2], 20.0, np.float32)
        assert PeriodicTexture(source.rig, GRID).find(frame.left, frame.right, depth).share < 0.02


def test_a_match_at_infinity_of_periodic_texture_is_ambiguous() -> None:
    """It has no depth, but its ray would free the most."""
    left, right = fence(near_px=24)
    found = PeriodicTexture(make_rig(), GRID).find(left, right, np.full((HEIGHT, WIDTH), np.nan, np.float32))
    assert found.share > 0.3
    assert np.nanmax(found.nearest_m[np.isfinite(found.nearest_m)]) < FENCE_M + 0.5


@pytest.mark.parametrize("period", [4, 5, 9, 24, 40])
def test_the_period_of_stripes_is_found(period: int) -> None:
    stripe = np.where(np.arange(300) % period < period // 2, 40.0, 0.0)
    slopes = np.broadcast_to(np.gradient(stripe), (2, 300)).astype(np.float32)
    found, structured = np.zeros(slopes.shape, np.int16), np.zeros(slopes.shape, np.float32)
    write_periods(slopes, 64, found, structured)
    inner = found[:, 60:-60][structured[:, 60:-60] > 0]
    assert len(inner)
    assert (inner == period).mean() > 0.9


@pytest.mark.parametrize("slope", [0.0, 3.0, 20.0])
def test_a_ramp_has_no_period(slope: float) -> None:
    slopes = np.full((2, 300), slope, np.float32)
    found = np.zeros(slopes.shape, np.int16)
    write_periods(slopes, 64, found, np.zeros_like(slopes))
    assert not found.any()


@given(st.integers(0, 2**32 - 1), st.floats(1.5, 11.0))
@settings(max_examples=15, deadline=None)
def test_no_free_voxel_remains_behind_the_nearest_plausible_surface(seed: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([EMPTY, 1, 9, UNKNOWN], GRID.size).astype(np.uint8)
    confidence = np.full(GRID.size, 200, np.uint8)
    visibility = np.full(GRID.size, int(Visibility.SEEN), np.uint8)
    nearest = np.full((60, 120), np.inf, np.float32)
    nearest[:, 40:80] = limit
    found, certain, seen = FreeSpaceGuard(make_rig(), GRID).limited(labels, confidence, visibility, nearest)
    x = GRID.axis_centers(0)
    cone = found[x > limit + 0.2][:, 19:21, 6:9]
    assert not (cone == EMPTY).any()
    changed = found != labels
    assert (labels[changed] == EMPTY).all()
    assert (found[changed] == UNKNOWN).all()
    assert (certain[changed] == 0).all()
    assert (seen[changed] == int(Visibility.HIDDEN)).all()
    assert not changed[x < limit - 0.2].any()
    assert not changed[:, [0, -1]][x < 3].any()


def test_ground_below_an_ambiguous_surface_does_not_count_as_seen() -> None:
    labels = np.full(GRID.size, EMPTY, np.uint8)
    labels[:, :, 4] = 9
    confidence = np.full(GRID.size, 200, np.uint8)
    visibility = np.full(GRID.size, int(Visibility.SEEN), np.uint8)
    nearest = np.full((60, 120), np.inf, np.float32)
    nearest[:40] = 4.0
    volumes = FreeSpaceGuard(make_rig(), GRID).limited(labels, confidence, visibility, nearest)
    depth = np.full((1, 1), np.nan, np.float32)
    costs = traversability(OccupancyPrediction(GRID, *volumes, depth))
    x = GRID.axis_centers(0)
    assert (costs[x > 5.0][:, 18:22] != FREE).all()
    assert (costs[(x > 1.5) & (x < 2.5)] == FREE).all()
