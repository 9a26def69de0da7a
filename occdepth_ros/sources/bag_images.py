"""Calibrations in recorded ROS messages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.errors import CalibrationError


def camera_of(info: Any, where: str) -> PinholeCamera:
    """The rectified camera of a CameraInfo: its P (recorders leave the unrectified K and D beside it).

    Raises:
        CalibrationError: P is all zeros, or unusable.
    """
    projection = np.asarray(_field(info, "p"), np.float64).reshape(3, 4)
    try:
        return PinholeCamera(projection, int(info.width), int(info.height))
    except CalibrationError as error:
        raise CalibrationError(error.what, where=f"{where} {error.where}", remedy=error.remedy) from error


def rectifier_of(info: Any, topic: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Maps that rectify the images of a topic, None where they are rectified already.

    KITTI's recorders call rectified images image_raw, and keep the distortion of the unrectified camera.
    """
    distortion = np.asarray(_field(info, "d"), np.float64)
    if "rect" in topic or topic.startswith("/kitti") or not distortion.any():
        return None
    k = np.asarray(_field(info, "k"), np.float64).reshape(3, 3)
    r = np.asarray(_field(info, "r"), np.float64).reshape(3, 3)
    p = np.asarray(_field(info, "p"), np.float64).reshape(3, 4)[:, :3]
    size = (int(info.width), int(info.height))
    try:
        if info.distortion_model in ("equidistant", "fisheye"):
            maps = cv2.fisheye.initUndistortRectifyMap(k, distortion[:4], r, p, size, cv2.CV_16SC2)
        else:
            maps = cv2.initUndistortRectifyMap(k, distortion, r, p, size, cv2.CV_16SC2)
    except cv2.error as error:
        raise CalibrationError(f"the distortion {info.distortion_model!r} cannot be used", where=topic) from error
    return maps[0], maps[1]


def _field(info: Any, name: str) -> Any:
    """A field that ROS 1 spells in capitals."""
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
