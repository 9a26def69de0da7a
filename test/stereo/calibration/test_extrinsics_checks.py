"""Plausibility of the cameras' pose: body frames, cameras that look upwards, grids out of view."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.calibration.extrinsics_checks import (
    OPTICAL_FROM_BODY,
    CameraPose,
    check_extrinsics,
    check_view,
    is_body_frame,
    share_in_view,
    summarize,
)

GRID = VoxelGrid.semantic_kitti("base_link")


def body_from_grid(pitch: float = 0.0, yaw: float = 0.0, height: float = 1.0) -> Matrix:
    """Pose of the grid in a body frame at `height`, pitched up and turned left, degrees."""
    pose = np.eye(4)
    rotation = (
        cv2.Rodrigues(np.array([0, 0, np.deg2rad(yaw)]))[0] @ cv2.Rodrigues(np.array([0, -np.deg2rad(pitch), 0]))[0]
    )
    pose[:3, :3], pose[2, 3] = rotation, height
    return np.asarray(np.linalg.inv(pose))


def rig(left_from_grid: Matrix) -> StereoRig:
    left = np.array([[320.0, 0, 319.5, 0], [0, 320, 179.5, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -96.0
    return StereoRig(PinholeCamera(left, 640, 360), PinholeCamera(right, 640, 360), left_from_grid)


@settings(max_examples=25, deadline=None)
@given(st.floats(-40, 40), st.floats(-170, 170), st.floats(-2, 5))
def test_body_frames_are_recognised_and_optical_frames_are_not(pitch: float, yaw: float, height: float) -> None:
    body = body_from_grid(pitch, yaw, height)
    optical = OPTICAL_FROM_BODY @ body
    assert is_body_frame(body)
    assert not is_body_frame(optical)
    found = CameraPose.of(optical)
    assert found.height == pytest.approx(height, abs=1e-9)
    assert found.pitch == pytest.approx(pitch, abs=1e-6)
    assert found.roll == pytest.approx(0, abs=1e-6)


def test_cameras_that_look_into_the_sky_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"90 degrees above the horizon.*sky") as refusal:
        check_extrinsics(rig(body_from_grid()), "calibration.yaml")
    assert "-0.5, 0.5, -0.5, 0.5" in refusal.value.remedy
    assert [w.name for w in check_extrinsics(rig(OPTICAL_FROM_BODY @ body_from_grid(30)), "TF")] == ["camera_looks_up"]
    for pitch in (-60, -25, 0, 15):
        assert check_extrinsics(rig(OPTICAL_FROM_BODY @ body_from_grid(pitch)), "TF") == ()


def test_rolled_cameras_are_a_warning() -> None:
    roll = np.eye(4)
    roll[:3, :3] = cv2.Rodrigues(np.array([0, 0, np.pi]))[0]
    found = check_extrinsics(rig(roll @ OPTICAL_FROM_BODY @ body_from_grid()), "TF")
    assert [warning.name for warning in found] == ["camera_rolled"]


@pytest.mark.parametrize(("height", "expected_text"), [(30.0, "30 m from the origin"), (1400.0, "millimetres (1.4 m)")])
def test_translations_in_other_units_are_named(height: float, expected_text: str) -> None:
    pose = body_from_grid()
    pose[2, 3] = -height
    warning = check_extrinsics(rig(OPTICAL_FROM_BODY @ pose), "TF")[0]
    assert warning.name == "camera_far"
    assert expected_text in warning.what


def test_a_grid_behind_the_camera_is_out_of_view() -> None:
    ahead, behind = (rig(OPTICAL_FROM_BODY @ body_from_grid(yaw=yaw)) for yaw in (0, 180))
    assert share_in_view(ahead, GRID) > 0.5
    assert share_in_view(behind, GRID) == 0
    assert check_view(ahead, GRID, "x") == ()
    warning = check_view(behind, GRID, "bag")[0]
    assert warning.name == "grid_out_of_view" and "0.0%" in warning.what and "base_link" in warning.what


@pytest.mark.parametrize(
    ("frame", "height", "expected_text"),
    [
        ("base_link", -1.0, "below the ground"),
        ("velodyne", -2.5, "below the grid, which begins at -2.0 m"),
        ("base_link", 6.0, "above the grid, which ends at 4.4 m"),
        ("base_link", 0.2, ""),
        ("velodyne", -1.5, ""),
    ],
)
def test_a_camera_below_the_ground_or_above_the_grid_is_a_warning(
    frame: str, height: float, expected_text: str
) -> None:
    pose = body_from_grid()
    pose[2, 3] = -height
    grid = VoxelGrid.semantic_kitti(frame)
    found = check_view(rig(OPTICAL_FROM_BODY @ pose), grid, "TF", is_base=frame == "base_link")
    heights = [warning.what for warning in found if warning.name == "camera_height"]
    assert len(heights) == bool(expected_text)
    assert all(expected_text in text for text in heights)


def test_the_summary_states_the_chosen_pair() -> None:
    line = summarize(rig(OPTICAL_FROM_BODY @ body_from_grid(-25)), GRID, "/l and /r", "of 2 pairs", "TF")
    for words in (
        "/l and /r (of 2 pairs)",
        "grid frame base_link",
        "pose from TF",
        "1.00 m",
        "-25.0 deg",
        "0.300 m",
        "%",
    ):
        assert words in line
