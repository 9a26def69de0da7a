"""Drives of the KITTI raw data set, synchronised and rectified.

DATE/calib_cam_to_cam.txt             P_rect_0x, R_rect_00, S_rect_0x
DATE/calib_velo_to_cam.txt            R, T: LiDAR to camera 0
DATE/calib_imu_to_velo.txt            R, T: IMU to LiDAR, for the poses
DATE/DRIVE/image_02, image_03         data/ and timestamps.txt; or image_00, image_01 (grey)
DATE/DRIVE/oxts/data                  GPS/IMU records, optional; DRIVE may be a link
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import SourceError
from occdepth_ros.sources.base import SourceDescription
from occdepth_ros.sources.layouts.kitti_correction import corrected
from occdepth_ros.sources.layouts.kitti_rig import RectifiedCameras, entry
from occdepth_ros.sources.layouts.links import relative_file
from occdepth_ros.sources.layouts.oxts import read_oxts
from occdepth_ros.sources.readable import first_readable_pair
from occdepth_ros.sources.sequence import FileSequence, pair_images, rows_of_frames
from occdepth_ros.sources.tables import read_calibration, read_date_times

CAMERAS = (("02", "03"), ("00", "01"))
_ARCHIVE = "Extract the calibration archive of this date again."


def is_kitti_raw(path: Path) -> bool:
    """Return whether the folder looks like a drive."""
    return any((path / f"image_{number}").is_dir() for pair in CAMERAS for number in pair)


def open_kitti_raw(path: Path) -> FileSequence:
    """Open one drive; the grid's frame is the LiDAR's, `velodyne`.

    Raises:
        SourceError, ImageError, CalibrationError: a file is missing, damaged or inconsistent.
    """
    left_number, right_number = next((pair for pair in CAMERAS if (path / f"image_{pair[0]}").is_dir()), CAMERAS[0])
    images = pair_images(path / f"image_{left_number}/data", path / f"image_{right_number}/data")
    cameras = RectifiedCameras.read(
        _calibration(path, "calib_cam_to_cam.txt"),
        archive=_ARCHIVE,
        images="Use the drive's rectified images (sync) with the calibration of the same date.",
    )
    pose_file = _calibration(path, "calib_velo_to_cam.txt")
    size = first_readable_pair(images.left, images.right)[2]
    rig = cameras.rig((left_number, right_number), size, _rigid(pose_file))
    rig = corrected(rig) if left_number == "02" else rig
    stamps_file = path / f"image_{left_number}" / "timestamps.txt"
    if not stamps_file.is_file():
        raise SourceError("timestamps.txt is missing", where=str(stamps_file.parent), remedy="Extract the drive again.")
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame="velodyne",
        images=images,
        stamps_ns=rows_of_frames(read_date_times(stamps_file), images.frames, stamps_file),
        poses=_poses(path, images.frames),
        description=SourceDescription(pose=str(pose_file)),
    )


def _calibration(path: Path, name: str) -> Path:
    """Return a calibration file of the date, next to the drive's link or next to its target."""
    file = relative_file(path, f"../{name}")
    if file is None:
        raise SourceError(
            f"{name} is missing",
            where=str(path.absolute().parent),
            remedy="Extract the calibration archive of this date next to the drive.",
        )
    return file


def _rigid(file: Path) -> Matrix:
    """Return the pose in a calibration file with R and T, `[4, 4]`."""
    entries = read_calibration(file)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = entry(entries, "R", (3, 3), file, _ARCHIVE), entry(entries, "T", (3,), file, _ARCHIVE)
    return pose


def _poses(path: Path, names: list[str]) -> npt.NDArray[np.float64] | None:
    """Return the LiDAR poses in the first LiDAR frame, `[N, 4, 4]`; None without GPS/IMU records."""
    folder = path / "oxts" / "data"
    if not folder.is_dir():
        return None
    lidar_from_imu = _rigid(_calibration(path, "calib_imu_to_velo.txt"))
    poses = read_oxts(folder, names) @ np.linalg.inv(lidar_from_imu)
    return np.asarray(np.linalg.inv(poses[0]) @ poses)
