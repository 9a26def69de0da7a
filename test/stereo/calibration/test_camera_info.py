"""CameraInfo: region of interest, binning, missing and contradicting sizes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.raytraced import intrinsics, projection

from occdepth_ros.errors import CalibrationError
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration, ImageSizeError, stated_baseline

K = intrinsics(500.0, 319.5, 239.5)


def info(**changes: Any) -> CameraCalibration:
    usable: dict[str, Any] = {"size": (640, 480), "k": K, "d": (), "r": np.eye(3), "p": projection(K, 0.1)}
    return CameraCalibration(**(usable | changes), where="left/camera_info")


def test_region_of_interest_then_binning() -> None:
    found = info(roi=(40, 20, 480, 360), binning=(2, 2)).for_image(240, 180)
    camera = found.camera
    assert (camera.width, camera.height) == (240, 180)
    # the centre of a binned pixel is the centre of its full-resolution pixels
    assert camera.projection[0, 2] == pytest.approx((319.5 - 40 + 0.5) / 2 - 0.5)
    assert camera.projection[1, 2] == pytest.approx((239.5 - 20 + 0.5) / 2 - 0.5)
    assert camera.projection[0, 0] == 250
    assert camera.projection[0, 3] == pytest.approx(-250 * 0.1)
    np.testing.assert_allclose(found.k, camera.intrinsics)
    assert not found.warnings


@pytest.mark.parametrize("changes", [{"roi": (40, 20, 480, 360)}, {"binning": (2, 2)}])
def test_regions_and_binning_that_were_not_applied_to_the_image_are_ignored(changes: dict[str, Any]) -> None:
    camera = info(**changes).for_image(640, 480).camera
    np.testing.assert_allclose(camera.intrinsics, K)


def test_without_a_size_the_image_has_it() -> None:
    camera = info(size=(0, 0)).for_image(640, 480).camera
    assert (camera.width, camera.height) == (640, 480)


def test_resized_images_scale_the_calibration_with_a_warning() -> None:
    found = info().for_image(320, 240)
    assert [warning.name for warning in found.warnings] == ["resized_image"]
    assert "320x240" in str(found.warnings[0]) and "640x480" in str(found.warnings[0])
    assert found.camera.projection[0, 0] == 250
    assert found.camera.translation[0] == pytest.approx(-0.1)


@pytest.mark.parametrize("size", [(640, 400), (500, 480), (64, 480), (40, 30), (6400, 4800)])
def test_images_of_another_shape_are_refused_with_both_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(ImageSizeError, match=rf"{size[0]}x{size[1]}.*640x480"):
        info().for_image(*size)


def test_missing_k_and_r_are_those_of_rectified_images() -> None:
    found = info(k=np.zeros((3, 3)), r=np.zeros((3, 3)))
    np.testing.assert_array_equal(found.k, K)
    np.testing.assert_array_equal(found.r, np.eye(3))


@pytest.mark.parametrize(
    ("changes", "expected_text"),
    [
        ({"p": np.zeros((3, 4))}, "not positive"),
        ({"p": projection(K) * np.nan}, "P contains NaN"),
        ({"k": K * np.inf}, "K contains NaN"),
        ({"d": (np.nan,)}, "D contains NaN"),
        ({"k": -K}, "focal lengths of K"),
        ({"r": 2 * np.eye(3)}, "R is not a rotation"),
        ({"r": np.diag([1.0, 1, -1])}, "R is not a rotation"),
    ],
)
def test_unusable_calibrations_are_refused(changes: dict[str, Any], expected_text: str) -> None:
    with pytest.raises(CalibrationError, match=expected_text) as refusal:
        info(**changes)
    assert refusal.value.where == "left/camera_info"


def test_half_a_size_is_refused() -> None:
    with pytest.raises(CalibrationError, match="image size 0x480"):
        info(size=(0, 480)).for_image(640, 480)


@pytest.mark.parametrize("upper", [False, True])
def test_messages_of_ros_1_and_ros_2(upper: bool) -> None:
    matrices: dict[str, Any] = {"k": K.ravel(), "d": [0.1] * 5, "r": np.eye(3).ravel(), "p": projection(K).ravel()}
    message = SimpleNamespace(
        width=640,
        height=480,
        distortion_model="plumb_bob",
        binning_x=0,
        binning_y=2,
        roi=SimpleNamespace(x_offset=1, y_offset=2, width=3, height=4),
        header=SimpleNamespace(frame_id="left"),
        **{name.upper() if upper else name: value for name, value in matrices.items()},
    )
    found = CameraCalibration.from_message(message, "here")
    assert (found.size, found.binning, found.roi) == ((640, 480), (1, 2), (1, 2, 3, 4))
    assert (found.d, found.frame_id, found.where) == ((0.1,) * 5, "left", "here")
    np.testing.assert_array_equal(found.p, projection(K))


def test_the_coefficients_of_a_fisheye_under_another_name_give_a_warning() -> None:
    fisheye = (-0.008, 0.045, -0.041, 0.008)
    (warning,) = info(d=fisheye, distortion_model="plumb_bob").for_image(640, 480).warnings
    assert warning.name == "distortion_unusual" and "-0.041" in str(warning)
    assert not info(d=fisheye, distortion_model="equidistant").for_image(640, 480).warnings
    assert not info(d=(-0.37, 0.2, 0.0007, 0.0018, -0.08), distortion_model="plumb_bob").for_image(640, 480).warnings


def test_the_stated_baseline() -> None:
    assert stated_baseline(info(p=projection(K)), info()) == pytest.approx(0.1)
    with pytest.raises(CalibrationError, match="focal length"):
        stated_baseline(info(), info(p=-projection(K)))
