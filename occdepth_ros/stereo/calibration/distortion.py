"""Lens distortion models of sensor_msgs/CameraInfo, their common aliases, and their OpenCV functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import CalibrationError


class Family(Enum):
    """Group of models that share an OpenCV implementation."""

    NONE = "none"
    POLYNOMIAL = "polynomial"
    """Brown-Conrady with its rational, thin prism and tilted extensions: the module calib3d."""
    EQUIDISTANT = "equidistant"
    """Kannala and Brandt (2006) with four coefficients: the module fisheye."""


_NONE = {"none", "pinhole", "perspective", "rectified", "undistorted", "nodistortion"}
_POLYNOMIAL = {
    *("plumbbob", "radtan", "radialtangential", "brownconrady", "brown", "opencv", "pinholeradtan", "radtan4"),
    *("radtan5", "rationalpolynomial", "rational", "radtan8", "opencv8", "thinprism", "rationalthinprism", "tilted"),
    *("tiltedthinprism", "thinprismtilted"),
}
_EQUIDISTANT = {
    *("equidistant", "equi", "fisheye", "kannalabrandt", "kannalabrandt4", "kannalabrandt8", "kb4", "kb8", "kb"),
    *("opencvfisheye", "pinholeequi", "pinholeequidistant", "equidistant4"),
}
_POLYNOMIAL_COUNTS = (4, 5, 8, 12, 14)
REFINEMENTS = 15
"""Fixed-point iterations of the inverse of a polynomial model."""
SUPPORTED = "plumb_bob, rational_polynomial, thin_prism, tilted, equidistant (or fisheye), none"


@dataclass(frozen=True)
class Distortion:
    """A distortion model with its coefficients, in OpenCV's order.

    Args:
        family: the implementation.
        coefficients: none, or 4, 5, 8, 12 or 14 (polynomial), or 4 (equidistant).
    """

    family: Family
    coefficients: tuple[float, ...] = ()

    @classmethod
    def named(cls, model: str, coefficients: Sequence[float], where: str) -> Distortion:
        """Return the model with the name of CameraInfo.distortion_model or of a common calibration tool.

        Names are compared without case, spaces, hyphens and underscores. Zeros after the last coefficient of the model
        are ignored. An empty name with 5, 8, 12 or 14 coefficients is a polynomial, as in old drivers.

        Raises:
            CalibrationError: the model is not supported, or the number of coefficients is wrong.
        """
        name = "".join(character for character in model.lower() if character.isalnum())
        values = np.asarray(coefficients, np.float64).ravel()
        if not np.isfinite(values).all():
            raise CalibrationError("D contains NaN or infinity", where=where, remedy="Calibrate the camera again.")
        if name in _EQUIDISTANT:
            if values[4:].any() or 0 < len(values) < 4:
                raise _wrong_count(model, len(values), "4", where)
            return cls(Family.EQUIDISTANT, tuple(values[:4]) or (0.0,) * 4)
        if name in _POLYNOMIAL or (not name and len(values) > 4 and values.any()):
            if not values.any():
                return cls(Family.NONE)
            used = int(np.flatnonzero(values)[-1]) + 1
            count = len(values)
            if count not in _POLYNOMIAL_COUNTS:
                count = next((n for n in _POLYNOMIAL_COUNTS if used <= n <= count), 0)
            if not count:
                raise _wrong_count(model, len(values), "4, 5, 8, 12 or 14", where)
            return cls(Family.POLYNOMIAL, tuple(values[:count]))
        if (name in _NONE or not name) and not values.any():
            return cls(Family.NONE)
        raise CalibrationError(
            f"the distortion model {model!r} with {len(values)} coefficients is not supported",
            where=where,
            remedy=f"Supported models: {SUPPORTED}. Calibrate with one of them, or record rectified images.",
        )

    def rectification_maps(
        self, k: Matrix, rotation: Matrix, projection: Matrix, size: tuple[int, int]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the column and the row in the raw image of each pixel of the rectified image, `[H, W]` each.

        Args:
            k: intrinsics of the raw image, `[3, 3]`.
            rotation: rotation from the raw to the rectified camera frame, `[3, 3]`.
            projection: intrinsics of the rectified image, `[3, 3]`.
            size: width and height of the rectified image, pixels.
        """
        arguments: tuple[Any, ...] = (self._vector, rotation, projection, size, cv2.CV_32FC1)
        if self.family is Family.EQUIDISTANT:
            columns, rows = cv2.fisheye.initUndistortRectifyMap(k, *arguments)
        else:
            columns, rows = cv2.initUndistortRectifyMap(k, *arguments)
        return np.asarray(columns, np.float32), np.asarray(rows, np.float32)

    def rectified_points(
        self, points: npt.NDArray[np.floating], k: Matrix, rotation: Matrix, projection: Matrix
    ) -> npt.NDArray[np.float64]:
        """Return the rectified pixel of each raw pixel, `[N, 2]`; arguments as in `rectification_maps`."""
        pixels = np.asarray(points, np.float64).reshape(-1, 1, 2)
        if self.family is Family.EQUIDISTANT:
            plane = np.asarray(cv2.fisheye.undistortPoints(pixels, k, self._vector), np.float64).reshape(-1, 2)
        else:
            plane = np.asarray(cv2.undistortPoints(pixels, k, self._vector), np.float64).reshape(-1, 2)
            # OpenCV stops after five iterations, which leaves tenths of a pixel at the border of wide lenses
            goal = (pixels.reshape(-1, 2) - k[:2, 2]) / (k[0, 0], k[1, 1])
            for _ in range(REFINEMENTS):
                at = np.hstack([plane, np.ones((len(plane), 1))])
                here = cv2.projectPoints(at, np.zeros(3), np.zeros(3), np.eye(3), self._vector)[0]
                plane = plane + goal - np.asarray(here).reshape(-1, 2)
        rays = np.hstack([plane, np.ones((len(plane), 1))]) @ (projection @ rotation).T
        return np.asarray(rays[:, :2] / rays[:, 2:])

    @property
    def _vector(self) -> Matrix:
        return np.array(self.coefficients or (0.0,) * 4, np.float64)


def _wrong_count(model: str, count: int, expected: str, where: str) -> CalibrationError:
    return CalibrationError(
        f"the distortion model {model!r} has {count} coefficients, not {expected}",
        where=where,
        remedy="Check D and distortion_model of the calibration.",
    )
