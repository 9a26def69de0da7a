"""Layouts of data sets and of calibration tools: read where they hold all that is needed, named otherwise."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from helpers.sequences import BASELINE, FOCAL, HEIGHT, WIDTH, lidar_poses, make_image, pose_of, projection, row, save
from PIL import Image

from occdepth_ros.errors import OccDepthError, SourceError
from occdepth_ros.sources import open_source

STAMP = 1403636579763555584
K = projection()[:, :3]
D = (-0.1, 0.02, 0.001, -0.0005)
LIDAR_FROM_CAMERA = np.array([[0.0, 0, 1, 0.8], [-1, 0, 0, 0.1], [0, -1, 0, 0.2]])
TURN = cv2.Rodrigues(np.array([0.01, -0.02, 0.015]))[0]
"""Rotation of the right raw camera against the left one."""


def right_from_left() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = TURN
    pose[:3, 3] = -TURN @ [BASELINE, 0.004, -0.003]
    return pose


def rectified(k: np.ndarray = K) -> list[np.ndarray]:
    """R1, R2, P1, P2 of the raw cameras."""
    pose = right_from_left()
    d = np.array(D)
    flags: dict[str, Any] = {"flags": cv2.CALIB_ZERO_DISPARITY, "alpha": 0}
    return list(cv2.stereoRectify(k, d, k, d, (WIDTH, HEIGHT), pose[:3, :3], pose[:3, 3:], **flags)[:4])


def sides(path: Path, count: int = 2) -> Path:
    for i in range(count):
        save(path / "left" / f"{i:06d}.png", make_image(i))
        save(path / "right" / f"{i:06d}.png", make_image(100 + i))
    return path


def expect(path: Path, *words: str) -> None:
    with pytest.raises(OccDepthError) as caught:
        open_source(path)
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)


# KITTI-360


@pytest.fixture
def kitti_360(tmp_path: Path) -> Path:
    drive = tmp_path / "data_2d_raw" / "2013_05_28_drive_0000_sync"
    for i in range(3):
        for camera, seed in (("image_00", i), ("image_01", 100 + i)):
            save(drive / camera / "data_rect" / f"{i:010d}.png", make_image(seed))
    stamps = [f"2013-05-28 08:46:0{i}.500000000\n" for i in range(3)]
    (drive / "image_00" / "timestamps.txt").write_text("".join(stamps))
    calibration = tmp_path / "calibration"
    calibration.mkdir()
    lines = [f"R_rect_00: {row(np.eye(3))}"]
    for number, x in (("00", 0.0), ("01", -BASELINE)):
        lines += [f"S_rect_{number}: {WIDTH}.0 {HEIGHT}.0", f"P_rect_{number}: {row(projection(x))}"]
    (calibration / "perspective.txt").write_text("\n".join(lines))
    (calibration / "calib_cam_to_velo.txt").write_text(row(LIDAR_FROM_CAMERA))
    poses = tmp_path / "data_poses" / drive.name
    poses.mkdir(parents=True)
    camera_from_lidar = np.linalg.inv(np.vstack([LIDAR_FROM_CAMERA, [0, 0, 0, 1]]))
    world = lidar_poses(3) @ np.linalg.inv(camera_from_lidar)
    (poses / "cam0_to_world.txt").write_text("".join(f"{i} {row(pose)}\n" for i, pose in enumerate(world)))
    return drive


def test_kitti_360(kitti_360: Path) -> None:
    source = open_source(kitti_360)
    assert (len(source), source.grid_frame) == (3, "velodyne")
    assert source.rig.baseline == pytest.approx(BASELINE)
    lidar = np.vstack([LIDAR_FROM_CAMERA, [0, 0, 0, 1]])
    np.testing.assert_allclose(source.rig.left_from_grid, np.linalg.inv(lidar), atol=1e-9)
    assert source.period_s() == pytest.approx(1.0)
    for i in range(3):
        np.testing.assert_array_equal(source[i].right, make_image(100 + i))
        np.testing.assert_allclose(pose_of(source[i]), lidar_poses(3)[i], atol=1e-9)


def test_kitti_360_without_a_pose_for_each_frame(kitti_360: Path) -> None:
    file = next(kitti_360.parents[1].glob("data_poses/*/cam0_to_world.txt"))
    file.write_text("".join(file.read_text().splitlines(True)[1:]))
    source = open_source(kitti_360)
    assert source[1].world_from_grid is None
    assert "1 of 3 frames have no pose" in str(source.description.warnings[0])


def test_parts_of_kitti_360_are_named(kitti_360: Path) -> None:
    calibration = kitti_360.parents[1] / "calibration"
    (calibration / "calib_cam_to_velo.txt").rename(calibration / "elsewhere.txt")
    expect(kitti_360, "calib_cam_to_velo.txt is missing", "calibration archive of KITTI-360")
    (calibration / "perspective.txt").write_text("P_rect_00: 1 2 3\n")
    (calibration / "elsewhere.txt").rename(calibration / "calib_cam_to_velo.txt")
    expect(kitti_360, "R_rect_00 is missing")


# EuRoC / ASL


def raw_pixels(columns: np.ndarray, rows: np.ndarray, r: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Raw pixels of rectified ones, `[N, 2]`, by the equations of the polynomial model."""
    x, y = (columns - p[0, 2]) / p[0, 0], (rows - p[1, 2]) / p[1, 1]
    rays = np.stack([x, y, np.ones_like(x)], -1) @ r
    return cv2.projectPoints(rays.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), K, np.array(D))[0].reshape(-1, 2)


@pytest.fixture
def euroc(tmp_path: Path) -> Path:
    body_from_left = np.eye(4)
    body_from_left[:3, :3] = cv2.Rodrigues(np.array([0.5, -0.2, 1.4]))[0]
    poses = {"cam0": body_from_left, "cam1": body_from_left @ np.linalg.inv(right_from_left())}
    for camera, pose in poses.items():
        folder = tmp_path / "MH_01" / "mav0" / camera
        for i in range(4):
            if (camera, i) != ("cam1", 2):
                smooth = cv2.GaussianBlur(make_image(i, grey=True), (0, 0), 3)
                save(folder / "data" / f"{STAMP + i * 50_000_000}.png", smooth)
        entries = {
            "sensor_type": "camera",
            "T_BS": {"cols": 4, "rows": 4, "data": pose.ravel().tolist()},
            "rate_hz": 20,
            "resolution": [WIDTH, HEIGHT],
            "camera_model": "pinhole",
            "intrinsics": [FOCAL, FOCAL, 80.0, 24.0],
            "distortion_model": "radial-tangential",
            "distortion_coefficients": list(D),
        }
        (folder / "sensor.yaml").write_text("#Default camera\n" + yaml.safe_dump(entries))
    return tmp_path / "MH_01"


def test_euroc_is_rectified_and_paired_by_time(euroc: Path) -> None:
    source = open_source(euroc)
    assert [source[i].stamp_ns - STAMP for i in range(3)] == [0, 50_000_000, 150_000_000]
    r1, r2, p1, p2 = rectified()
    assert source.rig.baseline == pytest.approx(-p2[0, 3] / p2[0, 0])
    np.testing.assert_allclose(source.rig.left.intrinsics, p1[:, :3], atol=1e-6)
    frame = source[1]
    assert frame.grey
    raw = cv2.GaussianBlur(make_image(1, grey=True), (0, 0), 3)
    for image, r, p in ((frame.left, r1, p1), (frame.right, r2, p2)):
        columns, rows = np.meshgrid(np.arange(30.0, 130, 7), np.arange(10.0, 38, 5))
        at = raw_pixels(columns.ravel(), rows.ravel(), r, p).astype(np.float32)
        expected = cv2.remap(raw, at[:, :1], at[:, 1:], cv2.INTER_LINEAR).ravel()
        found = image[rows.ravel().astype(int), columns.ravel().astype(int), 0]
        assert np.abs(found.astype(int) - expected).max() <= 3
    names = [warning.name for warning in source.description.warnings]
    assert names == ["assumed_pose", "dropped_images"]
    assert len(open_source(euroc / "mav0")) == 3


def test_parts_of_euroc_are_named(euroc: Path) -> None:
    sensor = euroc / "mav0" / "cam1" / "sensor.yaml"
    text = sensor.read_text()
    sensor.write_text(text.replace("radial-tangential", "double_sphere"))
    expect(euroc, "double_sphere")
    sensor.write_text(text.replace("pinhole", "omni"))
    expect(euroc, "camera model 'omni'")
    sensor.unlink()
    expect(euroc, "cam1: sensor.yaml is missing")


# calibration tools


def camera_yaml(k: np.ndarray, d: tuple[float, ...], r: np.ndarray, p: np.ndarray) -> str:
    """A camera as the ROS calibrator writes it."""

    def matrix(values: Any) -> dict[str, Any]:
        values = np.atleast_2d(np.asarray(values, float))
        return {"rows": values.shape[0], "cols": values.shape[1], "data": values.ravel().tolist()}

    return yaml.safe_dump(
        {
            "image_width": WIDTH,
            "image_height": HEIGHT,
            "camera_name": "narrow_stereo",
            "camera_matrix": matrix(k),
            "distortion_model": "plumb_bob",
            "distortion_coefficients": matrix([*d, 0.0]),
            "rectification_matrix": matrix(r),
            "projection_matrix": matrix(p),
        }
    )


def two_files(path: Path, left: str = "left.yaml", right: str = "right.yaml") -> None:
    r1, r2, p1, p2 = rectified()
    (path / left).write_text(camera_yaml(K, D, r1, p1))
    (path / right).write_text(camera_yaml(K, D, r2, p2))


def archive(path: Path) -> None:
    two_files(path)
    with tarfile.open(path / "calibrationdata.tar.gz", "w:gz") as members:
        members.addfile(tarfile.TarInfo("left-0000.png"), io.BytesIO())
        for name in ("left.yaml", "right.yaml"):
            members.add(path / name, name)
            (path / name).unlink()


def opencv_files(path: Path, *names: str) -> None:
    """FileStorage YAML as OpenCV's sample of stereo calibration writes it."""
    r1, r2, p1, p2 = rectified()
    pose = right_from_left()
    values = {"M1": K, "M2": K, "D1": np.array([D]), "D2": np.array([D]), "R1": r1, "R2": r2, "P1": p1, "P2": p2}
    values |= {"R": pose[:3, :3], "T": pose[:3, 3:]}
    for file, members in (("intrinsics.yml", ("M1", "D1", "M2", "D2")), ("extrinsics.yml", names)):
        storage = cv2.FileStorage(str(path / file), cv2.FILE_STORAGE_WRITE)
        for name in members:
            storage.write(name, values[name])
        if "P1" not in names and file.startswith("in"):
            storage.write("image_width", WIDTH)
            storage.write("image_height", HEIGHT)
        storage.release()
    # OpenCV 5 writes the directive of YAML 1.2, earlier releases their own
    written = path / "intrinsics.yml"
    written.write_text(written.read_text().replace("%YAML 1.2", "%YAML:1.0"))
    assert written.read_text().startswith("%YAML:1.0")


def orb_slam(path: Path) -> None:
    values = dict(zip(("LEFT.R", "RIGHT.R", "LEFT.P", "RIGHT.P"), rectified(), strict=True))
    values |= {"LEFT.K": K, "RIGHT.K": K, "LEFT.D": np.array([D]), "RIGHT.D": np.array([D])}
    lines = ["%YAML:1.0", "Camera.fx: 90.0"]
    for name, value in values.items():
        rows, columns = value.shape
        data = ", ".join(str(float(number)) for number in value.ravel())
        lines += [
            f"{name}: !!opencv-matrix",
            f"   rows: {rows}",
            f"   cols: {columns}",
            "   dt: d",
            f"   data:[{data}]",
        ]
    (path / "EuRoC.yaml").write_text("\n".join(lines).replace("data:[", "data: ["))


def kalibr(path: Path) -> None:
    camera = {
        "camera_model": "pinhole",
        "intrinsics": [FOCAL, FOCAL, 80.0, 24.0],
        "distortion_model": "radtan",
        "distortion_coeffs": list(D),
        "resolution": [WIDTH, HEIGHT],
    }
    entries = {"cam0": camera, "cam1": {**camera, "T_cn_cnm1": right_from_left().tolist()}}
    (path / "camchain-rig.yaml").write_text(yaml.safe_dump(entries))


WRITERS: dict[str, Callable[[Path], None]] = {
    "left.yaml and right.yaml": two_files,
    "left/ost.yaml and right/ost.yaml": lambda path: two_files(path, "left/ost.yaml", "right/ost.yaml"),
    "calibration archive": archive,
    "OpenCV with P1 and P2": lambda path: opencv_files(path, "R1", "R2", "P1", "P2"),
    "OpenCV with R and T": lambda path: opencv_files(path, "R", "T"),
    "ORB-SLAM": orb_slam,
    "Kalibr": kalibr,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_calibration_file_gives_the_same_rig(tmp_path: Path, writer: str) -> None:
    WRITERS[writer](sides(tmp_path))
    source = open_source(tmp_path)
    _, _, p1, p2 = rectified()
    np.testing.assert_allclose(source.rig.left.intrinsics, p1[:, :3], atol=1e-5)
    assert source.rig.baseline == pytest.approx(-p2[0, 3] / p2[0, 0], rel=1e-6)
    # the images are noise, so that nothing contradicts D: they are raw
    assert "raw" in source.description.images
    assert "raw_or_rectified" in [warning.name for warning in source.description.warnings]
    assert np.abs(source[0].left.astype(int) - make_image(0)).mean() > 5


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (("left.yaml",), ("left.yaml is there, right.yaml is missing",)),
        (("right.yaml",), ("right.yaml is there, left.yaml is missing",)),
        ((), ("neither calibration.yaml nor left.yaml",)),
    ],
)
def test_a_part_of_a_calibration_is_named(tmp_path: Path, keep: tuple[str, ...], words: tuple[str, ...]) -> None:
    two_files(sides(tmp_path))
    for name in ("left.yaml", "right.yaml"):
        if name not in keep:
            (tmp_path / name).unlink()
    expect(tmp_path, *words)


def test_calibrations_of_one_camera_are_named(tmp_path: Path) -> None:
    two_files(sides(tmp_path), "ost.yaml", "other.txt")
    expect(tmp_path, "ost.yaml is the calibration of one camera")
    (tmp_path / "ost.yaml").rename(tmp_path / "ost.txt")
    expect(tmp_path, "ost.txt is the calibration of one camera")


def test_images_stated_as_rectified_are_not_rectified_again(tmp_path: Path) -> None:
    two_files(sides(tmp_path))
    (tmp_path / "calibration.yaml").write_text("left: left.yaml\nright: right.yaml\nrectified: true\n")
    np.testing.assert_array_equal(open_source(tmp_path)[1].left, make_image(1))
    (tmp_path / "calibration.yaml").write_text("left: left.yaml\nright: right.yaml\nrectified: maybe\n")
    expect(tmp_path, "rectified is 'maybe'")


@pytest.mark.parametrize(
    "content", ["%YAML:1.0\nP1: !!opencv-matrix\n  - 1\n", "%YAML:1.0\nP1: !!python/name:os\n", "{"]
)
def test_malformed_yaml_is_named(tmp_path: Path, content: str) -> None:
    (sides(tmp_path) / "calibration.yaml").write_text(content)
    expect(tmp_path, "calibration.yaml", "not valid YAML|left is missing")


@pytest.mark.parametrize("orientation", [3, 6])
def test_an_exif_orientation_is_ignored_with_a_warning(tmp_path: Path, orientation: int) -> None:
    smooth = cv2.GaussianBlur(make_image(0), (0, 0), 3)
    for side in ("left", "right"):
        image = Image.fromarray(smooth)
        tags = image.getexif()
        tags[0x0112] = orientation
        (tmp_path / side).mkdir()
        image.save(tmp_path / side / "0.jpg", quality=98, exif=tags)
    entries = {"left": {"projection_matrix": projection().ravel().tolist()}, "baseline": BASELINE}
    (tmp_path / "calibration.yaml").write_text(yaml.safe_dump(entries))
    source = open_source(tmp_path)
    assert np.abs(source[0].left.astype(int) - smooth).mean() < 3
    found = [warning for warning in source.description.warnings if warning.name == "exif_orientation"]
    assert len(found) == 2 and all(f"EXIF orientation {orientation}" in str(warning) for warning in found)


def test_a_folder_that_is_no_sequence_lists_all_layouts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"KITTI odometry.*KITTI-360.*raw.*EuRoC.*left.*bag"):
        open_source(tmp_path)
