"""Rectification of two raw cameras whose relative pose is known: Bouguet's method, as OpenCV's stereoRectify."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import CalibrationError
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration
from occdepth_ros.stereo.calibration.distortion import Distortion, Family


@dataclass(frozen=True)
class RawCamera:
    """A calibrated camera before rectification.

    Args:
        size: width and height, pixels.
        k: intrinsics, `[3, 3]`.
        d: distortion coefficients.
        distortion_model: name of the distortion model.
        where: file, for messages.
    """

    size: tuple[int, int]
    k: Matrix
    d: tuple[float, ...]
    distortion_model: str
    where: str


def rectified_pair(
    left: RawCamera, right: RawCamera, right_from_left: Matrix
) -> tuple[CameraCalibration, CameraCalibration]:
    """Return K, D, R and P of both cameras for rectified images of the same size without invalid pixels.

    Args:
        left, right: the cameras, with equal image sizes.
        right_from_left: pose of the left camera in the right camera's frame, `[4, 4]`, metres.

    Raises:
        CalibrationError: sizes or distortion models differ, the model is not supported, or the right camera is not to
            the right of the left camera.
    """
    models = [Distortion.named(camera.distortion_model, camera.d, camera.where) for camera in (left, right)]
    families = {model.family for model in models if model.family is not Family.NONE}
    if left.size != right.size or len(families) > 1:
        raise CalibrationError(
            f"the cameras differ: {left.size[0]}x{left.size[1]} {left.distortion_model!r} and "
            f"{right.size[0]}x{right.size[1]} {right.distortion_model!r}",
            where=right.where,
            remedy="Calibrate both cameras with one image size and one distortion model.",
        )
    rotation, translation = right_from_left[:3, :3], right_from_left[:3, 3]
    baseline = float(np.linalg.norm(translation))
    if translation[0] >= 0 or abs(translation[0]) < 0.8 * baseline:
        raise CalibrationError(
            f"the right camera is at {np.round(-rotation.T @ translation, 3).tolist()} m in the frame of the left one, "
            "not on its right",
            where=right.where,
            remedy="Exchange the cameras, or correct their relative pose.",
        )
    coefficients = [np.array(model.coefficients or (0.0,) * 4) for model in models]
    arguments = (left.k, coefficients[0], right.k, coefficients[1], left.size, rotation, translation[:, None])
    try:
        if Family.EQUIDISTANT in families:
            r1, r2, p1, p2, _ = cv2.fisheye.stereoRectify(*arguments, cv2.CALIB_ZERO_DISPARITY, balance=0.0)
        else:
            r1, r2, p1, p2 = cv2.stereoRectify(*arguments, flags=cv2.CALIB_ZERO_DISPARITY, alpha=0)[:4]
    except cv2.error as error:
        raise CalibrationError(
            f"the cameras cannot be rectified ({error.err})", where=right.where, remedy="Calibrate them again."
        ) from error
    first, second = (
        CameraCalibration(
            camera.size,
            camera.k,
            camera.d,
            np.asarray(r, np.float64),
            np.asarray(p, np.float64),
            camera.distortion_model,
            where=camera.where,
        )
        for camera, r, p in ((left, r1, p1), (right, r2, p2))
    )
    return first, second
