"""Plain folders of rectified images with a calibration in YAML.

    FOLDER/left, FOLDER/right    images, equal names on both sides
    FOLDER/calibration.yaml      see below; or left.yaml and right.yaml as ROS camera calibration writes them
    FOLDER/timestamps.txt        optional, one line a frame: seconds, or whole nanoseconds; without it file names that
                                 are nanoseconds count, and otherwise 10 Hz is assumed
    FOLDER/poses.txt             optional, one line a frame: 3x4 pose of the grid's frame in a fixed frame

An example of calibration.yaml:

    left:
      image_width: 1280
      image_height: 720
      projection_matrix: [700.0, 0, 640.0, 0,   0, 700.0, 360.0, 0,   0, 0, 1, 0]
    baseline: 0.12              # metres; or `right:` with its own projection_matrix; both may be names of YAML files
    grid_frame: base_link       # frame of the voxel grid
    grid_from_left:             # pose of the left optical frame (x right, y down, z forward) in the grid's frame
      translation: [0.3, 0.06, 1.2]
      rotation: [-0.5, 0.5, -0.5, 0.5]     # quaternion x, y, z, w; this one looks along x, level
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.sources.images import image_size
from occdepth_ros.sources.sequence import FileSequence, pair_images
from occdepth_ros.sources.tables import read_poses, read_text

PERIOD_NS = 100_000_000
"""Time between frames where none is known."""
LEVEL = (-0.5, 0.5, -0.5, 0.5)
"""Rotation of the optical frame of a level camera that looks along x, as a quaternion x, y, z, w."""
_NANOSECONDS = 10**14
"""A whole number above this is nanoseconds since 1970, not seconds."""


def is_folder(path: Path) -> bool:
    """Whether the folder has images by side."""
    return (path / "left").is_dir() or (path / "right").is_dir()


def open_folder(path: Path) -> FileSequence:
    """Open one folder.

    Raises:
        SourceError, ImageError, CalibrationError: as their texts say.
    """
    names, left, right = pair_images(path / "left", path / "right")
    rig, grid_frame = _rig(path, image_size(left[0]))
    poses_file = path / "poses.txt"
    poses = read_poses(poses_file) if poses_file.is_file() else None
    if poses is not None:
        _check_count(len(poses), names, poses_file)
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame=grid_frame,
        frames=names,
        left=left,
        right=right,
        stamps_ns=_stamps(path, names),
        poses=poses,
    )


def _rig(path: Path, size: tuple[int, int]) -> tuple[StereoRig, str]:
    file = path / "calibration.yaml"
    if file.is_file():
        entries = _yaml(file)
    elif (path / "left.yaml").is_file() and (path / "right.yaml").is_file():
        file, entries = path / "left.yaml", {"left": "left.yaml", "right": "right.yaml"}
    else:
        raise SourceError(
            "there is neither calibration.yaml nor left.yaml and right.yaml",
            where=str(path),
            remedy="Write one; `occdepth_ros/sources/folder.py` shows an example.",
        )
    try:
        left, where = _camera(entries, "left", file, size)
        if "right" in entries:
            right, _ = _camera(entries, "right", file, size)
        else:
            right = _shifted(left, _number(entries, "baseline", file), where)
        pose = _grid_from_left(entries.get("grid_from_left", {}), file)
        rig = StereoRig(left, right, np.eye(4)).referenced_to_left()
        return StereoRig(rig.left, rig.right, np.asarray(np.linalg.inv(pose))), str(
            entries.get("grid_frame", "velodyne")
        )
    except CalibrationError as error:
        if str(path) in error.where:
            raise
        raise CalibrationError(error.what, where=str(file), remedy=error.remedy) from error


def _yaml(file: Path) -> Mapping[str, Any]:
    try:
        entries = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f"{file}, line {line + 1}" if line is not None else str(file)
        raise CalibrationError("the file is not valid YAML", where=place) from error
    if not isinstance(entries, Mapping):
        raise CalibrationError("the file has no entries of the form `name: value`", where=str(file))
    return entries


def _camera(entries: Mapping[str, Any], side: str, file: Path, size: tuple[int, int]) -> tuple[PinholeCamera, Path]:
    """The camera of one side, and the file that describes it."""
    entry = entries.get(side)
    if isinstance(entry, str):
        file = file.parent / entry
        entry = _yaml(file)
    if not isinstance(entry, Mapping):
        raise CalibrationError(f"the entry {side} is missing", where=str(file), remedy="Give its projection_matrix.")
    given = tuple(entry.get(name, wanted) for name, wanted in zip(("image_width", "image_height"), size, strict=True))
    if given != size:
        raise CalibrationError(
            f"{side} is for {given[0]}x{given[1]} pixels, the images have {size[0]}x{size[1]}",
            where=str(file),
            remedy="Use the calibration of this resolution.",
        )
    matrix = entry.get("projection_matrix")
    numbers = _numbers(
        matrix.get("data") if isinstance(matrix, Mapping) else matrix, 12, f"{side}: projection_matrix", file
    )
    return PinholeCamera(numbers.reshape(3, 4), *size), file


def _shifted(left: PinholeCamera, baseline: float, file: Path) -> PinholeCamera:
    """The right camera of a rig without a projection of its own."""
    if baseline <= 0:
        raise CalibrationError(f"the baseline {baseline} m is not positive", where=str(file))
    projection = np.array(left.projection)
    projection[0, 3] -= projection[0, 0] * baseline
    return PinholeCamera(projection, left.width, left.height)


def _grid_from_left(entry: object, file: Path) -> Matrix:
    """Pose of the left optical frame in the grid's frame, `[4, 4]`."""
    if not isinstance(entry, Mapping):
        raise CalibrationError("grid_from_left has no translation and rotation", where=str(file))
    translation = _numbers(entry.get("translation", (0, 0, 0)), 3, "grid_from_left: translation", file)
    x, y, z, w = quaternion = _numbers(entry.get("rotation", LEVEL), 4, "grid_from_left: rotation", file)
    if abs(float(np.linalg.norm(quaternion)) - 1) > 1e-2:
        raise CalibrationError("the quaternion of grid_from_left has not length 1", where=str(file))
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = translation
    return pose


def _numbers(value: object, count: int, name: str, file: Path) -> Matrix:
    try:
        numbers = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.size != count or not np.isfinite(numbers).all():
        raise CalibrationError(f"{name} is missing or not {count} finite numbers", where=str(file))
    return numbers


def _number(entries: Mapping[str, Any], name: str, file: Path) -> float:
    if name not in entries:
        raise CalibrationError(
            f"there is neither right nor {name}",
            where=str(file),
            remedy="Give the right camera, or the baseline in metres.",
        )
    return float(_numbers([entries[name]], 1, name, file)[0])


def _stamps(path: Path, names: list[str]) -> npt.NDArray[np.int64]:
    file = path / "timestamps.txt"
    if not file.is_file():
        if all(name.isdecimal() and _NANOSECONDS < int(name) < 2**63 for name in names):
            return np.array([int(name) for name in names], np.int64)
        return np.arange(len(names), dtype=np.int64) * PERIOD_NS
    stamps = [
        _stamp(line.strip(), f"{file}, line {n}")
        for n, line in enumerate(read_text(file).splitlines(), 1)
        if line.strip()
    ]
    _check_count(len(stamps), names, file)
    return np.array(stamps, np.int64)


def _stamp(word: str, where: str) -> int:
    """Nanoseconds of a time in seconds, or in whole nanoseconds."""
    try:
        if word.isdecimal() and _NANOSECONDS < int(word) < 2**63:
            return int(word)
        seconds = float(word)
        if abs(seconds) < 9e9:
            return round(seconds * 1e9)
    except ValueError:
        pass
    raise SourceError(f"{word!r} is no time in seconds or nanoseconds", where=where)


def _check_count(count: int, names: list[str], file: Path) -> None:
    if count != len(names):
        raise SourceError(
            f"there are {count} lines for {len(names)} frames", where=str(file), remedy="Give one line a frame."
        )
