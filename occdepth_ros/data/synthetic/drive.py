"""A drive along one synthetic street, as a KITTI odometry sequence with voxel ground truth."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.data.synthetic.dataset import along_lane
from occdepth_ros.data.synthetic.detail.refine import refined
from occdepth_ros.data.synthetic.detail.render import Light, develop, render
from occdepth_ros.data.synthetic.labels.complete import complete_labels
from occdepth_ros.data.synthetic.labels.voxels import solid_labels
from occdepth_ros.data.synthetic.rendering.camera_view import CameraView
from occdepth_ros.data.synthetic.rendering.raster import rasterize
from occdepth_ros.data.synthetic.rendering.relief import add_ground
from occdepth_ros.data.synthetic.scene.layout import Scene, make_scene
from occdepth_ros.errors import OutputError
from occdepth_ros.grid import VoxelGrid

SHIFTS = {"P0": 0.0, "P1": -0.537, "P2": 0.06, "P3": -0.477}
"""Position of camera 0 along x in each camera frame, metres: two grey and two colour cameras, as on KITTI's car."""
CAMERA_FROM_LIDAR = np.array([[0, -1.0, 0, 0], [0, 0, -1.0, -0.08], [1.0, 0, 0, -0.27], [0, 0, 0, 1.0]])
LIDAR_HEIGHT = 1.73
PERIOD_S = 0.1
SPEED = 7.0
"""Speed of the camera, metres per second."""
STREAM = 2
"""Random number stream: no street of a drive is in a split of the data set."""


@dataclass(frozen=True)
class SyntheticDrive:
    """A stereo camera driving along a residential street.

    Args:
        seed: seed of the street.
        width, height: size of the images, pixels.
        focal: focal length, pixels.
        samples: rays per pixel along each axis.
        ahead: distance ahead of a frame up to which viewpoints contribute to its ground truth, metres.
    """

    seed: int
    width: int = 1242
    height: int = 375
    focal: float = 718.0
    samples: int = 2
    ahead: float = 50.0

    @cached_property
    def scene(self) -> Scene:
        """The street at time 0."""
        scene = make_scene(np.random.default_rng([STREAM, self.seed]), "residential")
        return scene.refined(refined)

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
        """Return the pose of the LiDAR in the world, `[4, 4]`."""
        scene = self.scene
        pose = np.eye(4)
        pose[:3, 3] = [0, scene.lane, float(scene.ground.height(0.0, scene.lane)) + LIDAR_HEIGHT]
        return along_lane(scene, pose, SPEED * time_s)

    def view(self, time_s: float, side: str) -> CameraView:
        """Return the rays of the "left" or "right" camera."""
        rig = self.rig
        camera, camera_from_grid = (
            (rig.left, rig.left_from_grid) if side == "left" else (rig.right, rig.right_from_grid)
        )
        pose = self.world_from_lidar(time_s) @ np.linalg.inv(camera_from_grid)
        origin, rays = pose[:3, 3], pose[:3, :3] @ np.linalg.inv(camera.intrinsics)
        return CameraView(origin, rays, self.width, self.height, leaf_scale=2.0)

    def depth(self, time_s: float, side: str = "left") -> npt.NDArray[np.float32]:
        """Return the exact depth z at the pixel centres, metres, `[H, W]`, infinity in the sky."""
        scene, view = self.scene.at(time_s), self.view(time_s, side)
        w, _ = add_ground(view, rasterize(view, scene.world), scene.ground, scene.backdrop)
        with np.errstate(divide="ignore"):
            return np.asarray(1 / w, np.float32)

    def images(self, time_s: float) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the images of the two cameras, `[H, W, 3]` RGB each."""
        scene = self.scene.at(time_s)
        light = Light.of(scene)
        out = []
        for number, side in enumerate(("left", "right")):
            rng = np.random.default_rng([self.seed, round(time_s / PERIOD_S), number])
            out.append(develop(render(self.view(time_s, side), scene, light, self.samples), rng))
        return out[0], out[1]

    def labels(self, time_s: float, grid: VoxelGrid) -> npt.NDArray[np.uint8]:
        """Complete ground truth in the frame of the LiDAR: 0 free, class ids, 255 unknown, `[X, Y, Z]`."""
        pose = self.world_from_lidar(time_s)
        steps = np.arange(0.0, self.ahead + 1, 5.0)
        positions = np.stack([along_lane(self.scene, pose, float(step))[:3, 3] for step in steps])
        viewpoints = (positions - pose[:3, 3]) @ pose[:3, :3]
        return complete_labels(solid_labels(self.scene.at(time_s), grid, pose), grid, viewpoints)


def write_sequence(
    out: Path,
    drive: SyntheticDrive,
    *,
    frames: int,
    quality: int = 86,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Generate a drive and write it as a KITTI odometry sequence; the folder appears when it is complete.

    Args:
        out: folder, which must not exist or be empty.
        drive: the drive; equal drives yield equal images and labels on one machine.
        frames: number of stereo pairs.
        quality: JPEG quality, 1..100.
        report: called with the number of finished frames.

    Raises:
        OutputError: the folder is not empty, or cannot be written.
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
            f"cannot write: {error.strerror}", where=str(out), remedy="Check free space and permissions."
        ) from error


def _write(folder: Path, frames: int, drive: SyntheticDrive, quality: int, report: Callable[[int], None]) -> None:
    for name in ("image_2", "image_3", "voxels"):
        (folder / name).mkdir(parents=True)
    times = PERIOD_S * np.arange(frames)
    poses = np.asarray(np.stack([drive.world_from_lidar(float(t)) for t in times]), np.float64)
    _write_tables(folder, drive, np.asarray(times, np.float64), poses)
    grid = VoxelGrid.semantic_kitti()
    for i, time_s in enumerate(times):
        for name, image in zip(("image_2", "image_3"), drive.images(float(time_s)), strict=True):
            file = folder / name / f"{i:06d}.jpg"
            if not cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]):
                raise OSError(0, f"cannot write {file.name}")
        target = drive.labels(float(time_s), grid)
        np.savez_compressed(folder / "voxels" / f"{i:06d}.synthetic.npz", target=target, origin=np.array(grid.origin))
        report(i + 1)


def _write_tables(folder: Path, drive: SyntheticDrive, times: npt.NDArray[np.float64], poses: Matrix) -> None:
    lines = [f"{key}: {_row(matrix)}" for key, matrix in drive.calibration.items()]
    (folder / "calib.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "times.txt").write_text("".join(f"{t:.6e}\n" for t in times), encoding="utf-8")
    first_from_world = np.linalg.inv(poses[0])
    lidar_from_camera = np.linalg.inv(CAMERA_FROM_LIDAR)
    camera_poses = CAMERA_FROM_LIDAR @ first_from_world @ poses @ lidar_from_camera
    (folder / "poses.txt").write_text("".join(_row(pose[:3]) + "\n" for pose in camera_poses), encoding="utf-8")


def _row(matrix: npt.NDArray[np.floating]) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(matrix).ravel())
