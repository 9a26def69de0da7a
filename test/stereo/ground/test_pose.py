"""The measured pose above the ground of ray-traced views, and contradictions to the stated pose."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, pair, pinhole_rays, projection, rotated

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.calibration.extrinsics_checks import OPTICAL_FROM_BODY, CameraPose
from occdepth_ros.stereo.ground.history import GroundHistory
from occdepth_ros.stereo.ground.pose import (
    PITCH_LIMIT_PLACES,
    GroundPose,
    GroundPoseMeter,
    check_ground_pose,
    median_pose,
    with_measured_pose,
)

K = intrinsics()
BASE = VoxelGrid.semantic_kitti("base_link")


def rig(pitch: float = 0.0, height: float = 1.2, yaw: float = 0.0) -> StereoRig:
    """Cameras at (0.4, 0.1, height) in base_link, `pitch` degrees down and `yaw` degrees to the left, as stated."""
    pose = np.eye(4)
    rotation = (
        cv2.Rodrigues(np.array([0, 0, np.deg2rad(yaw)]))[0] @ cv2.Rodrigues(np.array([0, np.deg2rad(pitch), 0]))[0]
    )
    pose[:3, :3], pose[:3, 3] = rotation, [0.4, 0.1, height]
    stated: Matrix = OPTICAL_FROM_BODY @ np.linalg.inv(pose)
    cameras = [PinholeCamera(projection(K, x), WIDTH, HEIGHT) for x in (0.0, BASELINE)]
    return StereoRig(cameras[0], cameras[1], stated)


def measured(stated: StereoRig, pitch: float, ground: float = 1.2) -> GroundPose:
    found = GroundPoseMeter(stated).measure(*pair(rotated(pinhole_rays(K), pitch=pitch), ground=ground))
    assert found is not None
    return found


@pytest.mark.parametrize(("pitch", "ground"), [(0.0, 1.2), (15.0, 1.2), (25.0, 0.9), (5.0, 1.6)])
@pytest.mark.parametrize("stated", [0.0, 15.0])
def test_height_and_pitch_are_measured_for_any_stated_pose(pitch: float, ground: float, stated: float) -> None:
    pose = measured(rig(stated), pitch, ground).pose
    assert pose.pitch == pytest.approx(-pitch, abs=0.7)
    assert pose.height == pytest.approx(ground, abs=0.08)
    assert pose.roll == pytest.approx(0, abs=0.7)


def contradictions(stated: StereoRig, found: GroundPose, grid: VoxelGrid = BASE, *, is_base: bool = True) -> set[str]:
    given = check_ground_pose(stated, grid, found, is_base=is_base, where="TF", remedy="Correct it.")
    return {warning.name for warning in given}


def test_a_wrong_pitch_is_a_warning_with_both_numbers() -> None:
    found = measured(rig(), 15.0)
    assert contradictions(rig(15.0), found) == set()
    assert contradictions(rig(), found) == {"pose_contradicts_ground"}
    text = str(check_ground_pose(rig(), BASE, found, is_base=True, where="TF", remedy="Correct it.")[0])
    assert "+0.0 deg stated" in text and f"{found.pose.pitch:+.1f} deg measured" in text and "Correct it." in text


@pytest.mark.parametrize("shift", [-3, 3])
def test_a_shifted_right_image_is_named_as_a_reason_of_a_wrong_pitch(shift: int) -> None:
    left, right = pair(pinhole_rays(K))
    found = GroundPoseMeter(rig()).measure(left, np.roll(right, shift, axis=1))
    assert found is not None
    (warning,) = check_ground_pose(rig(), BASE, found, is_base=True, where="TF", remedy="Correct it.")
    named = re.search(r"a right image that is shifted by (\d+) px", str(warning))
    assert warning.name == "pose_contradicts_ground" and named and abs(int(named[1]) - abs(shift)) <= 1, str(warning)


def test_a_wrong_height_is_a_warning() -> None:
    found = measured(rig(), 0.0)
    assert contradictions(rig(height=1.3), found) == set()
    assert contradictions(rig(height=2.0), found) == {"height_contradicts_ground"}
    # the frame of a LiDAR: the ground is expected 0.27 m above the lower face of the grid
    lidar = VoxelGrid.semantic_kitti()
    assert contradictions(rig(height=1.2 - 1.73), found, lidar, is_base=False) == set()
    assert contradictions(rig(height=0.0), found, lidar, is_base=False) == {"height_contradicts_ground"}


@pytest.mark.parametrize("factor", [0.7, 1.35])
def test_a_wrong_baseline_is_named_as_a_reason_of_a_wrong_height(factor: float) -> None:
    stated = rig(height=1.2 - 1.73)
    right = PinholeCamera(projection(K, factor * BASELINE), WIDTH, HEIGHT)
    wrong = StereoRig(stated.left, right, stated.reference_from_grid)
    found = replace(measured(wrong, 0.0), pairs=5)
    (warning,) = check_ground_pose(
        wrong, VoxelGrid.semantic_kitti(), found, is_base=False, where="calib.txt", remedy="Correct it."
    )
    assert warning.name == "height_contradicts_ground"
    named = re.search(r"a baseline of (.*) m instead of (.*) m would agree", str(warning))
    assert named and float(named[1]) == pytest.approx(BASELINE, rel=0.05)
    assert float(named[2]) == pytest.approx(factor * BASELINE, abs=1e-3)


@pytest.mark.parametrize(("pitch", "expected"), [(0.0, set()), (15.0, {"pose_contradicts_ground"})])
def test_a_wrong_focal_length_shows_in_the_ground_of_inclined_cameras_only(pitch: float, expected: set[str]) -> None:
    """As with both images zoomed: depths are wrong by the factor, heights are not."""
    right = rig(pitch)
    k = intrinsics(0.85 * K[0, 0])
    left, other = (PinholeCamera(projection(k, x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
    wrong = StereoRig(left, other, right.reference_from_grid)
    found = replace(measured(wrong, pitch), pairs=5)
    assert found.pose.height == pytest.approx(1.2, abs=0.08)
    assert contradictions(wrong, found) == expected


def test_the_measured_pose_replaces_height_pitch_and_roll_only() -> None:
    stated = rig(2.0, 1.6, yaw=30.0)
    corrected = with_measured_pose(stated, BASE, measured(stated, 15.0), is_base=True)
    pose = CameraPose.of(corrected.left_from_grid)
    assert pose.pitch == pytest.approx(-15, abs=0.7) and pose.height == pytest.approx(1.2, abs=0.08)
    assert pose.roll == pytest.approx(0, abs=0.7)
    grid_from_left = np.linalg.inv(corrected.left_from_grid)
    np.testing.assert_allclose(grid_from_left[:2, 3], [0.4, 0.1], atol=1e-9)
    ahead = grid_from_left[:3, 2]
    assert np.rad2deg(np.arctan2(ahead[1], ahead[0])) == pytest.approx(30, abs=1)
    assert corrected.baseline == pytest.approx(BASELINE)


def test_without_ground_in_view_there_is_no_measurement() -> None:
    wall = pair(rotated(pinhole_rays(K), pitch=-40.0))
    assert GroundPoseMeter(rig()).measure(*wall) is None
    blank = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    assert GroundPoseMeter(rig()).measure(blank, blank) is None


def test_the_median_of_several_pairs() -> None:
    one = measured(rig(), 0.0)
    other = GroundPose(CameraPose(9.0, 30.0, 0.0), np.array([0.0, -0.87, 0.5]))
    found = median_pose([one, other, one])
    assert found is not None and found.pairs == 3
    assert found.pose.height == pytest.approx(one.pose.height)
    assert found.pose.pitch == pytest.approx(one.pose.pitch, abs=1e-6)
    assert median_pose([]) is None


def image_of_place(place: int) -> np.ndarray:
    """A left image that differs from those of other places."""
    blocks = np.random.default_rng(place).integers(0, 255, (HEIGHT // 20, WIDTH // 20, 1), np.uint8)
    return np.ascontiguousarray(blocks.repeat(20, 0).repeat(20, 1).repeat(3, 2))


def history(count: int, *, moving: bool, period_ns: int = 2_000_000_000, pitch: float = 0.0) -> GroundPose:
    """The median of measurements on a road whose slope changes by up to 1.5 degrees."""
    found = GroundHistory()
    slopes = np.random.default_rng(3).uniform(-1.5, 1.5, count) if moving else np.zeros(count)
    for i, slope in enumerate(slopes - slopes.mean()):
        angle = np.deg2rad(pitch + 0.3 * slope)
        pose = GroundPose(CameraPose(1.2, pitch + 0.3 * slope, 0.0), np.array([0, -np.cos(angle), np.sin(angle)]))
        found.add(pose, image_of_place(i if moving else 0), i * period_ns)
    median = found.median
    assert median is not None
    return median


def test_one_degree_of_wrong_pitch_is_flagged_after_many_places() -> None:
    grid = VoxelGrid((0.0, -6.4, -2.0), (64, 64, 16), 0.2, "base_link")
    driven = history(12, moving=True, pitch=-1.0)
    assert driven.places >= PITCH_LIMIT_PLACES
    (warning,) = check_ground_pose(rig(), grid, driven, is_base=True, where="tf", remedy="")
    assert warning.name == "pose_contradicts_ground" and "places" in warning.what
    right = history(12, moving=True, pitch=-0.4)
    assert not check_ground_pose(rig(), grid, right, is_base=True, where="tf", remedy="")


@pytest.mark.parametrize(("moving", "period_ns"), [(False, 2_000_000_000), (True, 10_000_000)])
def test_a_slope_at_one_place_is_no_wrong_pose(moving: bool, period_ns: int) -> None:
    """A vehicle that stands before a ramp, or is measured many times within a second."""
    found = history(12, moving=moving, period_ns=period_ns, pitch=-1.5)
    assert found.places == 1
    grid = VoxelGrid((0.0, -6.4, -2.0), (64, 64, 16), 0.2, "base_link")
    assert not check_ground_pose(rig(), grid, found, is_base=True, where="tf", remedy="")


def test_images_that_are_upside_down_are_flagged() -> None:
    meter = GroundPoseMeter(rig())
    left, right = pair(pinhole_rays(K), ground=1.2)
    upright = GroundPoseMeter(rig())
    for _ in range(3):
        upright.measure(left, right)
        # both cameras are mounted upside down, and left and right are connected as they see the scene
        meter.measure(right[::-1, ::-1].copy(), left[::-1, ::-1].copy())
    assert not upright.warnings("topics")
    (warning,) = meter.warnings("topics")
    assert warning.name == "upside_down" and "180 degrees" in str(warning)
