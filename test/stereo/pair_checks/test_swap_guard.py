"""Swapped images are noticed, right ones never blamed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.pair_checks.swap_guard import PERIOD, SwapGuard, SwappedError, images_look_swapped


@given(st.integers(0, 2**32 - 1), st.integers(3, 24), st.integers(100, 700))
@settings(max_examples=15, deadline=None)
def test_a_textured_wall(seed: int, disparity: int, width: int) -> None:
    disparity = max(disparity * width // 320, 3)
    coarse = np.random.default_rng(seed).integers(0, 255, (24, (width + disparity) // 8 + 2, 3), np.uint8)
    texture = np.asarray(cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC), np.uint8)
    left, right = texture[:, :width], texture[:, disparity : disparity + width]
    assert not images_look_swapped(left, right)
    assert images_look_swapped(right, left)


def test_images_that_meet_before_infinity_are_measured_from_there() -> None:
    texture = np.random.default_rng(3).integers(0, 255, (60, 320, 3), np.uint8)
    left, right = texture[:, 6:306], texture[:, :300]  # a disparity of -6 pixels
    assert images_look_swapped(left, right)
    assert not images_look_swapped(left, right, offset=-10.0)
    assert images_look_swapped(left, right, offset=4.0)


def test_equal_flat_or_tiny_images_are_not_swapped() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 200, 3), np.uint8)
    flat = np.full_like(noise, 90)
    for pair in ((noise, noise), (flat, flat), (noise[:8, :20], noise[:8, :20])):
        assert not images_look_swapped(*pair)


def test_unrelated_images_are_not_swapped() -> None:
    left, right = np.random.default_rng(1).integers(0, 255, (2, 100, 300, 3), np.uint8)
    assert not images_look_swapped(left, right)
    assert not images_look_swapped(right, left)


def test_real_images(kitti_mini: Path) -> None:
    sequence = kitti_mini / "dataset" / "sequences" / "00"
    for name in ("000000.png", "000005.png"):
        left, right = (
            np.asarray(cv2.imread(str(sequence / folder / name)), np.uint8) for folder in ("image_2", "image_3")
        )
        assert not images_look_swapped(left, right)
        assert images_look_swapped(right, left)


def test_the_guard_looks_now_and_then_and_at_every_pair_after_a_swapped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    verdicts = iter([False, True, True, False, False])

    def look(*images: object, **options: object) -> bool:
        looks.append(next(verdicts))
        return looks[-1]

    monkeypatch.setattr("occdepth_ros.stereo.pair_checks.swap_guard.images_look_swapped", look)
    projection = np.array([[100.0, 0, 50, 0], [0, 100, 25, 0], [0, 0, 1, 0]])
    shifted = projection.copy()
    shifted[0, 3] = -50.0
    guard = SwapGuard(StereoRig(PinholeCamera(projection, 100, 50), PinholeCamera(shifted, 100, 50), np.eye(4)))
    image = np.zeros((50, 100, 3), np.uint8)
    for _ in range(PERIOD):
        guard.check(image, image)
    assert looks == [False]
    for _ in range(2):
        with pytest.raises(SwappedError, match="Exchange the two"):
            guard.check(image, image)
    for _ in range(PERIOD + 1):
        guard.check(image, image)
    assert looks == [False, True, True, False, False]
