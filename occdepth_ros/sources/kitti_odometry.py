"""KITTI odometry sequences, and SemanticKITTI folders, which share their layout.

SS/calib.txt             P0..P3 and Tr, rows of twelve numbers (Tr: LiDAR to camera 0)
SS/image_2, SS/image_3   colour left and right; or image_0, image_1 (grey)
SS/times.txt             seconds, optional (10 Hz without)
SS/poses.txt             or ../../poses/SS.txt: poses of camera 0 in the first camera 0, optional
SS/voxels/               ground truth, optional
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.sources.ground_truth import read_ground_truth
from occdepth_ros.sources.images import image_size
from occdepth_ros.sources.sequence import FileSequence, pair_images, rows_of_frames
from occdepth_ros.sources.tables import read_calibration, read_poses, read_times

CAMERAS = (("image_2", "image_3", "P2", "P3"), ("image_0", "image_1", "P0", "P1"))
PERIOD_NS = 100_000_000
"""Time between frames where none is recorded: the LiDAR of KITTI turns at 10 Hz."""


def is_kitti_odometry(path: Path) -> bool:
    """Whether the folder looks like a sequence."""
    return any((path / folder).is_dir() for pair in CAMERAS for folder in pair[:2])


def open_kitti_odometry(path: Path) -> FileSequence:
    """Open one sequence folder; the grid's frame is the LiDAR's, `velodyne`.

    Raises:
        SourceError, ImageError, CalibrationError: as their texts say.
    """
    left_folder, right_folder, left_key, right_key = next(
        (pair for pair in CAMERAS if (path / pair[0]).is_dir()), CAMERAS[0]
    )
    names, left, right = pair_images(path / left_folder, path / right_folder)
    calibration_file = path / "calib.txt"
    if not calibration_file.is_file():
        raise SourceError(
            "calib.txt is missing",
            where=str(path),
            remedy="Extract the calibration archive of the odometry data set (with P0 to P3 and Tr) into it.",
        )
    width, height = image_size(left[0])
    try:
        rig = StereoRig.from_kitti(read_calibration(calibration_file), width, height, left=left_key, right=right_key)
    except CalibrationError as error:
        raise CalibrationError(error.what, where=str(calibration_file), remedy=error.remedy) from error
    check_size_fits(rig, left[0], calibration_file)
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame="velodyne",
        frames=names,
        left=left,
        right=right,
        stamps_ns=_stamps(path, names),
        poses=_poses(path, names, rig),
        find_ground_truth=lambda frame: read_ground_truth(path / "voxels", frame),
    )


def check_size_fits(rig: StereoRig, image: Path, calibration: Path) -> None:
    """Refuse an image whose size cannot belong to the calibration: a KITTI odometry calibration has no size in it.

    The optical axis of a rectified KITTI camera passes near the middle of the image (within 2 % of the width).

    Raises:
        CalibrationError: the principal point is far from the middle.
    """
    camera = rig.left
    cx, cy = camera.projection[:2, 2]
    if not (0.35 < (cx + 0.5) / camera.width < 0.65 and 0.3 < (cy + 0.5) / camera.height < 0.7):
        raise CalibrationError(
            f"the principal point ({cx:.1f}, {cy:.1f}) is far from the middle of a {camera.width}x{camera.height} "
            f"image such as {image.name}: the images were resized, or the calibration is another sequence's",
            where=str(calibration),
            remedy="Use the original images, or scale P0 to P3 with them.",
        )


def _stamps(path: Path, names: list[str]) -> npt.NDArray[np.int64]:
    file = path / "times.txt"
    if not file.is_file():
        return np.arange(len(names), dtype=np.int64) * PERIOD_NS
    return np.asarray(rows_of_frames(read_times(file), names, file), np.int64)


def _poses(path: Path, names: list[str], rig: StereoRig) -> npt.NDArray[np.float64] | None:
    """LiDAR poses in the first LiDAR frame, `[N, 4, 4]`: inv(Tr) pose Tr."""
    resolved = path.resolve()
    candidates = (path / "poses.txt", resolved.parent.parent / "poses" / f"{resolved.name}.txt")
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        return None
    camera_poses = np.asarray(rows_of_frames(read_poses(file), names, file), np.float64)
    camera_from_lidar = rig.reference_from_grid
    return np.asarray(np.linalg.inv(camera_from_lidar) @ camera_poses @ camera_from_lidar)
