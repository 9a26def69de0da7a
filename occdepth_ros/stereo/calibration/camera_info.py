"""Calibration of one camera as defined by sensor_msgs/CameraInfo, and its adaptation to the received image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.stereo.calibration.distortion import Distortion, Family

MAX_TANGENTIAL = 0.02
"""Largest plausible tangential coefficient; lenses have 0.005 at most."""
MAX_RESIZE = 8.0
"""Largest ratio of image size to calibrated size at which the calibration is scaled."""


@dataclass(frozen=True)
class ImageCalibration:
    """Calibration of an image of one size.

    Args:
        camera: the rectified camera (P) at the size of the image.
        k: intrinsics of the raw image at this size, `[3, 3]`, pixels.
        warnings: warnings about the sizes.
    """

    camera: PinholeCamera
    k: Matrix
    warnings: tuple[InputWarning, ...] = ()


@dataclass(frozen=True)
class CameraCalibration:
    """The fields of sensor_msgs/CameraInfo that matter here.

    Args:
        size: width and height of the full-resolution image, pixels; (0, 0) = not given.
        k: intrinsics of the raw image, `[3, 3]`; zeros are replaced by P.
        d: distortion coefficients.
        r: rotation from the raw to the rectified frame, `[3, 3]`; zeros are replaced by the identity.
        p: projection of the rectified image, `[3, 4]`.
        distortion_model: name of the model.
        binning: horizontal and vertical binning; 0 counts as 1.
        roi: x, y, width, height of the region of interest, full-resolution pixels; zeros = the whole image.
        frame_id: frame of the header.
        where: topic or file, for messages.

    Raises:
        CalibrationError: a matrix contains NaN, or P is not usable.
    """

    size: tuple[int, int]
    k: Matrix
    d: tuple[float, ...]
    r: Matrix
    p: Matrix
    distortion_model: str = ""
    binning: tuple[int, int] = (1, 1)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)
    frame_id: str = ""
    where: str = "camera_info"

    def __post_init__(self) -> None:
        k, r, p = (np.array(m, np.float64) for m in (self.k, self.r, self.p))
        for name, matrix, shape in (("K", k, (3, 3)), ("R", r, (3, 3)), ("P", p, (3, 4)), ("D", self.d, None)):
            if shape is not None and np.shape(matrix) != shape:
                raise CalibrationError(f"{name} has shape {np.shape(matrix)}, not {shape}", where=self.where)
            if not np.isfinite(matrix).all():
                raise CalibrationError(
                    f"{name} contains NaN or infinity", where=self.where, remedy="Calibrate the camera again."
                )
        if not p.any():
            raise CalibrationError(
                "P is all zeros: its focal lengths are not positive",
                where=self.where,
                remedy="An uncalibrated camera publishes zeros: calibrate it, or load its calibration.",
            )
        r = r if r.any() else np.eye(3)
        k = k if k.any() else p[:, :3].copy()
        if k[0, 0] <= 0 or k[1, 1] <= 0:
            raise CalibrationError(
                f"the focal lengths of K ({k[0, 0]:g}, {k[1, 1]:g}) are not positive",
                where=self.where,
                remedy="Calibrate the camera, or load its calibration.",
            )
        # the first test, because products of huge values overflow
        if np.abs(r).max() > 2 or np.abs(r @ r.T - np.eye(3)).max() > 1e-2 or np.linalg.det(r) < 0:
            raise CalibrationError("R is not a rotation matrix", where=self.where, remedy="Calibrate the camera again.")
        for name, matrix in (("k", k), ("r", r), ("p", p)):
            matrix.setflags(write=False)
            object.__setattr__(self, name, matrix)

    @classmethod
    def from_message(cls, message: Any, where: str) -> CameraCalibration:
        """Read a CameraInfo message of ROS 2, or of ROS 1, which spells D, K, R and P in capitals.

        Raises:
            CalibrationError: a matrix contains NaN, or P is not usable.
        """

        def field(name: str) -> Any:
            return getattr(message, name) if hasattr(message, name) else getattr(message, name.upper())

        roi = message.roi
        return cls(
            size=(int(message.width), int(message.height)),
            k=np.asarray(field("k"), np.float64).reshape(3, 3),
            d=tuple(float(value) for value in field("d")),
            r=np.asarray(field("r"), np.float64).reshape(3, 3),
            p=np.asarray(field("p"), np.float64).reshape(3, 4),
            distortion_model=str(message.distortion_model),
            binning=(max(1, int(message.binning_x)), max(1, int(message.binning_y))),
            roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
            frame_id=str(message.header.frame_id),
            where=where,
        )

    def equals(self, other: CameraCalibration) -> bool:
        """Return True if all fields are equal; the topics or files (`where`) may differ."""
        names = (field.name for field in fields(self) if field.name != "where")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image that region of interest and binning leave, pixels."""
        return self._expected(self.size)

    def for_image(self, width: int, height: int) -> ImageCalibration:
        """Adapt K and P to an image, as image_geometry does: the region of interest first, then binning.

        A size of (0, 0) takes the size of the image. If an image has the full size, a region of interest or binning is
        not applied. An image of another size with the same aspect ratio is assumed to be resized, with a warning.

        Args:
            width, height: size of the image, pixels.

        Raises:
            CalibrationError: the size does not match, or P is not usable at this size.
        """
        image = (width, height)
        full = image if self.size == (0, 0) else self.size
        try:
            whole = PinholeCamera(self.p, *full)
            raw = PinholeCamera(np.hstack([self.k, np.zeros((3, 1))]), *full)
        except CalibrationError as error:
            raise CalibrationError(error.what, where=self.where, remedy=error.remedy) from error
        warnings = self._distortion_warnings()
        if self.size == (0, 0):
            return ImageCalibration(whole, raw.intrinsics, warnings)
        for window, binning in self._readings(full):
            x, y, w, h = window
            size = (w // binning[0], h // binning[1])
            if size == image:
                cameras = (whole, raw)
                if window != (0, 0, *full):
                    cameras = tuple(camera.cropped(w, h, x, y) for camera in cameras)  # type: ignore[assignment]
                if binning != (1, 1):
                    cameras = tuple(camera.scaled(*size) for camera in cameras)  # type: ignore[assignment]
                return ImageCalibration(cameras[0], cameras[1].intrinsics, warnings)
        sx, sy = width / full[0], height / full[1]
        expected = self._expected(full)
        same_shape = abs(sx * full[1] - height) <= 1 or abs(sy * full[0] - width) <= 1
        if expected == full and same_shape and 1 / MAX_RESIZE <= sx <= MAX_RESIZE:
            warning = InputWarning(
                "resized_image",
                f"the image has {width}x{height} pixels, its CameraInfo {full[0]}x{full[1]}: the calibration is scaled "
                f"by {sx:.3g}",
                self.where,
                "Publish the CameraInfo of the resized image.",
            )
            return ImageCalibration(whole.scaled(*image), raw.scaled(*image).intrinsics, (warning, *warnings))
        raise ImageSizeError(
            f"the image has {width}x{height} pixels, its CameraInfo {expected[0]}x{expected[1]}",
            where=self.where,
            remedy="Use the CameraInfo of this image size.",
        )

    def _distortion_warnings(self) -> tuple[InputWarning, ...]:
        """Warn if the tangential coefficients are larger than those of any lens: D may belong to a fisheye model."""
        try:
            distortion = Distortion.named(self.distortion_model, self.d, self.where)
        except CalibrationError:  # rectified images do not need it; it is reported if raw images are rectified
            return ()
        if distortion.family is not Family.POLYNOMIAL:
            return ()
        tangential = max(distortion.coefficients[2:4], key=abs)
        if abs(tangential) <= MAX_TANGENTIAL:
            return ()
        text = (
            f"the tangential distortion of {tangential:.3g} is larger than that of any lens: D is probably of a "
            f"fisheye model and not of {self.distortion_model!r}"
        )
        remedy = "Set distortion_model to the model of the calibration (equidistant for fisheye), or calibrate again."
        return (InputWarning("distortion_unusual", text, self.where, remedy),)

    def _window(self, full: tuple[int, int]) -> tuple[int, int, int, int]:
        x, y, w, h = self.roi
        return (x, y, w or full[0] - x, h or full[1] - y)

    def _expected(self, full: tuple[int, int]) -> tuple[int, int]:
        _, _, w, h = self._window(full)
        return w // self.binning[0], h // self.binning[1]

    def _readings(self, full: tuple[int, int]) -> list[tuple[tuple[int, int, int, int], tuple[int, int]]]:
        """Return the windows and binnings to try: as declared, then without one of them, then the full image."""
        window, whole = self._window(full), (0, 0, *full)
        return [(window, self.binning), (window, (1, 1)), (whole, self.binning), (whole, (1, 1))]


def stated_baseline(left: CameraCalibration, right: CameraCalibration) -> float:
    """Return the baseline that the two P state, metres.

    Raises:
        CalibrationError: a focal length in P is not positive.
    """
    for info in (left, right):
        if info.p[0, 0] <= 0:
            raise CalibrationError(f"the focal length {info.p[0, 0]:g} in P is not positive", where=info.where)
    return float(left.p[0, 3] / left.p[0, 0] - right.p[0, 3] / right.p[0, 0])


class ImageSizeError(CalibrationError):
    """An image whose size does not match its calibration."""
