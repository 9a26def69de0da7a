"""Converts recorded frames and calibrations to ROS messages."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.nodes.conversions import time_message
from occdepth_ros.rotation import quaternion_of


def image_message(image: npt.NDArray[np.uint8], frame_id: str, *, grey: bool) -> Image:
    """Convert an image `[H, W, 3]` RGB uint8 to a message: rgb8, or mono8 of the first channel if `grey`.

    `data` is an array.array, because the setter checks each element of other types separately.
    """
    pixels = np.ascontiguousarray(image[..., 0] if grey else image)
    message = Image(height=image.shape[0], width=image.shape[1], encoding="mono8" if grey else "rgb8")
    message.step = image.shape[1] * (1 if grey else 3)
    message.header.frame_id = frame_id
    data = array("B")
    data.frombytes(pixels.data.cast("B"))
    message.data = data
    return message


def camera_infos(rig: StereoRig, left_frame: str, right_frame: str) -> tuple[CameraInfo, CameraInfo]:
    """Return the calibrations of the two rectified cameras as sensor_msgs/CameraInfo."""
    messages = []
    cameras = zip((rig.left, rig.right), rig.camera_info_projections(), (left_frame, right_frame), strict=True)
    for camera, p, frame_id in cameras:
        message = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob")
        message.header.frame_id = frame_id
        message.d = [0.0] * 5
        message.k = p[:, :3].ravel()
        message.r = np.eye(3).ravel()
        message.p = p.ravel()
        messages.append(message)
    return messages[0], messages[1]


def transform_message(pose: Matrix, parent: str, child: str, stamp_ns: int) -> TransformStamped:
    """Convert the pose `[4, 4]` of `child` in `parent` to a message."""
    message = TransformStamped()
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = parent
    message.child_frame_id = child
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = (float(v) for v in pose[:3, 3])
    rotation.x, rotation.y, rotation.z, rotation.w = quaternion_of(pose[:3, :3])
    return message
