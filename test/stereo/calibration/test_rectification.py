"""Raw or rectified: decided by the images and the calibration, and rectified exactly."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, lens_rays, pair, pinhole_rays, projection

from occdepth_ros.errors import CalibrationError
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration
from occdepth_ros.stereo.calibration.rectification import Kind, Rectifier, decide, kind_by_name

K, P = intrinsics(), intrinsics(150.0, 150.0, 95.0)
D = (-0.28, 0.09, 0.001, -0.001, 0.0)
RAW = ("/left/image_raw", "/right/image_raw")
RECT = ("/left/image_rect", "/right/image_rect")


def infos(**changes: Any) -> tuple[CameraCalibration, CameraCalibration]:
    usable: dict[str, Any] = {"size": (WIDTH, HEIGHT), "k": K, "d": D, "r": np.eye(3), "distortion_model": "plumb_bob"}
    left, right = (CameraCalibration(**(usable | changes), p=projection(P, x)) for x in (0.0, BASELINE))
    return left, right


@pytest.mark.parametrize("topics", [RAW, RECT])
@pytest.mark.parametrize("kind", Kind)
def test_the_rows_of_keypoints_decide_against_the_names(topics: tuple[str, str], kind: Kind) -> None:
    rays = lens_rays(K, D) if kind is Kind.RAW else pinhole_rays(P)
    decision = decide(infos(), pair(rays), topics)
    assert decision.kind is kind and decision.conclusive
    named = Kind.RAW if topics is RAW else Kind.RECTIFIED
    assert [warning.name for warning in decision.warnings] == ([] if named is kind else ["raw_or_rectified"])


def test_images_of_fisheye_lenses_are_raw() -> None:
    d = (-0.01, 0.04, -0.04, 0.008)
    decision = decide(
        infos(d=d, distortion_model="equi"), pair(lens_rays(K, d, fisheye=True)), ("/a/image", "/b/image")
    )
    assert decision.kind is Kind.RAW and decision.conclusive


def test_a_setting_that_contradicts_the_images_is_a_warning() -> None:
    decision = decide(infos(), pair(lens_rays(K, D)), RAW, stated=Kind.RECTIFIED)
    assert decision.kind is Kind.RAW
    assert "are raw" in str(decision.warnings[0])


@pytest.mark.parametrize(
    "changes", [{"d": (0.0,) * 5}, {"d": (0.0,) * 5, "r": cv2.Rodrigues(np.array([0, 0, 0.02]))[0]}]
)
def test_images_without_distortion_whose_k_or_r_differs_from_p_are_raw(changes: dict[str, Any]) -> None:
    # without texture there are no keypoints
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert decide(infos(**changes), (blank, blank), ("/left/image", "/right/image")).kind is Kind.RAW
    assert decide(infos(**changes), (blank, blank), RAW).kind is Kind.RAW
    assert decide(infos(**changes), (blank, blank), RECT).kind is Kind.RECTIFIED


def test_equal_k_and_p_are_rectified_for_any_name() -> None:
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    decision = decide(infos(k=P, d=()), (blank, blank), RAW)
    assert decision.kind is Kind.RECTIFIED and decision.conclusive and not decision.warnings


def test_a_principal_point_of_another_image_size_is_that_of_unrectified_images() -> None:
    """KITTI's converters record rectified images as image_raw, with K and D of the larger unrectified ones."""
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    decision = decide(infos(k=intrinsics(220.0, 185.0, 119.0)), (blank, blank), RAW)
    assert decision.kind is Kind.RECTIFIED and not decision.conclusive
    assert [warning.name for warning in decision.warnings] == ["raw_or_rectified"]


def test_an_unknown_model_matters_for_raw_images_only() -> None:
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    with pytest.raises(CalibrationError, match="double_sphere"):
        decide(infos(distortion_model="double_sphere"), (blank, blank), RAW)
    assert decide(infos(distortion_model="double_sphere"), (blank, blank), RECT).kind is Kind.RECTIFIED


@pytest.mark.parametrize("fisheye", [False, True])
def test_raw_images_are_rectified_to_those_of_a_pinhole(fisheye: bool) -> None:
    d = (-0.01, 0.04, -0.04, 0.008) if fisheye else D
    info = infos(d=d, distortion_model="equidistant" if fisheye else "plumb_bob")[0]
    rectifier = Rectifier(info, info.for_image(WIDTH, HEIGHT))
    found = rectifier(pair(lens_rays(K, d, fisheye=fisheye))[0])[30:-30, 40:-40].astype(int)
    expected = pair(pinhole_rays(P))[0][30:-30, 40:-40].astype(int)
    assert np.abs(found - expected).mean() < 7
    assert np.abs(pair(lens_rays(K, d, fisheye=fisheye))[0][30:-30, 40:-40] - expected).mean() > 15


@pytest.mark.parametrize(("x", "y", "binning"), [(40, 20, 1), (0, 0, 2), (32, 16, 2)])
def test_regions_and_binned_images_are_rectified_like_their_part_of_the_whole(x: int, y: int, binning: int) -> None:
    info = infos(roi=(x, y, 240, 160) if x else (0, 0, 0, 0), binning=(binning, binning))[0]
    whole = infos()[0]
    raw = cv2.GaussianBlur(pair(lens_rays(K, D))[0], (0, 0), 2)
    part = raw[y : y + 160, x : x + 240] if x else raw
    if binning > 1:
        part = cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    height, width = part.shape[:2]
    found = Rectifier(info, info.for_image(width, height))(np.asarray(part, np.uint8))
    full = Rectifier(whole, whole.for_image(WIDTH, HEIGHT))(np.asarray(raw, np.uint8))
    expected = full[y : y + 160, x : x + 240] if x else full
    if binning > 1:
        expected = np.asarray(cv2.resize(expected, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    assert np.abs(found[10:-10, 10:-10].astype(int) - expected[10:-10, 10:-10]).mean() < 2.5


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("/camera/infra1/image_rect_raw", Kind.RECTIFIED),
        ("left/image_rect/compressed", Kind.RECTIFIED),
        ("/zed/left_raw/image_raw_color", Kind.RAW),
        ("/left/image_raw/compressed", Kind.RAW),
        ("/zed/rgb/left/image", None),
        ("/zed/left/image_unrectified", Kind.RAW),
    ],
)
def test_names_of_topics(topic: str, kind: Kind | None) -> None:
    assert kind_by_name(topic) is kind
