"""Unequal sharpness of the two images is a warning; brightness and contrast are no sharpness."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, pair, pinhole_rays, projection
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.sources import open_source
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks
from occdepth_ros.stereo.pair_checks.pair_warnings import MAX_SHARPNESS_RATIO
from occdepth_ros.stereo.pair_checks.sharpness import sharpness_ratio

Image = npt.NDArray[np.uint8]
K = intrinsics()
RIG = StereoRig(
    PinholeCamera(projection(K), WIDTH, HEIGHT), PinholeCamera(projection(K, BASELINE), WIDTH, HEIGHT), np.eye(4)
)
LEFT, RIGHT = pair(pinhole_rays(K))


def blurred(image: Image, deviation: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)


def coarse(image: Image, factor: int) -> Image:
    """The image as a camera of lower resolution takes it, enlarged to the same size."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["blurred", "coarse"])
def test_one_blurred_or_coarse_image_is_named(side: str, kind: str) -> None:
    images = {"left": LEFT, "right": RIGHT}
    images[side] = blurred(images[side], 3.0) if kind == "blurred" else coarse(images[side], 4)
    (warning,) = InputChecks(RIG).check(images["left"], images["right"])
    assert warning.name == "sharpness_differs" and warning.where == f"{side} image", str(warning)


@given(st.floats(0.3, 1.0), st.integers(0, 60))
@settings(max_examples=20, deadline=None)
def test_brightness_and_contrast_are_no_sharpness(contrast: float, brightness: int) -> None:
    other = np.rint(contrast * RIGHT.astype(float) * 0.7 + brightness).astype(np.uint8)
    assert abs(sharpness_ratio(LEFT, other)) < 0.5 * MAX_SHARPNESS_RATIO


def test_equal_and_plain_images_do_not_differ() -> None:
    assert sharpness_ratio(LEFT, LEFT) == 0
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert sharpness_ratio(plain, plain) == 0
    assert not InputChecks(RIG).check(LEFT, RIGHT)


def test_the_cameras_of_kitti_are_equally_sharp(kitti_mini: Path) -> None:
    for number in ("00", "05", "09"):
        frame = open_source(kitti_mini / "dataset" / "sequences" / number)[5]
        assert abs(sharpness_ratio(frame.left, frame.right)) < 0.5 * MAX_SHARPNESS_RATIO
        assert sharpness_ratio(frame.left, blurred(frame.right, 2.0)) > MAX_SHARPNESS_RATIO
