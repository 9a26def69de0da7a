"""KITTI raw drives: frames, calibration, GPS/IMU poses, and the error for each damaged file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import BASELINE, LIDAR_TO_CAMERA, kitti_raw, lidar_poses, make_image, pose_of, save

from occdepth_ros.errors import CalibrationError, OccDepthError, SourceError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.layouts.oxts import mercator_poses


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return kitti_raw(tmp_path / "raw" / "2011_09_26" / "2011_09_26_drive_0005_sync")


def expect(path: Path, *words: str, error: type[OccDepthError] = SourceError) -> None:
    with pytest.raises(error) as caught:
        open_source(path)
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)


def test_frames_calibration_times_and_poses(drive: Path) -> None:
    source = open_source(drive)
    assert (len(source), source.grid_frame) == (3, "velodyne")
    assert source.rig.baseline == pytest.approx(BASELINE)
    np.testing.assert_allclose(source.rig.reference_from_grid[:3], LIDAR_TO_CAMERA)
    for i in range(3):
        frame = source[i]
        assert frame.stamp_ns == 1317042278_050000001 + i * 100_000_000
        np.testing.assert_array_equal(frame.left, make_image(i))
        np.testing.assert_array_equal(frame.right, make_image(100 + i))
        np.testing.assert_allclose(pose_of(frame), lidar_poses(3)[i], atol=1e-4)
    assert source.ground_truth(0) is None


def test_the_lidar_pose_is_rectified_and_offset_from_the_imu(drive: Path) -> None:
    angle = 0.01
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    cameras = drive.parent / "calib_cam_to_cam.txt"
    text = " ".join(f"{v:.15g}" for v in rotation.ravel())
    cameras.write_text(re.sub("R_rect_00:.*", f"R_rect_00: {text}", cameras.read_text()))
    (drive.parent / "calib_imu_to_velo.txt").write_text("R: 1 0 0 0 1 0 0 0 1\nT: -0.8 0.3 -0.8\n")
    source = open_source(drive)
    np.testing.assert_allclose(source.rig.reference_from_grid[:3], rotation @ LIDAR_TO_CAMERA)
    imu_from_lidar = np.eye(4)
    imu_from_lidar[:3, 3] = [0.8, -0.3, 0.8]
    imu = lidar_poses(3)
    expected = np.linalg.inv(imu[0] @ imu_from_lidar) @ imu[2] @ imu_from_lidar
    np.testing.assert_allclose(pose_of(source[2]), expected, atol=1e-4)


def test_mercator_poses_are_in_metres_and_yaw_is_counter_clockwise() -> None:
    degree = np.rad2deg(1 / 6378137.0)
    records = np.array([[49, 8, 100, 0, 0, 0], [49 + 10 * degree, 8, 101, 0, 0, np.pi / 2]])
    records = np.vstack([records, [49, 8 + 10 * degree / np.cos(np.deg2rad(49)), 100, 0.1, 0, 0]])
    poses = mercator_poses(records)
    np.testing.assert_allclose(poses[1, :3, 3], [0, 10, 1], atol=1e-4)
    np.testing.assert_allclose(poses[1, :3, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(poses[2, :3, 3], [10, 0, 0], atol=1e-6)
    np.testing.assert_allclose(poses[2, :3, 1], [0, np.cos(0.1), np.sin(0.1)], atol=1e-12)


def test_without_oxts_there_are_no_poses(drive: Path) -> None:
    (drive / "oxts").rename(drive / "elsewhere")
    assert open_source(drive)[0].world_from_grid is None


@pytest.mark.parametrize("file", ["calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt"])
def test_a_missing_calibration_file_is_named(drive: Path, file: str) -> None:
    (drive.parent / file).unlink()
    expect(drive, f"{re.escape(file)} is missing", "calibration archive")


@pytest.mark.parametrize("key", ["P_rect_03", "S_rect_02", "R_rect_00"])
def test_a_missing_entry_is_named(drive: Path, key: str) -> None:
    file = drive.parent / "calib_cam_to_cam.txt"
    file.write_text(file.read_text().replace(key, "other"))
    expect(drive, key, "calib_cam_to_cam", error=CalibrationError)


def test_images_of_another_size_than_the_calibration_are_refused(drive: Path) -> None:
    for path in drive.glob("image_0?/data/*.png"):
        save(path, np.zeros((60, 200, 3), np.uint8))
    expect(drive, "160x48", "200x60", "S_rect_02", error=CalibrationError)


def test_missing_images_and_records_are_named(drive: Path) -> None:
    (drive / "oxts/data/0000000001.txt").unlink()
    expect(drive, r"0000000001\.txt", "missing")
    (drive / "image_03/data/0000000002.png").unlink()
    expect(drive, "image_03", "missing: 0000000002")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2011-09-26 13:04:38.1\n", (r"timestamps\.txt", "1 lines", "0000000001")),
        (3 * "2011-09-26 13:04:38.1\n", ("not after",)),
        ("13:04\n" * 3, ("line 1", "13:04", "date and time")),
    ],
)
def test_malformed_timestamps_name_the_line(drive: Path, text: str, words: tuple[str, ...]) -> None:
    (drive / "image_02" / "timestamps.txt").write_text(text)
    expect(drive, *words)


def test_nan_in_a_record_is_refused(drive: Path) -> None:
    (drive / "oxts/data/0000000001.txt").write_text(" ".join(["nan", *["0"] * 29]))
    expect(drive, r"0000000001\.txt", "NaN")


def test_paths_above_and_below_name_the_drive(drive: Path) -> None:
    for path in (drive / "image_02" / "data", drive / "image_02", drive.parent, drive.parent.parent):
        expect(path, re.escape(str(drive)))


def test_real_drive(shared_dir: Path) -> None:
    source = open_source(shared_dir / "data/kitti_raw_mini/2011_09_26/2011_09_26_drive_0005_sync")
    assert len(source) == 20
    assert source.rig.baseline == pytest.approx(0.532, abs=0.01)
    assert source.period_s() == pytest.approx(0.1035, abs=0.001)
    frame = source[19]
    assert frame.left.shape == (375, 1242, 3)
    # drive 0005 goes at about 3.7 m/s, straight ahead at first
    assert frame.world_from_grid is not None
    speed = frame.world_from_grid[0, 3] / (19 * source.period_s())
    assert 2.0 < speed < 6.0
    assert abs(frame.world_from_grid[1, 3]) < 1.5
