"""The newest CameraInfo of both cameras as a rig, with the tables of rectification kept per calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.nodes.conversions import ImageArray, Rectifier, camera_of, rig_of
from occdepth_ros.nodes.faults import Component, NamedError

POSE_TOLERANCE = 1e-4
"""A change of the grid's pose below this (metres, or of the rotation matrix) keeps the tables of the calibration."""


@dataclass(frozen=True)
class _Side:
    """One camera as its CameraInfo describes it."""

    key: bytes
    frame_id: str
    camera: PinholeCamera
    rectifier: Rectifier | None


class StereoCalibration:
    """Both cameras' calibration; one thread calls `update`, another may call the rest.

    Args:
        rectify: whether images arrive raw.
    """

    def __init__(self, *, rectify: bool) -> None:
        self._rectify = rectify
        self._infos: dict[str, CameraInfo] = {}
        self._sides: dict[str, _Side] = {}
        self._rig: StereoRig | None = None

    def update(self, side: str, info: CameraInfo) -> None:
        """Take the newest CameraInfo of "left" or "right"."""
        self._infos[side] = info

    @property
    def current(self) -> StereoRig | None:
        """The rig in use, None before the first good pair."""
        return self._rig

    @property
    def missing(self) -> list[str]:
        """Sides whose CameraInfo has not come yet."""
        return [side for side in ("left", "right") if side not in self._infos]

    def rectified(self, side: str, image: ImageArray) -> ImageArray:
        """The image as the rig's cameras would take it: checked for its size, rectified if it is raw.

        Raises:
            NamedError: "camera_info", "intrinsics" or "image_size".
        """
        known = self._side(side)
        height, width = image.shape[:2]
        if (width, height) != (known.camera.width, known.camera.height):
            raise NamedError(
                "image_size",
                Component.INPUT,
                f"the image has {width}x{height} pixels, its CameraInfo {known.camera.width}x{known.camera.height}",
                where=f"{side}/image_rect",
                remedy="Publish the CameraInfo of this resolution, or resize both.",
            )
        return known.rectifier(image) if known.rectifier else image

    def info_frame(self, side: str) -> str:
        """Frame that the CameraInfo of a side names."""
        return self._side(side).frame_id

    def rig(self, left_from_grid: Matrix, frame_id: str) -> StereoRig:
        """The rig; the same object as before while nothing has changed.

        Raises:
            NamedError: "camera_info", "intrinsics", "baseline" or "calibration".
        """
        left, right = self._side("left"), self._side("right")
        old = self._rig
        if (
            old is None
            or old.frame_id != frame_id
            or np.abs(old.reference_from_grid - left_from_grid).max() > POSE_TOLERANCE
        ):
            self._rig = rig_of(left.camera, right.camera, left_from_grid, frame_id)
        assert self._rig is not None
        return self._rig

    def _side(self, side: str) -> _Side:
        info = self._infos.get(side)
        if info is None:
            raise NamedError(
                "camera_info",
                Component.CALIBRATION,
                "no message yet",
                where=f"{side}/camera_info",
                remedy="Publish the calibration of this camera, or remap the topic.",
            )
        key = _key(info)
        known = self._sides.get(side)
        if known is None or known.key != key:
            where = f"{side}/camera_info"
            self._rig = None
            camera = camera_of(info, where)
            rectifier = Rectifier(info, where) if self._rectify else None
            known = self._sides[side] = _Side(key, info.header.frame_id, camera, rectifier)
        return known


def _key(info: CameraInfo) -> bytes:
    """Everything of a CameraInfo that matters, as bytes to compare."""
    window = info.roi
    counts = (info.width, info.height, info.binning_x, info.binning_y)
    region = (window.x_offset, window.y_offset, window.width, window.height)
    numbers = np.concatenate([np.asarray(m, np.float64) for m in (info.k, info.r, info.p, info.d, counts, region)])
    return numbers.tobytes() + info.distortion_model.encode() + info.header.frame_id.encode()
