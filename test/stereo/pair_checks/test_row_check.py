"""Row differences of matched features: none in rectified pairs, named where one image is shifted or rotated."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from helpers.raytraced import (
    BASELINE,
    HEIGHT,
    WIDTH,
    intrinsics,
    lens_rays,
    pair,
    pinhole_rays,
    projection,
    rotated,
    view,
)

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.stereo.pair_checks.row_check import check_rows, row_differences

K = intrinsics()
RIG = StereoRig(
    PinholeCamera(projection(K), WIDTH, HEIGHT), PinholeCamera(projection(K, BASELINE), WIDTH, HEIGHT), np.eye(4)
)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    return pair(pinhole_rays(K))


def test_the_rows_of_a_rectified_pair_match(images: tuple[np.ndarray, np.ndarray]) -> None:
    rows = row_differences(*images, RIG)
    assert len(rows) > 60 and np.percentile(np.abs(rows[:, 0]), 95) < 0.5
    assert check_rows([rows], "topics") == ()
    assert check_rows([], "topics") == check_rows([rows[:10] + 9], "topics") == (), "too few features say nothing"


@pytest.mark.parametrize(
    ("turn", "shift", "expected_text"),
    [(0.0, 4, r"-4\.0 px"), (0.0, -3, r"\+3\.0 px"), (2.5, 0, r"turned by 2\.5 degrees against")],
)
def test_a_shifted_or_rolled_camera_is_named(
    images: tuple[np.ndarray, np.ndarray], turn: float, shift: int, expected_text: str
) -> None:
    change = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, 1.0)
    change[1, 2] += shift
    changed = np.asarray(cv2.warpAffine(images[1], change, (WIDTH, HEIGHT)), np.uint8)
    (warning,) = check_rows([row_differences(images[0], changed, RIG)], "topics")
    assert warning.name == "rows_differ" and "doctor rig" in str(warning)
    assert re.search(expected_text, str(warning)), str(warning)


@pytest.mark.parametrize(
    ("turn", "scale", "expected_text"),
    [
        (0.0, 1.02, r"magnified by 1\.0[12]\d against"),
        (0.0, 0.98, r"magnified by 0\.9[78]\d against"),
        (0.6, 1.0, r"turned by 0\.[567] degrees against"),
    ],
)
def test_a_right_image_that_is_slightly_magnified_or_turned_is_named(
    images: tuple[np.ndarray, np.ndarray], turn: float, scale: float, expected_text: str
) -> None:
    change = cv2.getRotationMatrix2D(((WIDTH - 1) / 2, (HEIGHT - 1) / 2), turn, scale)
    changed = cv2.warpAffine(images[1], change, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
    (warning,) = check_rows([row_differences(images[0], np.asarray(changed, np.uint8), RIG)], "topics")
    assert warning.name == "rows_differ" and re.search(expected_text, str(warning)), str(warning)


@pytest.mark.parametrize("yaw", [-2.0, -1.2, 1.2, 2.0])
def test_a_right_image_of_another_moment_of_a_turn_is_named(images: tuple[np.ndarray, np.ndarray], yaw: float) -> None:
    turned = view(rotated(pinhole_rays(K), yaw=yaw), (BASELINE, 0.0, 0.0))
    (warning,) = check_rows([row_differences(images[0], turned, RIG)], "topics")
    found = re.search(r"turned by (\d\.\d) degrees .* wrong by about (\d+) px", str(warning))
    assert warning.name == "rows_differ" and found, str(warning)
    assert float(found[1]) == pytest.approx(abs(yaw), abs=0.2)
    assert float(found[2]) == pytest.approx(np.radians(abs(yaw)) * K[0, 0], abs=1.0)


def test_images_with_a_distortion_that_no_calibration_states_are_named() -> None:
    distorted = pair(lens_rays(K, (-0.3, 0.1, 0.0, 0.0)))
    (warning,) = check_rows([row_differences(*distorted, RIG)], "topics")
    assert warning.name == "rows_differ" and "lens distortion (k1 = -0." in str(warning)
