"""A generated drive in the layout of KITTI odometry, with voxel ground truth beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.data.street.labels import Panorama, benchmark_labels
from occdepth_ros.data.street.light import OpenSky, develop, render
from occdepth_ros.data.street.raycast import PinholeView, cast_view
from occdepth_ros.data.street.scene import Scene
from occdepth_ros.data.street.street import LANE, make_street
from occdepth_ros.errors import OutputError
from occdepth_ros.grid import VoxelGrid

SHIFTS = {"P0": 0.0, "P1": -0.537, "P2": 0.06, "P3": -0.477}
"""x of camera 0 in each camera, metres: two grey and two colour cameras, as on KITTI's car."""
CAMERA_FROM_LIDAR = np.array([[0, -1.0, 0, 0], [0, 0, -1.0, -0.08], [1.0, 0, 0, -0.27], [0, 0, 0, 1.0]])
LIDAR_HEIGHT = 1.73
PERIOD_S = 0.1
SPEED = 7.0
BESIDE = (-30.0, -32.0, -1.0), (150.0, 32.0, 14.0)
"""The box in which light from the sky is worked out."""


@dataclass(frozen=True)
class StreetDrive:
    """A stereo car driving through a street.

    Args:
        seed: of the street.
        width, height: of the images, pixels.
        focal: focal length, pixels.
        samples: rays per pixel and axis.
        ahead: how far beyond the last frame the labels' LiDAR drives on, metres.
    """

    seed: int
    width: int = 1242
    height: int = 375
    focal: float = 718.0
    samples: int = 2
    ahead: float = 55.0

    @property
    def calibration(self) -> dict[str, Matrix]:
        """P0..P3 and Tr, `[3, 4]` each, as in calib.txt."""
        k = np.array([[self.focal, 0, (self.width - 1) / 2], [0, self.focal, (self.height - 1) / 2], [0, 0, 1.0]])
        matrices = {key: k @ np.hstack([np.eye(3), np.array([[x], [0.0], [0.0]])]) for key, x in SHIFTS.items()}
        return {**matrices, "Tr": CAMERA_FROM_LIDAR[:3]}

    @property
    def rig(self) -> StereoRig:
        """The two colour cameras."""
        return StereoRig.from_kitti(self.calibration, self.width, self.height)

    def world_from_lidar(self, time_s: float) -> Matrix:
        """Pose of the LiDAR in the street: along the lane with a gentle swing, `[4, 4]`."""
        x = SPEED * time_s
        y = LANE + 0.12 * np.sin(0.25 * x)
        yaw = np.arctan(0.12 * 0.25 * np.cos(0.25 * x))
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        pose[:3, 3] = [x, y, LIDAR_HEIGHT]
        return pose

    def view(self, time_s: float, side: str) -> PinholeView:
        """Rays of the "left" or "right" camera."""
        rig = self.rig
        camera, camera_from_grid = (
            (rig.left, rig.left_from_grid) if side == "left" else (rig.right, rig.right_from_grid)
        )
        pose = self.world_from_lidar(time_s) @ np.linalg.inv(camera_from_grid)
        return PinholeView(camera.intrinsics, pose, self.width, self.height)

    def depth(self, scene: Scene, time_s: float, side: str = "left") -> npt.NDArray[np.float32]:
        """Exact depth z at the pixel centres, `[H, W]`, infinity in the sky."""
        return cast_view(self.view(time_s, side), scene.at(time_s))[0]

    def images(self, scene: Scene, time_s: float) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """What the two cameras take, `[H, W, 3]` RGB each."""
        solids = scene.at(time_s)
        open_sky = OpenSky.of(solids, *BESIDE)
        taken = []
        for number, side in enumerate(("left", "right")):
            rng = np.random.default_rng([self.seed, round(time_s / PERIOD_S), number])
            taken.append(
                develop(render(self.view(time_s, side), solids, scene.sun, open_sky, samples=self.samples), rng)
            )
        return taken[0], taken[1]

    def panoramas(self, scene: Scene, length: float) -> list[Panorama]:
        """Views of the resting street from the lane, every 5 m up to `length`, metres."""
        places = np.arange(0.0, length + 1.0, 5.0)
        return [Panorama.of(scene.still, (x, LANE, LIDAR_HEIGHT)) for x in places]


def write_sequence(
    out: Path, drive: StreetDrive, *, frames: int, quality: int = 86, report: Callable[[int], None] = lambda done: None
) -> None:
    """Generate a drive and write it as a KITTI odometry sequence; the folder appears when it is complete.

    Args:
        out: must not exist, or be empty.
        drive: equal drives give equal images and labels.
        frames: number of stereo pairs.
        quality: of the JPEG files, 1..100.
        report: called with the number of finished frames.

    Raises:
        OutputError: the folder holds something already, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError("the folder is not empty", where=str(out), remedy="Give a new folder.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as partial:
            folder = Path(partial) / "sequence"
            _write(folder, frames, drive, quality, report)
            if out.exists():
                out.rmdir()
            shutil.move(folder, out)
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror}", where=str(out), remedy="Check space and rights."
        ) from error


def _write(folder: Path, frames: int, drive: StreetDrive, quality: int, report: Callable[[int], None]) -> None:
    for name in ("image_2", "image_3", "voxels"):
        (folder / name).mkdir(parents=True)
    scene = make_street(drive.seed)
    times = PERIOD_S * np.arange(frames)
    poses = np.asarray(np.stack([drive.world_from_lidar(float(t)) for t in times]), np.float64)
    _write_tables(folder, drive, np.asarray(times, np.float64), poses)
    grid = VoxelGrid.semantic_kitti()
    panoramas = drive.panoramas(scene, float(poses[-1, 0, 3]) + drive.ahead)
    for i, time_s in enumerate(times):
        for name, image in zip(("image_2", "image_3"), drive.images(scene, time_s), strict=True):
            file = folder / name / f"{i:06d}.jpg"
            if not cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]):
                raise OSError(0, f"cannot write {file.name}")
        target = benchmark_labels(scene.at(time_s), grid, poses[i], panoramas)
        np.savez_compressed(folder / "voxels" / f"{i:06d}.synthetic.npz", target=target, origin=np.array(grid.origin))
        report(i + 1)


def _write_tables(folder: Path, drive: StreetDrive, times: npt.NDArray[np.float64], poses: Matrix) -> None:
    lines = [f"{key}: {_row(matrix)}" for key, matrix in drive.calibration.items()]
    (folder / "calib.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "times.txt").write_text("".join(f"{t:.6e}\n" for t in times), encoding="utf-8")
    first_from_world = np.linalg.inv(poses[0])
    lidar_from_camera = np.linalg.inv(CAMERA_FROM_LIDAR)
    camera_poses = CAMERA_FROM_LIDAR @ first_from_world @ poses @ lidar_from_camera
    (folder / "poses.txt").write_text("".join(_row(pose[:3]) + "\n" for pose in camera_poses), encoding="utf-8")


def _row(matrix: npt.NDArray[np.floating]) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(matrix).ravel())
