"""Converts the newest CameraInfo of both cameras to a rig; rectification maps are cached per calibration."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sensor_msgs.msg import CameraInfo

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.nodes.conversions import ImageArray, rig_of
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration, ImageCalibration, ImageSizeError
from occdepth_ros.stereo.calibration.checks import check_calibration
from occdepth_ros.stereo.calibration.rectification import Decision, Kind, Rectifier, decide

POSE_TOLERANCE = 1e-4
"""Maximum change of the elements of the grid's pose (translation in metres) with which the rig is kept."""
RECHECK_PAIRS = 100
"""Number of pairs after which images that contradict `rectify` are examined again."""
CHANGE_PERIOD = 100
"""Number of pairs for which a change of a CameraInfo is reported."""


@dataclass
class _Side:
    """One camera: its CameraInfo, and the calibration and rectifier for one image size."""

    key: bytes
    info: CameraCalibration
    size: tuple[int, int] = (0, 0)
    image: ImageCalibration | None = None
    rectifier: Rectifier | None = None


@dataclass
class _Examination:
    """Result of comparing the images with `rectify`."""

    decision: Decision
    countdown: int = RECHECK_PAIRS
    warnings: tuple[InputWarning, ...] = field(default=())


class StereoCalibration:
    """Calibration of both cameras; one thread may call `update` and another one the other methods.

    Args:
        rectify: value of the parameter `rectify`; True if the images are raw.
    """

    def __init__(self, *, rectify: bool) -> None:
        self._rectify = rectify
        self._infos: dict[str, CameraInfo] = {}
        self.received = dict.fromkeys(("left", "right"), 0)
        """Number of messages by side."""
        self._sides: dict[str, _Side] = {}
        self._rig: StereoRig | None = None
        self._rig_warnings: tuple[InputWarning, ...] = ()
        self._examined: _Examination | None = None
        self._changes: dict[str, InputWarning] = {}
        self._change_countdown = 0
        self.topics = ("left/image_rect", "right/image_rect")
        """Resolved names of the image topics."""

    def update(self, side: str, info: CameraInfo) -> None:
        """Set the newest CameraInfo of "left" or "right"."""
        self._infos[side] = info
        self.received[side] += 1

    @property
    def current(self) -> StereoRig | None:
        """The rig in use; None before the first usable pair."""
        return self._rig

    @property
    def missing(self) -> list[str]:
        """Sides whose CameraInfo has not been received."""
        return [side for side in ("left", "right") if side not in self._infos]

    @property
    def warnings(self) -> tuple[InputWarning, ...]:
        """Warnings about the calibration in use."""
        images = [side.image.warnings for side in self._sides.values() if side.image]
        examined = self._examined.warnings if self._examined else ()
        found = (warning for warnings in images for warning in warnings)
        return (*found, *self._rig_warnings, *examined, *self._changes.values())

    def rectified(self, left: ImageArray, right: ImageArray) -> tuple[ImageArray, ImageArray]:
        """Check the image sizes, rectify raw images, and return images that match the cameras of the rig.

        Raises:
            NamedError: "camera_info" if a CameraInfo is missing, "intrinsics" if it is invalid, "image_size" if the
                sizes of images and CameraInfo differ.
        """
        self._change_countdown -= 1
        if self._change_countdown <= 0:
            self._changes.clear()
        sides = {"left": left, "right": right}
        if left.shape != right.shape:
            for name, image in sides.items():
                info = self._side(name).info
                if info.size not in ((0, 0), image.shape[1::-1]):
                    raise _image_size(name, image, f"its CameraInfo {info.size[0]}x{info.size[1]}")
            raise _image_size("right", right, f"the left one {left.shape[1]}x{left.shape[0]}")
        found = {name: self._adapted(name, image) for name, image in sides.items()}
        self._examine(left, right)
        images = []
        for name, image in sides.items():
            rectifier = found[name].rectifier
            images.append(rectifier(image) if rectifier else image)
        return images[0], images[1]

    def info_frame(self, side: str) -> str:
        """Return the frame_id of the CameraInfo of a side."""
        return self._side(side).info.frame_id

    def rig(self, left_from_grid: Matrix, frame_id: str) -> StereoRig:
        """Return the rig; the same object as before if nothing has changed. Call `rectified` first.

        Raises:
            NamedError: "camera_info", "intrinsics", "baseline" or "calibration".
            RuntimeError: `rectified` was not called before.
        """
        left, right = self._side("left").image, self._side("right").image
        if left is None or right is None:
            raise RuntimeError("rectified() has to be called first")
        old = self._rig
        if (
            old is None
            or old.frame_id != frame_id
            or np.abs(old.reference_from_grid - left_from_grid).max() > POSE_TOLERANCE
        ):
            rig = rig_of(left.camera, right.camera, left_from_grid, frame_id)
            try:
                self._rig_warnings = check_calibration(rig, "left/camera_info and right/camera_info")
            except CalibrationError as error:
                name = "baseline" if "baseline is" in error.what[:20] else "calibration"
                raise NamedError(
                    name, Component.CALIBRATION, error.what, where=error.where, remedy=error.remedy
                ) from error
            self._rig = rig
        assert self._rig is not None
        return self._rig

    def _side(self, side: str) -> _Side:
        message = self._infos.get(side)
        if message is None:
            raise NamedError(
                "camera_info",
                Component.CALIBRATION,
                "no message was received",
                where=f"{side}/camera_info",
                remedy="Publish the calibration of this camera with every image (one latched message from before the "
                "start of the node is not received), or remap the topic.",
            )
        key = _key(message)
        known = self._sides.get(side)
        if known is None or known.key != key:
            self._rig = self._examined = None
            try:
                info = CameraCalibration.from_message(message, f"{side}/camera_info")
            except CalibrationError as error:
                raise _intrinsics(error) from error
            if known is not None:
                self._changes[side] = _change(known.info, info)
                self._change_countdown = CHANGE_PERIOD
            known = self._sides[side] = _Side(key, info)
        return known

    def _adapted(self, name: str, image: ImageArray) -> _Side:
        """Return the side with its calibration for the size of this image."""
        side = self._side(name)
        size = (image.shape[1], image.shape[0])
        if side.image is None or side.size != size:
            self._rig = self._examined = None
            try:
                side.image = side.info.for_image(*size)
                side.rectifier = Rectifier(side.info, side.image) if self._rectify else None
            except ImageSizeError as error:
                expected = error.what.partition("its CameraInfo ")[2]
                raise _image_size(name, image, f"its CameraInfo {expected}") from error
            except CalibrationError as error:
                raise _intrinsics(error) from error
            side.size = size
        return side

    def _examine(self, left: ImageArray, right: ImageArray) -> None:
        """Compare the images with `rectify`; again after `RECHECK_PAIRS` pairs while they contradict it."""
        examined = self._examined
        if examined is not None and (not examined.warnings or examined.countdown > 0):
            examined.countdown -= 1
            return
        stated = Kind.RAW if self._rectify else Kind.RECTIFIED
        infos = self._side("left").info, self._side("right").info
        try:
            decision = decide(infos, (left, right), self.topics)
        except CalibrationError:  # an unsupported model, which rectified images do not need
            decision = Decision(stated, "the distortion model is not supported")
        warnings: tuple[InputWarning, ...] = ()
        if decision.kind is not stated and decision.displacement > 0:
            value = "true" if decision.kind is Kind.RAW else "false"
            text = (
                f"the images are {decision.kind.value} ({decision.reason}), but rectify is "
                f"{'true' if self._rectify else 'false'}: disparities and depths are wrong"
            )
            remedy = f"Set rectify to {value}, or remap to the {stated.value} images."
            warnings = (InputWarning("raw_or_rectified", text, " and ".join(self.topics), remedy),)
        self._examined = _Examination(decision, warnings=warnings)


def _change(old: CameraCalibration, new: CameraCalibration) -> InputWarning:
    """Warn that the CameraInfo of a side has changed while the node runs."""
    rows: list[tuple[str, float, float]] = [("width", old.size[0], new.size[0]), ("height", old.size[1], new.size[1])]
    rows += [(f"P[{i},{j}]", float(old.p[i, j]), float(new.p[i, j])) for i in range(3) for j in range(4)]
    changed = [f"{name} from {before:g} to {after:g}" for name, before, after in rows if before != after]
    text = f"the calibration has changed: {', '.join(changed) or 'K, D, R, binning, region of interest or frame'}"
    remedy = "If it was not changed on purpose, several nodes publish it: see `ros2 topic info -v` of this topic."
    return InputWarning("calibration_changes", text, new.where, remedy)


def _intrinsics(error: CalibrationError) -> NamedError:
    return NamedError("intrinsics", Component.CALIBRATION, error.what, where=error.where, remedy=error.remedy)


def _image_size(side: str, image: ImageArray, other: str) -> NamedError:
    return NamedError(
        "image_size",
        Component.INPUT,
        f"the image has {image.shape[1]}x{image.shape[0]} pixels, {other}",
        where=f"{side}/image_rect",
        remedy="Publish the CameraInfo of this resolution, or resize both images.",
    )


def _key(info: CameraInfo) -> bytes:
    """Return all fields of a CameraInfo that affect the calibration, as bytes to compare."""
    window = info.roi
    counts = (info.width, info.height, info.binning_x, info.binning_y)
    region = (window.x_offset, window.y_offset, window.width, window.height)
    numbers = np.concatenate([np.asarray(m, np.float64) for m in (info.k, info.r, info.p, info.d, counts, region)])
    return numbers.tobytes() + info.distortion_model.encode() + info.header.frame_id.encode()
