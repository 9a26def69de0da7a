"""Calibration files of plain folders: own YAML, ROS camera calibration, OpenCV FileStorage, Kalibr.

The following files are searched in this order, in the folder with `left` and `right`:

    calibration.yaml                     see `folder`, or matrices of OpenCV
    left.yaml and right.yaml             CameraInfo files of the ROS calibrator; also left/ost.yaml and right/ost.yaml
    calibrationdata.tar.gz               the calibrator's archive with left.yaml and right.yaml; also *.tgz, *.tar
    *camchain*.yaml                      Kalibr: cam0 is the left, cam1 the right camera
    *.yml, *.yaml, *.xml                 OpenCV: P1 and P2 with M1, D1, R1, ...; or M1, D1, M2, D2, R, T; or LEFT.P, ...
    ost.txt                              the calibrator's text with both cameras; also left/ost.txt and right/ost.txt
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.sources.layouts.calibration_text import read_opencv_xml, read_ost
from occdepth_ros.sources.layouts.calibration_yaml import numbers_of, parse_yaml, read_yaml
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration
from occdepth_ros.stereo.calibration.pair_rectification import RawCamera, rectified_pair
from occdepth_ros.stereo.calibration.rectification import Kind

Pair = tuple[CameraCalibration, CameraCalibration]
_CAMERA_FILES = tuple(
    (f"left{middle}{suffix}", f"right{middle}{suffix}")
    for middle in ("", "/ost", "/camera_info", "/calibration")
    for suffix in (".yaml", ".yml")
)
_MAX_MEMBER = 1 << 20
SIDES = ("left", "right")


@dataclass(frozen=True)
class FolderCalibration:
    """Calibration of a folder.

    Args:
        cameras: left and right camera.
        entries: other entries of calibration.yaml; empty for other files.
        where: the file.
        stated: kind of the images that the file states; None = not stated.
    """

    cameras: Pair
    entries: Mapping[str, Any]
    where: Path
    stated: Kind | None = None


def read_folder_calibration(path: Path) -> FolderCalibration:
    """Find and read the calibration of a folder.

    Raises:
        SourceError: the calibration is missing or incomplete; the text names the missing file.
        CalibrationError: a file is malformed.
    """
    for name in ("calibration.yaml", "calibration.yml"):
        if (path / name).is_file():
            return _own(path / name)
    for names in _CAMERA_FILES:
        files = [path / name for name in names]
        if all(file.is_file() for file in files):
            left, right = (
                _camera(read_yaml(file), side, file) for file, side in zip(files, ("left", "right"), strict=True)
            )
            return FolderCalibration((left, right), {}, files[0])
    for archive in sorted(file for suffix in ("*.tar.gz", "*.tgz", "*.tar") for file in path.glob(suffix)):
        cameras = _archive(archive)
        if cameras is not None:
            return FolderCalibration(cameras, {}, archive)
    return _other_yaml(path)


def _own(file: Path) -> FolderCalibration:
    entries = read_yaml(file)
    if "left" not in entries:
        cameras = _kalibr(entries, file) or _opencv(entries, file)
        if cameras is not None:
            return FolderCalibration(cameras, entries, file)
    left = _side(entries, "left", file)
    right = _side(entries, "right", file) if "right" in entries else _shifted(left, _baseline(entries, file))
    rectified = entries.get("rectified", True)
    if not isinstance(rectified, bool):
        raise CalibrationError(f"rectified is {rectified!r}, not true or false", where=str(file))
    return FolderCalibration((left, right), entries, file, Kind.RECTIFIED if rectified else Kind.RAW)


def _side(entries: Mapping[str, Any], side: str, file: Path) -> CameraCalibration:
    """Return the camera of one side: an entry, or the name of a file."""
    entry = entries.get(side)
    if isinstance(entry, str):
        file = file.parent / entry
        entry = read_yaml(file)
    if not isinstance(entry, Mapping):
        raise CalibrationError(f"the entry {side} is missing", where=str(file), remedy="Give its projection_matrix.")
    return _camera(entry, side, file)


def _camera(entry: Mapping[str, Any], side: str, file: Path | str) -> CameraCalibration:
    """Return a camera in the entries of a CameraInfo file; K, D and R may be absent for rectified images."""

    def matrix(name: str, rows: int, columns: int, default: Matrix) -> Matrix:
        value = entry.get(name)
        return (
            default
            if value is None
            else numbers_of(value, rows * columns, f"{side}: {name}", file).reshape(rows, columns)
        )

    p = numbers_of(entry.get("projection_matrix"), 12, f"{side}: projection_matrix", file).reshape(3, 4)
    coefficients = entry.get("distortion_coefficients")
    data = coefficients.get("data", ()) if isinstance(coefficients, Mapping) else coefficients or ()
    size = [numbers_of([entry.get(name, 0)], 1, f"{side}: {name}", file)[0] for name in ("image_width", "image_height")]
    return CameraCalibration(
        size=(int(size[0]), int(size[1])),
        k=matrix("camera_matrix", 3, 3, p[:, :3]),
        d=tuple(float(value) for value in data),
        r=matrix("rectification_matrix", 3, 3, np.eye(3)),
        p=p,
        distortion_model=str(entry.get("distortion_model", "")),
        where=str(file),
    )


def _baseline(entries: Mapping[str, Any], file: Path) -> float:
    if "baseline" not in entries:
        raise CalibrationError(
            "there is neither right nor baseline",
            where=str(file),
            remedy="Give the right camera, or the baseline in metres.",
        )
    baseline = float(numbers_of([entries["baseline"]], 1, "baseline", file)[0])
    if baseline <= 0:
        raise CalibrationError(f"the baseline {baseline} m is not positive", where=str(file))
    return baseline


def _shifted(left: CameraCalibration, baseline: float) -> CameraCalibration:
    """Return the right camera of a rig without a separate projection."""
    p = np.array(left.p)
    p[0, 3] -= p[0, 0] * baseline
    return CameraCalibration(left.size, left.k, left.d, left.r, p, left.distortion_model, where=left.where)


def _archive(archive: Path) -> Pair | None:
    """Return the cameras in an archive of the ROS calibrator; None if it lacks left.yaml or right.yaml."""
    try:
        with tarfile.open(archive) as members:
            texts = {}
            for member in members:
                name = member.name.rpartition("/")[2]
                if name in ("left.yaml", "right.yaml") and member.isfile() and member.size <= _MAX_MEMBER:
                    content = members.extractfile(member)
                    texts[name] = content.read().decode("utf-8-sig") if content else ""
    except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError) as error:
        raise SourceError(
            f"the archive cannot be read ({error})", where=str(archive), remedy="Copy it again."
        ) from error
    if len(texts) < 2:
        return None
    left, right = (
        _camera(parse_yaml(texts[f"{side}.yaml"], f"{archive}, {side}.yaml"), side, f"{archive}, {side}.yaml")
        for side in SIDES
    )
    return left, right


def _other_yaml(path: Path) -> FolderCalibration:
    """Read Kalibr's camera chain, OpenCV's matrices in one or several files, or ost.txt; otherwise return the error."""
    files = sorted(file for suffix in ("*.yaml", "*.yml", "*.xml") for file in path.glob(suffix))
    merged: dict[str, Any] = {}
    for file in sorted(files, key=lambda file: "camchain" not in file.name):
        entries = read_opencv_xml(file) if file.suffix == ".xml" else read_yaml(file)
        cameras = _kalibr(entries, file)
        if cameras is not None:
            return FolderCalibration(cameras, {}, file)
        merged = {**entries, **merged}
    cameras = _opencv(merged, files[0]) if files else None
    if cameras is not None:
        return FolderCalibration(cameras, {}, files[0])
    if (found := _ost(path)) is not None:
        return found
    raise SourceError(
        f"there is neither calibration.yaml nor left.yaml and right.yaml{_found(path, files)}",
        where=str(path),
        remedy="Write calibration.yaml with `left` (image size, projection_matrix) and `baseline`; docs/recordings.md "
        "has an example.",
    )


def _ost(path: Path) -> FolderCalibration | None:
    """Return the cameras of ost.txt, or of left/ost.txt and right/ost.txt; None if a camera is missing."""
    both = path / "ost.txt"
    if both.is_file():
        files = [both, both]
        found = read_ost(both)
    else:
        files = [path / side / "ost.txt" for side in SIDES]
        if not all(file.is_file() for file in files):
            return None
        # each file has one camera of any name
        found = {side: next(iter(read_ost(file).values()), {}) for side, file in zip(SIDES, files, strict=True)}
    if not all(found.get(side) for side in SIDES):
        return None
    left, right = (_camera(found[side], side, file) for side, file in zip(SIDES, files, strict=True))
    return FolderCalibration((left, right), {}, files[0])


def _found(path: Path, files: Sequence[Path]) -> str:
    """Describe the files that were found instead, for the error."""
    names = [file.name for file in files]
    for side, other in (("left", "right"), ("right", "left")):
        if f"{side}.yaml" in names:
            return f": {side}.yaml is there, {other}.yaml is missing"
    if "ost.yaml" in names:
        return ": ost.yaml is the calibration of one camera, a stereo calibration writes left.yaml and right.yaml"
    if (path / "ost.txt").is_file():
        return ": ost.txt is the calibration of one camera, a stereo calibration writes sections left and right"
    required = "P1 and P2, or M1, D1, M2, D2, R, T, image_width and image_height"
    return f": {', '.join(names)} without {required}" if names else ""


_OPENCV_NAMES = {
    "K": ("M{n}", "K{n}", "cameraMatrix{n}", "camera_matrix_{n}", "camera_matrix{n}", "{side}.K"),
    "D": ("D{n}", "distCoeffs{n}", "distortion_coefficients_{n}", "distCoeff{n}", "{side}.D"),
    "R": ("R{n}", "{side}.R"),
    "P": ("P{n}", "{side}.P"),
}


def _opencv(entries: Mapping[str, Any], file: Path) -> Pair | None:
    """Return the cameras under the names that OpenCV's samples and ORB-SLAM use; None if entries are missing."""

    def value(name: str, index: int) -> Any:
        side = ("LEFT", "RIGHT")[index]
        names = [pattern.format(n=index + 1, side=side) for pattern in _OPENCV_NAMES[name]]
        return next((entries[known] for known in names if known in entries), None)

    def coefficients(index: int) -> tuple[float, ...]:
        given = value("D", index)
        data = given.get("data", ()) if isinstance(given, Mapping) else given or ()
        return tuple(float(number) for number in np.asarray(data, np.float64).ravel())

    size = (int(entries.get("image_width", 0) or 0), int(entries.get("image_height", 0) or 0))
    ks = [value("K", index) for index in (0, 1)]
    cameras = []
    for index in (0, 1):
        projection, where = value("P", index), f"{file}, camera {index + 1}"
        if projection is None:
            break
        p = numbers_of(projection, 12, "P", where).reshape(3, 4)
        k = p[:, :3] if ks[index] is None else numbers_of(ks[index], 9, "K", where).reshape(3, 3)
        rotation = value("R", index)
        r = np.eye(3) if rotation is None else numbers_of(rotation, 9, "R", where).reshape(3, 3)
        d = coefficients(index)
        cameras.append(CameraCalibration(size, k, d, r, p, "plumb_bob" if d else "", where=str(file)))
    if len(cameras) == 2:
        return cameras[0], cameras[1]
    if ks[0] is None or ks[1] is None or "R" not in entries or "T" not in entries or 0 in size:
        return None
    raw = [
        RawCamera(size, numbers_of(ks[i], 9, f"M{i + 1}", file).reshape(3, 3), coefficients(i), "plumb_bob", str(file))
        for i in (0, 1)
    ]
    pose = np.eye(4)
    pose[:3, :3] = numbers_of(entries["R"], 9, "R", file).reshape(3, 3)
    pose[:3, 3] = numbers_of(entries["T"], 3, "T", file)
    return rectified_pair(raw[0], raw[1], pose)


def _kalibr(entries: Mapping[str, Any], file: Path) -> Pair | None:
    """Return the cameras of Kalibr's camera chain; None if the file is not one."""
    left, right = entries.get("cam0"), entries.get("cam1")
    if not isinstance(left, Mapping) or not isinstance(right, Mapping) or "T_cn_cnm1" not in right:
        return None
    raw = []
    for entry in (left, right):
        if entry.get("camera_model", "pinhole") != "pinhole":
            raise CalibrationError(
                f"the camera model {entry['camera_model']!r} is not supported",
                where=str(file),
                remedy="Calibrate with the models pinhole-radtan or pinhole-equi.",
            )
        fx, fy, cx, cy = numbers_of(entry.get("intrinsics"), 4, "intrinsics", file)
        width, height = numbers_of(entry.get("resolution"), 2, "resolution", file)
        d = tuple(float(value) for value in entry.get("distortion_coeffs", ()))
        k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        raw.append(RawCamera((int(width), int(height)), k, d, str(entry.get("distortion_model", "")), str(file)))
    return rectified_pair(raw[0], raw[1], numbers_of(right["T_cn_cnm1"], 16, "T_cn_cnm1", file).reshape(4, 4))
