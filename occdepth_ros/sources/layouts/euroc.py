"""Sequences in the ASL format of EuRoC MAV (Burri et al., IJRR 2016) and TUM VI: raw images, rectified on reading.

SEQUENCE/mav0/cam0, cam1     data/NANOSECONDS.png and sensor.yaml; SEQUENCE/mav0 itself may also be given
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning, SourceError
from occdepth_ros.sources.base import SourceDescription
from occdepth_ros.sources.frame_names import frame_order, stamps_of_names
from occdepth_ros.sources.images import list_images
from occdepth_ros.sources.layouts.calibration_yaml import numbers_of, read_yaml
from occdepth_ros.sources.pairing import pair_stamps
from occdepth_ros.sources.readable import first_readable_pair
from occdepth_ros.sources.sequence import FileSequence, PairedImages
from occdepth_ros.stereo.calibration.extrinsics_checks import OPTICAL_FROM_BODY
from occdepth_ros.stereo.calibration.pair_rectification import RawCamera, rectified_pair
from occdepth_ros.stereo.calibration.rectification import Rectifier

CAMERAS = ("cam0", "cam1")


def _base(path: Path) -> Path:
    return path / "mav0" if (path / "mav0").is_dir() else path


def is_euroc(path: Path) -> bool:
    """Return whether the folder has cameras in the ASL format."""
    return any((_base(path) / camera / "data").is_dir() for camera in CAMERAS)


def open_euroc(path: Path) -> FileSequence:
    """Open one sequence; the grid's frame is level at the left camera, because ASL does not define the body's axes.

    Raises:
        SourceError: a camera or its sensor.yaml is missing, or no images have stamps in common.
        ImageError: an image is damaged.
        CalibrationError: a calibration cannot be used.
    """
    base = _base(path)
    left, right = (_images(base / camera) for camera in CAMERAS)
    names = [frame_order(images) for images in (left, right)]
    stamps = [stamps_of_names(side) for side in names]
    if stamps[0] is None or stamps[1] is None:
        raise SourceError(
            f"the images are not named by nanoseconds, such as {names[0][0]}",
            where=str(base),
            remedy="Keep the names of the data set: NANOSECONDS.png.",
        )
    pairing = pair_stamps(stamps[0], stamps[1])
    if not pairing.pairs:
        raise SourceError("no images of cam0 and cam1 have the same time", where=str(base), remedy="Copy them again.")
    files = [[images[names[side][pair[side]]] for pair in pairing.pairs] for side, images in enumerate((left, right))]
    size = first_readable_pair(files[0], files[1])[2]
    sensors = [_sensor(base / camera) for camera in CAMERAS]
    entries = [read_yaml(sensor) for sensor in sensors]
    cameras = [_camera(entry, sensor) for entry, sensor in zip(entries, sensors, strict=True)]
    body_from_left, body_from_right = (
        numbers_of(entry.get("T_BS"), 16, "T_BS", sensor).reshape(4, 4)
        for entry, sensor in zip(entries, sensors, strict=True)
    )
    infos = rectified_pair(cameras[0], cameras[1], np.linalg.inv(body_from_right) @ body_from_left)
    adapted = [info.for_image(*size) for info in infos]
    rig = StereoRig(adapted[0].camera, adapted[1].camera, OPTICAL_FROM_BODY)
    warnings = [
        InputWarning(
            "assumed_pose",
            "T_BS states the cameras' pose in the body frame only, whose axes the format does not define: a level left "
            "camera is assumed",
            str(base / "cam0/sensor.yaml"),
            "Convert the sequence to a folder with calibration.yaml to state grid_from_left.",
        ),
        *pairing.warnings(str(base)),
    ]
    return FileSequence(
        name=str(path),
        rig=rig,
        grid_frame="base_link",
        images=PairedImages([names[0][i] for i, _ in pairing.pairs], files[0], files[1]),
        stamps_ns=stamps[0][[i for i, _ in pairing.pairs]],
        rectifiers=(Rectifier(infos[0], adapted[0]), Rectifier(infos[1], adapted[1])),
        description=SourceDescription(
            images=f"{base / 'cam0'} and {base / 'cam1'}, rectified", pose="assumed level", warnings=tuple(warnings)
        ),
    )


def _images(camera: Path) -> dict[str, Path]:
    folder = camera / "data"
    images = list_images(folder) if folder.is_dir() else {}
    if not images:
        raise SourceError(
            "there are no images", where=str(folder), remedy="Copy or extract both cameras, cam0 and cam1."
        )
    return images


def _sensor(camera: Path) -> Path:
    file = camera / "sensor.yaml"
    if not file.is_file():
        raise SourceError(
            "sensor.yaml is missing",
            where=str(camera),
            remedy="Copy this file, too: it contains the calibration of the camera.",
        )
    return file


def _camera(entry: Mapping[str, Any], file: Path) -> RawCamera:
    model = str(entry.get("camera_model", "pinhole"))
    if model != "pinhole":
        raise CalibrationError(
            f"the camera model {model!r} is not supported", where=str(file), remedy="Calibrate it as pinhole."
        )
    fx, fy, cx, cy = numbers_of(entry.get("intrinsics"), 4, "intrinsics", file)
    width, height = numbers_of(entry.get("resolution"), 2, "resolution", file)
    coefficients = np.asarray(entry.get("distortion_coefficients", []), np.float64).ravel()
    return RawCamera(
        size=(int(width), int(height)),
        k=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        d=tuple(coefficients.tolist()),
        distortion_model=str(entry.get("distortion_model", "")),
        where=str(file),
    )
