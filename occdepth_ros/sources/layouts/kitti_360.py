"""Drives of KITTI-360 (Liao et al., TPAMI 2022): the rectified perspective cameras.

ROOT/calibration/perspective.txt                P_rect_00, P_rect_01, R_rect_00, S_rect_00
ROOT/calibration/calib_cam_to_velo.txt          3x4: camera 0 to LiDAR
ROOT/data_2d_raw/DRIVE/image_00, image_01       data_rect/ and timestamps.txt
ROOT/data_poses/DRIVE/cam0_to_world.txt         frame number and 4x4 pose of the rectified camera 0, optional
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import InputWarning, SourceError
from occdepth_ros.sources.base import SourceDescription
from occdepth_ros.sources.layouts.kitti_rig import RectifiedCameras
from occdepth_ros.sources.layouts.links import relative_file
from occdepth_ros.sources.readable import first_readable_pair
from occdepth_ros.sources.sequence import FileSequence, pair_images, stamps_of_frames
from occdepth_ros.sources.tables import read_date_times, read_rows


def is_kitti_360(path: Path) -> bool:
    """Return whether the folder looks like a drive of KITTI-360."""
    return any((path / camera / "data_rect").is_dir() for camera in ("image_00", "image_01"))


def open_kitti_360(path: Path) -> FileSequence:
    """Open one drive, a folder of `data_2d_raw`; the grid's frame is the LiDAR's, `velodyne`.

    Raises:
        SourceError: a file of the drive or of the calibration is missing or malformed.
        ImageError: an image is damaged.
        CalibrationError: the calibration does not match the images.
    """
    images = pair_images(path / "image_00/data_rect", path / "image_01/data_rect")
    cameras = RectifiedCameras.read(
        _calibration(path, "perspective.txt"),
        archive="Extract the calibration archive of KITTI-360 again.",
        images="Use the images of data_rect at their original size.",
    )
    camera_from_lidar = np.asarray(np.linalg.inv(_lidar_from_camera(path)), np.float64)
    rig = cameras.rig(("00", "01"), first_readable_pair(images.left, images.right)[2], camera_from_lidar)
    poses, warnings = _poses(path, images.frames, rig.reference_from_grid)
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame="velodyne",
        images=images,
        stamps_ns=stamps_of_frames(read_date_times, images.frames, path / "image_00/timestamps.txt"),
        poses=poses,
        description=SourceDescription(
            images=f"{images.left[0].parent} and {images.right[0].parent}",
            pose="calib_cam_to_velo.txt",
            warnings=warnings,
        ),
    )


def _calibration(path: Path, name: str) -> Path:
    """Return a file of ROOT/calibration, next to the drive's link or next to its target."""
    file = relative_file(path, f"../../calibration/{name}")
    if file is None:
        raise SourceError(
            f"calibration/{name} is missing",
            where=str(path.parent.parent),
            remedy="Extract the calibration archive of KITTI-360 next to data_2d_raw.",
        )
    return file


def _lidar_from_camera(path: Path) -> Matrix:
    """Return the pose of camera 0 in the LiDAR's frame, `[4, 4]`."""
    file = _calibration(path, "calib_cam_to_velo.txt")
    return np.vstack([read_rows(file, 12)[0].reshape(3, 4), [0, 0, 0, 1]])


def _poses(
    path: Path, names: list[str], camera_from_lidar: Matrix
) -> tuple[npt.NDArray[np.float64] | None, tuple[InputWarning, ...]]:
    """Return the LiDAR poses in the first LiDAR frame, `[N, 4, 4]`; None if a frame has no pose."""
    file = relative_file(path, f"../../data_poses/{path.name}/cam0_to_world.txt")
    if file is None:
        return None, ()
    rows = {int(row[0]): row[1:].reshape(4, 4) for row in read_rows(file, 17)}
    missing = [name for name in names if int(name) not in rows]
    if missing:
        text = f"{len(missing)} of {len(names)} frames have no pose, such as {missing[0]}; poses are not used"
        remedy = "Use a part of the drive in which the vehicle moves: poses are recorded there."
        return None, (InputWarning("missing_poses", text, str(file), remedy),)
    poses = np.array([rows[int(name)] for name in names]) @ camera_from_lidar
    return np.asarray(np.linalg.inv(poses[0]) @ poses), ()
