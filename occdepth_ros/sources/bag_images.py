"""Images and calibrations in recorded ROS messages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.errors import CalibrationError, ImageError
from occdepth_ros.sources.images import ImageArray, decode

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "8UC3": 3}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
}
_BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerRGGB2RGB,
    "bayer_bggr8": cv2.COLOR_BayerBGGR2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGBRG2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGRBG2RGB,
}


def image_of(message: Any, where: str) -> tuple[ImageArray, bool]:
    """Decode sensor_msgs/Image or CompressedImage.

    Returns:
        `[H, W, 3]` RGB uint8, and whether the camera is grey.

    Raises:
        ImageError: the sizes contradict each other, or the encoding is not an 8-bit one.
    """
    if not hasattr(message, "encoding"):
        return decode(bytes(message.data), where)
    height, width, step, encoding = int(message.height), int(message.width), int(message.step), str(message.encoding)
    channels = 1 if encoding in _BAYER else _CHANNELS.get(encoding)
    if channels is None:
        known = ", ".join([*_CHANNELS, *_BAYER])
        raise ImageError(f"the encoding is {encoding!r}", where=where, remedy=f"Readable are {known}.")
    data = np.asarray(message.data, np.uint8).ravel()
    if min(height, width) < 1 or step < width * channels or data.size != step * height:
        raise ImageError(
            f"an image of {width}x{height} pixels with {step} bytes a row holds {data.size} bytes", where=where
        )
    pixels = data.reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    if encoding in _BAYER:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), _BAYER[encoding]), np.uint8), False
    if channels == 1:
        return np.repeat(pixels, 3, axis=2), True
    if encoding in _TO_RGB:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), _TO_RGB[encoding]), np.uint8), False
    return np.ascontiguousarray(pixels), False


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
