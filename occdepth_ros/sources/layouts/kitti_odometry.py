"""KITTI odometry sequences, and SemanticKITTI folders, which have the same layout.

SS/calib.txt             P0..P3 and Tr, rows of twelve numbers (Tr: LiDAR to camera 0)
SS/image_2, SS/image_3   colour left and right; or image_0, image_1 (grey)
SS/times.txt             seconds, optional (without: frame numbers at 10 Hz)
SS/poses.txt             or ../../poses/SS.txt: poses of camera 0 in the first camera 0, optional; SS may be a link
SS/voxels/               ground truth, optional
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.sources.base import SourceDescription
from occdepth_ros.sources.ground_truth import read_ground_truth
from occdepth_ros.sources.layouts.kitti_correction import corrected
from occdepth_ros.sources.layouts.links import relative_file
from occdepth_ros.sources.readable import first_readable_pair
from occdepth_ros.sources.sequence import FileSequence, pair_images, rows_of_frames, stamps_of_frames
from occdepth_ros.sources.tables import read_calibration, read_poses, read_times

CAMERAS = (("image_2", "image_3", "P2", "P3"), ("image_0", "image_1", "P0", "P1"))
_REMEDIES = {
    "Tr": "The copy of calib.txt in the archive of colour images lacks Tr: use the file of the calibration archive.",
    "P": "calib.txt has P0 to P3 of all cameras: extract data_odometry_calib.zip again.",
}


def is_kitti_odometry(path: Path) -> bool:
    """Return whether the folder looks like a sequence."""
    return any((path / folder).is_dir() for pair in CAMERAS for folder in pair[:2])


def open_kitti_odometry(path: Path) -> FileSequence:
    """Open one sequence folder; the grid's frame is the LiDAR's, `velodyne`.

    Raises:
        SourceError, ImageError, CalibrationError: a file is missing, damaged or inconsistent.
    """
    left_folder, right_folder, left_key, right_key = next(
        (pair for pair in CAMERAS if (path / pair[0]).is_dir()), CAMERAS[0]
    )
    images = pair_images(path / left_folder, path / right_folder)
    calibration_file = path / "calib.txt"
    if not calibration_file.is_file():
        raise SourceError(
            "calib.txt is missing",
            where=str(path),
            remedy="Extract the calibration archive of the odometry data set (with P0 to P3 and Tr) into it.",
        )
    first, _, (width, height) = first_readable_pair(images.left, images.right)
    try:
        entries = read_calibration(calibration_file)
        _check_entries(entries, (left_key, right_key, "Tr"))
        rig = StereoRig.from_kitti(entries, width, height, left=left_key, right=right_key)
        rig = corrected(rig) if left_key == "P2" else rig
    except CalibrationError as error:
        raise CalibrationError(error.what, where=str(calibration_file), remedy=error.remedy) from error
    check_size_fits(rig, first, calibration_file)
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame="velodyne",
        images=images,
        stamps_ns=stamps_of_frames(read_times, images.frames, path / "times.txt"),
        poses=_poses(path, images.frames, rig),
        find_ground_truth=lambda frame: read_ground_truth(path / "voxels", frame),
        description=SourceDescription(pose=str(calibration_file)),
    )


def _check_entries(entries: Mapping[str, npt.NDArray[np.float64]], keys: tuple[str, ...]) -> None:
    """Report the missing entries, each with its own remedy.

    Raises:
        CalibrationError: an entry is missing or malformed.
    """
    for key in keys:
        if key in entries and entries[key].size != 12:
            raise CalibrationError(f"the entry {key} has {entries[key].size} numbers, not 12", where="calib.txt")
    missing = [key for key in keys if key not in entries]
    if missing:
        remedies = dict.fromkeys(_REMEDIES["Tr" if key == "Tr" else "P"] for key in missing)
        are = "are" if len(missing) > 1 else "is"
        raise CalibrationError(f"{' and '.join(missing)} {are} missing", where="calib.txt", remedy=" ".join(remedies))


def check_size_fits(rig: StereoRig, image: Path, calibration: Path) -> None:
    """Refuse an image whose size does not match the calibration, which does not contain the size.

    The principal point of the rectified KITTI cameras is within 2 % of the width from the image centre.

    Raises:
        CalibrationError: the principal point is far from the image centre.
    """
    camera = rig.left
    cx, cy = camera.projection[:2, 2]
    if not (0.35 < (cx + 0.5) / camera.width < 0.65 and 0.3 < (cy + 0.5) / camera.height < 0.7):
        raise CalibrationError(
            f"the principal point ({cx:.1f}, {cy:.1f}) is far from the centre of a {camera.width}x{camera.height} "
            f"image such as {image.name}: the images were resized, or the calibration is another sequence's",
            where=str(calibration),
            remedy="Use the original images, or scale P0 to P3 with them.",
        )


def poses_file(path: Path) -> Path | None:
    """Return the file of a sequence's poses: in its folder, or in the folder `poses` of the data set."""
    return relative_file(path, "poses.txt") or relative_file(path, "../../poses/{name}.txt")


def _poses(path: Path, names: list[str], rig: StereoRig) -> npt.NDArray[np.float64] | None:
    """Return the LiDAR poses in the first LiDAR frame, `[N, 4, 4]`: inv(Tr) pose Tr."""
    file = poses_file(path)
    if file is None:
        return None
    camera_poses = rows_of_frames(read_poses(file), names, file)
    camera_from_lidar = rig.reference_from_grid
    return np.asarray(np.linalg.inv(camera_from_lidar) @ camera_poses @ camera_from_lidar)
