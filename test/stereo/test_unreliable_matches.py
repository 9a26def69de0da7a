"""Matches of amplified noise are not used, and the noise is named."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, pair, pinhole_rays, projection

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.matching import SemiGlobalMatcher
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks
from occdepth_ros.stereo.pair_checks.noise import noise_of

Image = npt.NDArray[np.uint8]
K = intrinsics()
LEFT, RIGHT = (PinholeCamera(projection(K, x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
RIG = StereoRig(LEFT, RIGHT, np.eye(4))


@pytest.fixture(scope="module")
def clear() -> tuple[Image, Image]:
    return pair(pinhole_rays(K))


def night(image: Image, light: float, noise: float, gain: float, seed: int) -> Image:
    """An image with little light, whose noise is amplified with it."""
    dark = light * image + np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.clip(gain * np.clip(dark, 0, 255), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("light", "noise", "gain"), [(0.06, 3, 8), (0.06, 2, 10), (0.1, 3, 6)])
def test_amplified_noise_leaves_no_matches_behind_the_scene(
    clear: tuple[Image, Image], light: float, noise: float, gain: float
) -> None:
    matcher = SemiGlobalMatcher(RIG, nearest_m=2.0)
    left, right = (night(image, light, noise, gain, seed) for seed, image in enumerate(clear))
    right_depth, found = matcher.match(*clear), matcher.match(left, right)
    behind = (right_depth >= 0) & (found >= 0) & (found < 0.75 * right_depth)
    assert behind.mean() < 0.003


def test_weak_noise_changes_no_match(clear: tuple[Image, Image]) -> None:
    matcher = SemiGlobalMatcher(RIG, nearest_m=2.0)
    noisy = [night(image, 1.0, 2.0, 1.0, seed) for seed, image in enumerate(clear)]
    without, found = matcher.match(*clear) >= 0, matcher.match(noisy[0], noisy[1]) >= 0
    assert found.mean() > 0.9 * without.mean()


def test_noise_is_named_with_its_standard_deviation(clear: tuple[Image, Image]) -> None:
    left, right = (night(image, 0.04, 4, 8, seed) for seed, image in enumerate(clear))
    names = {warning.name: str(warning) for warning in InputChecks(RIG).check(left, right)}
    assert "grey levels" in names["noisy_images"]


def test_fine_texture_is_no_noise() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH + 12), np.uint8)
    left, right = (np.repeat(texture[:, start : start + WIDTH, None], 3, -1) for start in (0, 12))
    assert not InputChecks(RIG).check(left, right)


@pytest.mark.parametrize("sigma", [3.0, 12.0])
def test_the_noise_of_a_textured_image_is_measured(clear: tuple[Image, Image], sigma: float) -> None:
    noisy = np.clip(clear[0] * 0.5 + 60 + np.random.default_rng(1).normal(0, sigma, clear[0].shape), 0, 255)
    assert noise_of(noisy.astype(np.uint8)) == pytest.approx(sigma, rel=0.25)
