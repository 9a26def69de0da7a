"""Patterns that stay at the same pixels while the scene moves free nothing and are named."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WALL, WIDTH, intrinsics, pinhole_rays, projection, view

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.engine import Engine
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import SemiGlobalMatcher
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks

Image = npt.NDArray[np.uint8]
K = intrinsics()
LEFT, RIGHT = (PinholeCamera(projection(K, x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
RIG = StereoRig(LEFT, RIGHT, np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]))
MOVED_M = 0.2


@pytest.fixture(scope="module")
def drive() -> list[tuple[Image, Image]]:
    rays = pinhole_rays(K)
    return [(view(rays, (0, 0, MOVED_M * i)), view(rays, (BASELINE, 0, MOVED_M * i))) for i in range(7)]


def dirt() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Opacity and grey level of dirt with soft borders, `[H, W, 1]` each."""
    rng = np.random.default_rng(2)
    opacity = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(14):
        cv2.circle(opacity, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), int(rng.integers(14, 24)), 1, -1)
    texture = cv2.resize(rng.random((HEIGHT // 8, WIDTH // 8)).astype(np.float32) * 160, (WIDTH, HEIGHT))
    smooth = cv2.GaussianBlur(opacity, (0, 0), 3)
    return np.asarray(smooth, np.float32)[..., None], np.asarray(texture, np.float32)[..., None]


def dirty(image: Image, shift: int = 0, seed: int | None = None) -> Image:
    opacity, texture = (np.roll(layer, shift, 1) for layer in dirt())
    mixed = image * (1 - opacity) + opacity * texture
    if seed is not None:
        mixed += np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def test_matches_at_the_rim_of_equal_dirt_are_not_behind_the_scene(drive: list[tuple[Image, Image]]) -> None:
    matcher = SemiGlobalMatcher(RIG, nearest_m=2.0)
    left, right = drive[0]
    clean, found = matcher.match(left, right), matcher.match(dirty(left), dirty(right))
    behind = (clean >= 0) & (found >= 0) & (found < 0.7 * clean)
    assert behind.mean() < 0.001 < (found >= 0).mean()


@pytest.mark.parametrize("shift", [0, -5])
def test_dirt_on_both_lenses_is_named_after_a_few_pairs(drive: list[tuple[Image, Image]], shift: int) -> None:
    checks = InputChecks(RIG)
    names = [
        {warning.name for warning in checks.check(dirty(left, seed=i), dirty(right, shift, seed=i + 100))}
        for i, (left, right) in enumerate(drive)
    ]
    assert "static_pattern" not in names[0] and "static_pattern" in names[-1]
    mask = checks.static_pattern
    assert mask is not None and 0.03 < mask.mean() < 0.6


def test_a_drive_without_dirt_has_no_static_pattern(drive: list[tuple[Image, Image]]) -> None:
    checks = InputChecks(RIG)
    for pair in drive:
        assert not checks.check(*pair)
    assert checks.static_pattern is None


def test_a_stationary_camera_has_no_static_pattern(drive: list[tuple[Image, Image]]) -> None:
    checks, rng = InputChecks(RIG), np.random.default_rng(0)
    for _ in range(7):
        pair = [np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for image in drive[0]]
        assert not checks.check(*pair)
    assert checks.static_pattern is None


def test_nothing_is_free_behind_blind_pixels(drive: list[tuple[Image, Image]]) -> None:
    grid = VoxelGrid((0.0, -3.2, -1.6), (40, 32, 16), 0.2)
    engine = Engine(RIG, grid, model="stereo-geometry")
    blind = np.zeros((HEIGHT // 2, WIDTH // 2), bool)
    blind[:, : WIDTH // 4] = True
    free = engine.predict(*drive[0]).labels == 0
    limited = engine.predict(*drive[0], blind=blind)
    y = grid.centers().reshape(*grid.size, 3)[..., 1]
    x = grid.centers().reshape(*grid.size, 3)[..., 0]
    inside = (x < WALL) & (np.abs(y) < x)
    assert (free & inside & (y > 0.4)).any() and not ((limited.labels == 0) & inside & (y > 0.4)).any()
    assert ((limited.labels == 0) & inside & (y < -0.4)).sum() == (free & inside & (y < -0.4)).sum()
    assert np.isnan(limited.depth[:, : WIDTH // 2]).all()
