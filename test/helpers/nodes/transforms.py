"""Messages of transforms; needs a ROS 2 environment."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.clock import ClockType
from rclpy.time import Time

LATEST = Time()


def stamped(
    parent: str,
    child: str,
    seconds: float = 0.0,
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0),
) -> TransformStamped:
    message = TransformStamped()
    message.header.stamp = at(seconds).to_msg()
    message.header.frame_id, message.child_frame_id = parent, child
    message.transform.translation.x, message.transform.translation.y, message.transform.translation.z = translation
    r = message.transform.rotation
    r.x, r.y, r.z, r.w = (float(value) for value in np.asarray(quaternion) / np.linalg.norm(quaternion))
    return message


def at(seconds: float) -> Time:
    return Time(nanoseconds=round(seconds * 1e9), clock_type=ClockType.ROS_TIME)


def position(message: TransformStamped) -> tuple[float, float, float]:
    t = message.transform.translation
    return (t.x, t.y, t.z)
