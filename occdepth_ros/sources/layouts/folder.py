"""Plain folders of images with a calibration.

    FOLDER/left, FOLDER/right    images, equal names on both sides
    FOLDER/calibration.yaml      see below; or one of the files that `folder_calibration` lists
    FOLDER/timestamps.txt        optional, one line per frame: seconds, or whole nanoseconds; without it, file names
                                 that are Unix times are used, and otherwise frame numbers at 10 Hz
    FOLDER/poses.txt             optional, one line per frame: 3x4 pose of the grid's frame in a fixed frame

An example of calibration.yaml:

    left:
      image_width: 1280
      image_height: 720
      projection_matrix: [700.0, 0, 640.0, 0,   0, 700.0, 360.0, 0,   0, 0, 1, 0]
    baseline: 0.12              # metres; or `right:` with its own projection_matrix; both may be names of YAML files
    rectified: true             # false: raw images, with camera_matrix, distortion_coefficients, rectification_matrix
    grid_frame: base_link       # frame of the voxel grid
    grid_from_left:             # pose of the left optical frame (x right, y down, z forward) in the grid's frame
      translation: [0.3, 0.06, 1.2]
      rotation: [-0.5, 0.5, -0.5, 0.5]     # quaternion x, y, z, w; this one looks along x, level
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning, SourceError
from occdepth_ros.rotation import from_quaternion
from occdepth_ros.sources.base import SourceDescription
from occdepth_ros.sources.frame_names import assumed_stamps
from occdepth_ros.sources.images import Size, read_image
from occdepth_ros.sources.layouts.calibration_yaml import numbers_of
from occdepth_ros.sources.layouts.folder_calibration import read_folder_calibration
from occdepth_ros.sources.readable import first_readable_pair
from occdepth_ros.sources.sequence import FileSequence, pair_images
from occdepth_ros.sources.tables import read_poses, read_text
from occdepth_ros.stereo.calibration.rectification import Kind, Rectifier, decide

_Rectifiers = tuple[Rectifier, Rectifier] | None

LEVEL = (-0.5, 0.5, -0.5, 0.5)
"""Rotation of the optical frame of a level camera with its optical axis along x: quaternion x, y, z, w."""
_NANOSECONDS = 10**14
"""Integers above this value are nanoseconds since 1970, not seconds."""


def is_folder(path: Path) -> bool:
    """Return whether the folder has a folder of left or of right images."""
    return (path / "left").is_dir() or (path / "right").is_dir()


def open_folder(path: Path) -> FileSequence:
    """Open one folder.

    Raises:
        SourceError, ImageError, CalibrationError: a file is missing, damaged or inconsistent.
    """
    images = pair_images(path / "left", path / "right")
    rig, grid_frame, rectifiers, description = _rig(path, *first_readable_pair(images.left, images.right))
    poses_file = path / "poses.txt"
    poses = read_poses(poses_file) if poses_file.is_file() else None
    if poses is not None:
        _check_count(len(poses), images.frames, poses_file)
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame=grid_frame,
        images=images,
        stamps_ns=_stamps(path, images.frames),
        poses=poses,
        rectifiers=rectifiers,
        description=description,
    )


def _rig(path: Path, left: Path, right: Path, size: Size) -> tuple[StereoRig, str, _Rectifiers, SourceDescription]:
    """Return rig, grid frame, and rectifiers of raw images; the first pair decides whether images are raw."""
    calibration = read_folder_calibration(path)
    file = calibration.where
    try:
        adapted = [info.for_image(*size) for info in calibration.cameras]
        images = (read_image(left, size)[0], read_image(right, size)[0])
        names = (str(left.parent), str(right.parent))
        decision = decide(calibration.cameras, images, names, calibration.stated)
        rectifiers = None
        if decision.kind is Kind.RAW:
            first, second = (Rectifier(info, at) for info, at in zip(calibration.cameras, adapted, strict=True))
            rectifiers = (first, second)
        pose = _grid_from_left(calibration.entries.get("grid_from_left", {}), file)
        rig = StereoRig(adapted[0].camera, adapted[1].camera, np.eye(4)).referenced_to_left()
        rig = StereoRig(rig.left, rig.right, np.asarray(np.linalg.inv(pose)))
    except CalibrationError as error:
        if str(path) in error.where:
            raise
        raise CalibrationError(error.what, where=str(file), remedy=error.remedy) from error
    warnings = list(decision.warnings)
    if "grid_from_left" not in calibration.entries:
        known = ", ".join(map(str, calibration.entries))
        found = f" (entries: {known})" if known else ""
        text = f"grid_from_left is missing{found}: a level camera at the origin of the grid's frame is assumed"
        warnings.append(InputWarning("no_pose", text, str(file), "Add grid_from_left to calibration.yaml."))
    if not decision.conclusive and calibration.stated is None:
        warnings.append(
            InputWarning(
                "raw_or_rectified",
                f"the images do not show whether they are raw or rectified; they are used as {decision.kind.value} "
                f"({decision.reason})",
                str(path),
                "State `rectified: true` or `rectified: false` in a calibration.yaml with `left: left.yaml` and "
                "`right: right.yaml`.",
            )
        )
    description = SourceDescription(
        images=f"{left.parent} and {right.parent}, {decision.kind.value} ({decision.reason})",
        pose=f"grid_from_left in {file.name}" if "grid_from_left" in calibration.entries else "assumed level",
        warnings=(*(warning for at in adapted for warning in at.warnings), *warnings),
    )
    return rig, str(calibration.entries.get("grid_frame", "velodyne")), rectifiers, description


def _grid_from_left(entry: object, file: Path) -> Matrix:
    """Return the pose of the left optical frame in the grid's frame, `[4, 4]`."""
    if not isinstance(entry, Mapping):
        raise CalibrationError("grid_from_left has no translation and rotation", where=str(file))
    translation = numbers_of(entry.get("translation", (0, 0, 0)), 3, "grid_from_left: translation", file)
    quaternion = numbers_of(entry.get("rotation", LEVEL), 4, "grid_from_left: rotation", file)
    if abs(float(np.linalg.norm(quaternion)) - 1) > 1e-2:
        raise CalibrationError("the quaternion of grid_from_left does not have length 1", where=str(file))
    pose = np.eye(4)
    pose[:3, :3] = from_quaternion(quaternion)
    pose[:3, 3] = translation
    return pose


def _stamps(path: Path, names: list[str]) -> npt.NDArray[np.int64]:
    file = path / "timestamps.txt"
    if not file.is_file():
        return assumed_stamps(names)
    stamps = [
        _stamp(line.strip(), f"{file}, line {n}")
        for n, line in enumerate(read_text(file).splitlines(), 1)
        if line.strip()
    ]
    _check_count(len(stamps), names, file)
    return np.array(stamps, np.int64)


def _stamp(word: str, where: str) -> int:
    """Convert a time in seconds, or in integer nanoseconds, to nanoseconds."""
    try:
        if word.isdecimal() and _NANOSECONDS < int(word) < 2**63:
            return int(word)
        seconds = float(word)
        if abs(seconds) < 9e9:
            return round(seconds * 1e9)
    except ValueError:
        pass
    raise SourceError(f"{word!r} is not a time in seconds or nanoseconds", where=where)


def _check_count(count: int, names: list[str], file: Path) -> None:
    if count != len(names):
        raise SourceError(
            f"there are {count} lines for {len(names)} frames", where=str(file), remedy="Write one line per frame."
        )
