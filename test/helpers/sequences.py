"""Small sequences on disk for tests, in the layouts of the real ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.sources.base import StereoFrame

WIDTH, HEIGHT = 160, 48
FOCAL, BASELINE = 90.0, 0.5
ROAD, SIGN = 40, 81
LANDMARK = np.array([10.1, 2.1, 0.1])
LIDAR_TO_CAMERA = np.array([[0.0, -1, 0, 0.01], [0, 0, -1, -0.05], [1, 0, 0, -0.3]])


def row(matrix: np.ndarray) -> str:
    return " ".join(f"{v:.12e}" for v in np.asarray(matrix, float).ravel())


def projection(tx: float = 0.0) -> np.ndarray:
    return np.array([[FOCAL, 0, 80, FOCAL * tx], [0, FOCAL, 24, 0], [0, 0, 1, 0]])


def make_image(seed: int, *, grey: bool = False) -> np.ndarray:
    shape = (HEIGHT, WIDTH) if grey else (HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])


def pose_of(frame: StereoFrame) -> npt.NDArray[np.float64]:
    """The recorded pose of a frame, `[4, 4]`."""
    assert frame.world_from_grid is not None
    return frame.world_from_grid


def lidar_poses(count: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (count, 1, 1))
    for i in range(count):
        angle = 0.02 * i
        poses[i, :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        poses[i, :3, 3] = [0.8 * i, 0.05 * i, 0.01 * i]
    return poses


def kitti_odometry(folder: Path, count: int = 3, *, suffix: str = ".png", grey: bool = False) -> Path:
    """A sequence folder with times and poses; frame i is `image(i)` and `image(100 + i)`."""
    left, right = ("image_0", "image_1") if grey else ("image_2", "image_3")
    for i in range(count):
        save(folder / left / f"{i:06d}{suffix}", make_image(i, grey=grey))
        save(folder / right / f"{i:06d}{suffix}", make_image(100 + i, grey=grey))
    shifts = {"P0": 0.0, "P1": -BASELINE, "P2": 0.06, "P3": 0.06 - BASELINE}
    lines = [f"{key}: {row(projection(tx))}" for key, tx in shifts.items()]
    (folder / "calib.txt").write_text("\n".join([*lines, f"Tr: {row(LIDAR_TO_CAMERA)}"]) + "\n")
    (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(count)))
    tr = np.vstack([LIDAR_TO_CAMERA, [0, 0, 0, 1]])
    poses = tr @ lidar_poses(count) @ np.linalg.inv(tr)
    (folder / "poses.txt").write_text("".join(row(pose[:3]) + "\n" for pose in poses))
    return folder


def labelled_scans(folder: Path, count: int = 3) -> Path:
    """A sequence with scans of one sign that stands still at `LANDMARK`, and of the road around the vehicle."""
    kitti_odometry(folder, count)
    road = np.stack(np.meshgrid(np.arange(3, 20, 0.15), np.arange(-4, 4, 0.15), [-1.7]), -1).reshape(-1, 3)
    for name in ("velodyne", "labels"):
        (folder / name).mkdir()
    for i, pose in enumerate(lidar_poses(count)):
        inverse = np.linalg.inv(pose)
        sign = inverse[:3, :3] @ LANDMARK + inverse[:3, 3]
        points = np.vstack([road, sign, [[np.nan, 0, 0]]])
        np.hstack([points, np.zeros((len(points), 1))]).astype("<f4").tofile(folder / "velodyne" / f"{i:06d}.bin")
        labels = np.full(len(points), ROAD | 7 << 16, "<u4")
        labels[-2:] = SIGN
        labels.tofile(folder / "labels" / f"{i:06d}.label")
    return folder


def kitti_raw(folder: Path, count: int = 3) -> Path:
    """A drive folder in its date's folder; the LiDAR moves as in `lidar_poses`, up to the Earth's curvature."""
    names = [f"{i:010d}" for i in range(count)]
    for i, name in enumerate(names):
        save(folder / "image_02" / "data" / f"{name}.png", make_image(i))
        save(folder / "image_03" / "data" / f"{name}.png", make_image(100 + i))
    for side in ("image_02", "image_03"):
        stamps = [f"2011-09-26 13:04:{38 + i // 10}.{i % 10}50000001\n" for i in range(count)]
        (folder / side / "timestamps.txt").write_text("".join(stamps))
    cameras = [f"P_rect_0{i}: {row(projection(tx))}" for i, tx in enumerate((0.0, -BASELINE, 0.06, 0.06 - BASELINE))]
    sizes = [f"S_rect_0{i}: {WIDTH:e} {HEIGHT:e}" for i in range(4)]
    lines = ["calib_time: 09-Jan-2012 13:57:47", f"R_rect_00: {row(np.eye(3))}", *cameras, *sizes]
    (folder.parent / "calib_cam_to_cam.txt").write_text("\n".join(lines) + "\n")
    tr = LIDAR_TO_CAMERA
    (folder.parent / "calib_velo_to_cam.txt").write_text(f"R: {row(tr[:, :3])}\nT: {row(tr[:, 3])}\n")
    (folder.parent / "calib_imu_to_velo.txt").write_text(f"R: {row(np.eye(3))}\nT: 0 0 0\n")
    data = folder / "oxts" / "data"
    data.mkdir(parents=True)
    latitude, longitude = 49.0, 8.4
    for name, pose in zip(names, lidar_poses(count), strict=True):
        north = latitude + np.rad2deg(pose[1, 3] / 6378137.0)
        east = longitude + np.rad2deg(pose[0, 3] / 6378137.0 / np.cos(np.deg2rad(latitude)))
        yaw = np.arctan2(pose[1, 0], pose[0, 0])
        record = [north, east, 110 + pose[2, 3], 0, 0, yaw, *[0.0] * 24]
        (data / f"{name}.txt").write_text(" ".join(f"{v:.14g}" for v in record))
    return folder


def textured_wall(folder: Path, frames: int, disparity: int) -> Path:
    """A KITTI sequence with a wall across the view at one disparity, pixels; another texture in every frame."""
    kitti_odometry(folder, frames)
    for i in range(frames):
        shape = (HEIGHT, WIDTH + disparity, 3)
        texture = cv2.GaussianBlur(np.random.default_rng(i).integers(0, 255, shape, np.uint8), (3, 3), 0)
        save(folder / "image_2" / f"{i:06d}.png", texture[:, :-disparity])
        save(folder / "image_3" / f"{i:06d}.png", texture[:, disparity:])
    return folder
