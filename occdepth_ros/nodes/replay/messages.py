"""Converts recorded frames and calibrations to ROS messages."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.nodes.conversions import time_message


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
    """Return the calibrations of the two rectified cameras as sensor_msgs/CameraInfo.

    The left P is K [I | 0]; the right P is K [I | t] with t the left camera's origin in the right camera, so that
    P[0,3] = -fx * baseline. CameraInfo cannot represent a shift along the optical axis; that of KITTI (about 1 mm) is
    omitted.
    """
    referenced = rig.referenced_to_left()
    messages = []
    for camera, frame_id in ((referenced.left, left_frame), (referenced.right, right_frame)):
        k = camera.intrinsics
        tx, ty, _ = camera.translation
        p = np.hstack([k, k @ np.array([[tx], [ty], [0.0]])])
        message = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob")
        message.header.frame_id = frame_id
        message.d = [0.0] * 5
        message.k = k.ravel()
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


def quaternion_of(rotation: Matrix) -> tuple[float, float, float, float]:
    """Return the unit quaternion x, y, z, w of a rotation matrix `[3, 3]`; w is not negative."""
    vector = cv2.Rodrigues(np.asarray(rotation, np.float64))[0].ravel()
    angle = float(np.linalg.norm(vector))
    x, y, z = vector * (np.sin(angle / 2) / angle if angle > 1e-12 else 0.5)
    return float(x), float(y), float(z), float(np.cos(angle / 2))
