"""The compiled semi-global matcher against OpenCV's."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from occdepth_ros.stereo.semi_global import COUNTS, CompiledMatcher, create_matcher, is_faster

COUNT = COUNTS[0]


def _pair(seed: int, size: tuple[int, int], lowest: int = -1) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return grey images of a few textured, partly saturated surfaces with different disparities."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, size).astype(np.uint8), (0, 0), 1.2)
    left = np.clip(np.asarray(texture, np.float32) * 4 - 380, 0, 255).astype(np.uint8)
    right = left.copy()
    for top, bottom in pairwise(np.linspace(0, size[0], 5).astype(int)):
        right[top:bottom] = np.roll(left[top:bottom], -int(rng.integers(0, COUNT // 2) + lowest), 1)
    noise = rng.integers(0, 6, size).astype(np.uint8)
    return left, cv2.add(right, noise).astype(np.uint8)


@pytest.mark.parametrize(
    ("lowest", "size", "speckles"),
    [(-1, (61, 300), 200), (0, (16, 144), 0), (3, (40, 200), 12), (-100, (33, 250), 50), (-1, (281, 210), 200)],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_opencv(lowest: int, size: tuple[int, int], speckles: int, threads: int) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        matcher = CompiledMatcher(lowest, COUNT, speckles=speckles)
        expected = create_matcher(lowest, COUNT, speckles=speckles)
        for seed in range(3):
            pair = _pair(seed, size, lowest)
            found = matcher.compute(*pair)
            np.testing.assert_array_equal(found, expected.compute(*pair))
            assert (found >= lowest * 16).mean() > 0.1
    finally:
        cv2.setNumThreads(before)


def test_images_of_another_size() -> None:
    matcher = CompiledMatcher(-1, COUNT)
    for width in (200, 260, 200):
        pair = _pair(width, (30, width))
        np.testing.assert_array_equal(matcher.compute(*pair), create_matcher(-1, COUNT).compute(*pair))


def test_small_images_are_not_worth_the_compilation() -> None:
    assert not is_faster(COUNT, 64 * 64)
    assert not is_faster(COUNT + 1, 1_000_000)
