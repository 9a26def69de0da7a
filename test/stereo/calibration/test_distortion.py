"""Distortion models: names, aliases, numbers of coefficients, and their OpenCV functions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.errors import CalibrationError
from occdepth_ros.stereo.calibration.distortion import Distortion, Family

K = np.array([[200.0, 0, 160], [0, 200, 100], [0, 0, 1]])
FISHEYE = (-0.01, 0.04, -0.04, 0.008)


@pytest.mark.parametrize(
    "name", ["equidistant", "equi", "fisheye", "kannala_brandt4", "Kannala Brandt", "KannalaBrandt8", "pinhole-equi"]
)
def test_aliases_of_the_equidistant_model(name: str) -> None:
    assert Distortion.named(name, FISHEYE, "x") == Distortion(Family.EQUIDISTANT, FISHEYE)
    # some drivers publish a fifth coefficient, which is zero
    assert Distortion.named(name, (*FISHEYE, 0.0), "x").coefficients == FISHEYE


@pytest.mark.parametrize(
    "name", ["plumb_bob", "radtan", "Brown-Conrady", "rational_polynomial", "thin_prism", "tilted"]
)
@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_polynomial_models_take_the_coefficients_of_opencv(name: str, count: int) -> None:
    coefficients = tuple(0.01 * (i + 1) for i in range(count))
    assert Distortion.named(name, coefficients, "x") == Distortion(Family.POLYNOMIAL, coefficients)


@pytest.mark.parametrize("name", ["", "none", "plumb_bob", "radtan"])
def test_zero_coefficients_are_no_distortion(name: str) -> None:
    assert Distortion.named(name, (0.0,) * 5, "x").family is Family.NONE
    assert Distortion.named(name, (), "x").family is Family.NONE


def test_zero_coefficients_of_the_equidistant_model_are_a_distortion() -> None:
    found = Distortion.named("equidistant", (), "x")
    assert found == Distortion(Family.EQUIDISTANT, (0.0,) * 4)
    moved = found.rectified_points(np.array([[300.0, 100]]), K, np.eye(3), K)
    assert moved[0, 0] == pytest.approx(160 + 200 * np.tan(140 / 200))


@pytest.mark.parametrize(
    ("name", "coefficients", "expected_text"),
    [
        ("double_sphere", (0.1, 0.5), "double_sphere"),
        ("omni", (0.1,) * 5, "omni"),
        ("fov", (0.9,), "'fov'"),
        ("", FISHEYE, "''"),
        ("plumb_bob", (0.1, 0.2, 0.3), "has 3 coefficients"),
        ("equidistant", (0.1,) * 5, "has 5 coefficients, not 4"),
        ("equidistant", (0.1,), "has 1 coefficients"),
        ("plumb_bob", (0.1, np.nan, 0, 0, 0), "NaN"),
    ],
)
def test_unsupported_models_are_refused_by_name(name: str, coefficients: tuple[float, ...], expected_text: str) -> None:
    with pytest.raises(CalibrationError, match=expected_text) as refusal:
        Distortion.named(name, coefficients, "left/camera_info")
    assert refusal.value.where == "left/camera_info"
    assert refusal.value.remedy


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([("plumb_bob", (-0.2, 0.05, 0.001, -0.001, 0.0)), ("equi", FISHEYE)]),
    st.floats(-0.02, 0.02),
    st.floats(40, 280),
    st.floats(30, 170),
)
def test_points_and_maps_are_inverse(
    model: tuple[str, tuple[float, ...]], angle: float, column: float, row: float
) -> None:
    distortion = Distortion.named(*model, "x")
    rotation = np.asarray(cv2.Rodrigues(np.array([0.0, angle, angle]))[0], np.float64)
    rectified = distortion.rectified_points(np.array([[column, row]]), K, rotation, K)[0]
    columns, rows = distortion.rectification_maps(K, rotation, K, (320, 200))
    u, v = np.rint(rectified).astype(int)
    if 0 <= u < 320 and 0 <= v < 200:
        # the map at the nearest whole pixel leads back to within a pixel and the stretch of the lens
        assert abs(columns[v, u] - column) < 1.2 and abs(rows[v, u] - row) < 1.2
