"""Encoders of sensor_msgs/Image and sensor_msgs/CameraInfo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.prediction import OccupancyPrediction


def encode_depth(prediction: OccupancyPrediction, frame_id: str) -> bytes:
    """Return a serialised sensor_msgs/Image with encoding 32FC1: depth in metres, NaN for no depth (REP-118).

    Args:
        prediction: prediction whose `depth`, `[H, W]`, is encoded.
        frame_id: name of the optical frame of the left camera.
    """
    return encode_image(np.ascontiguousarray(prediction.depth, "<f4"), "32FC1", prediction.stamp_ns, frame_id)


def encode_rgb(image: npt.NDArray[np.uint8], stamp_ns: int, frame_id: str) -> bytes:
    """Return a serialised sensor_msgs/Image with encoding rgb8 for an array `[H, W, 3]`."""
    return encode_image(np.ascontiguousarray(image), "rgb8", stamp_ns, frame_id)


def encode_camera_info(rig: StereoRig, stamp_ns: int, frame_id: str) -> bytes:
    """Return a serialised sensor_msgs/CameraInfo of the rectified left camera: no distortion, R = I, P = K [I | 0]."""
    camera = rig.left
    k = camera.intrinsics
    message = CdrWriter()
    message.header(stamp_ns, frame_id)
    message.primitives("II", camera.height, camera.width)
    message.string("plumb_bob")
    message.sequence(np.zeros(5))
    for matrix in (k, np.eye(3), np.hstack([k, np.zeros((3, 1))])):
        message.primitives("d" * matrix.size, *matrix.ravel())
    message.primitives("II", 0, 0)  # binning
    message.primitives("IIII?", 0, 0, 0, 0, False)  # region of interest: the whole image
    return message.finish()


def encode_image(image: npt.NDArray[np.generic], encoding: str, stamp_ns: int, frame_id: str) -> bytes:
    """Return a serialised sensor_msgs/Image of a contiguous array `[H, W]` or `[H, W, C]` with at least one row."""
    height, width = image.shape[:2]
    message = CdrWriter()
    message.header(stamp_ns, frame_id)
    message.primitives("II", height, width)
    message.string(encoding)
    message.primitives("?I", False, image.nbytes // height)
    message.sequence(image.reshape(-1).view(np.uint8))
    return message.finish()
