"""Plausibility of stereo calibrations: units, image sizes, rows, with numbers and the likely reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError
from occdepth_ros.stereo.calibration.checks import check_calibration

LEVEL = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def rig(
    baseline: float = 0.3,
    focal: float = 320.0,
    size: tuple[int, int] = (640, 360),
    centre: tuple[float, float] = (319.5, 179.5),
    **entries: float,
) -> StereoRig:
    """A rig; `entries` such as `p12=181.0` replace those of the right P."""
    left: Matrix = np.array([[focal, 0, centre[0], 0], [0, focal, centre[1], 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -focal * baseline
    for name, value in entries.items():
        right[int(name[1]), int(name[2])] = value
    return StereoRig(PinholeCamera(left, *size), PinholeCamera(right, *size), LEVEL)


@pytest.mark.parametrize("baseline", [0.03, 0.054, 0.12, 0.3, 0.54, 1.2])
def test_usual_rigs_have_no_warning(baseline: float) -> None:
    assert check_calibration(rig(baseline), "P") == ()


def test_the_rigs_of_kitti_have_no_warning() -> None:
    left = np.array([[718.856, 0, 607.1928, 45.38225], [0, 718.856, 185.2157, -0.1130887], [0, 0, 1, 0.003779761]])
    right = np.array([[718.856, 0, 607.1928, -337.2877], [0, 718.856, 185.2157, 2.369057], [0, 0, 1, 0.004915215]])
    assert (
        check_calibration(StereoRig(PinholeCamera(left, 1241, 376), PinholeCamera(right, 1241, 376), LEVEL), "P") == ()
    )


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        ({"baseline": 300.0}, ["300 m", "millimetres", "0.3 m"]),
        ({"baseline": 30.0}, ["30 m", "centimetres", "0.3 m"]),
        ({"baseline": 54.0}, ["54 m", "millimetres", "centimetres"]),
        ({"baseline": 0.3 / 320}, ["0.938 mm", "baseline itself", "0.3 m"]),
        ({"p12": 182.0}, ["179.50", "182.00", "rows"]),
        ({"p13": 96.0}, ["0.3 m above or below", "vertical pairs"]),
        ({"p23": 0.1}, ["not rectified to equal rows"]),
        ({"focal": 4.0}, ["4 px", "millimetres"]),
        ({"focal": 20000.0}, ["20000|2e\\+04", "larger images"]),
        ({"centre": (960.0, 540.0)}, ["640x360", "3 times as large"]),
        ({"centre": (160.0, 90.0)}, ["640x360", "2 times smaller"]),
    ],
)
def test_implausible_calibrations_are_refused_with_the_likely_reason(
    arguments: dict[str, Any], expected_text: list[str]
) -> None:
    for words in expected_text:
        with pytest.raises(CalibrationError, match=words) as refusal:
            check_calibration(rig(**arguments), "bag /left/camera_info")
    assert refusal.value.where.startswith("bag /left/camera_info")
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"baseline": 2.0}, "baseline_unusual"),
        ({"baseline": 0.012}, "baseline_unusual"),
        ({"p13": 4.0}, "rows_unequal"),
        ({"focal": 110.0}, "focal_length_unusual"),
        ({"centre": (319.5, 20.0)}, "principal_point_off_centre"),
    ],
)
def test_unusual_calibrations_are_warnings(arguments: dict[str, Any], name: str) -> None:
    assert name in {warning.name for warning in check_calibration(rig(**arguments), "P")}


def test_rows_may_differ_by_less_than_a_pixel() -> None:
    assert check_calibration(rig(p12=180.2), "P") == ()


def test_skew_is_named() -> None:
    p = rig().left.projection.copy()
    p[0, 1] = 2.0
    right = p.copy()
    right[0, 3] = -100.0
    skewed = StereoRig(PinholeCamera(p, 640, 360), PinholeCamera(right, 640, 360), LEVEL)
    assert {warning.name for warning in check_calibration(skewed, "P")} == {"skew"}


def test_the_units_that_explain_a_long_baseline_are_all_named() -> None:
    with pytest.raises(CalibrationError, match=r"centimetres \(0\.118 m\) or inches \(0\.3 m\)"):
        check_calibration(rig(11.8), "P")


@pytest.mark.parametrize(("ty", "place"), [(-96.0, "below"), (96.0, "above")])
def test_vertical_pairs_are_named(ty: float, place: str) -> None:
    with pytest.raises(CalibrationError, match=f"0.3 m {place} the left one.*vertical pairs are not supported"):
        rig(p03=0.0, p13=ty)


@pytest.mark.parametrize(("left_px_m", "text"), [(96.0, "+96 px m"), (-96.0, "-96 px m")])
def test_a_left_camera_beside_its_own_frame_is_a_warning(left_px_m: float, text: str) -> None:
    """As with sides or signs exchanged: the baseline is that of the rig."""
    given = rig()
    entries = given.left.projection.copy(), given.right.projection.copy()
    for entry in entries:
        entry[0, 3] += left_px_m
    left, right = (PinholeCamera(entry, 640, 360) for entry in entries)
    (warning,) = check_calibration(StereoRig(left, right, LEVEL), "P")
    assert warning.name == "baseline_unusual" and text in str(warning) and "0.3 m beside" in str(warning)
