"""Rigid transforms as tuples, because for single poses the overhead of numpy exceeds the arithmetic."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from geometry_msgs.msg import TransformStamped

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
"""x, y, z, w."""


class Pose(NamedTuple):
    """The transform ``p -> rotation * p + translation``."""

    translation: Vector
    rotation: Quaternion

    def then(self, outer: Pose) -> Pose:
        """Return this transform followed by ``outer``."""
        x, y, z = rotate(outer.rotation, self.translation)
        ox, oy, oz = outer.translation
        return Pose((x + ox, y + oy, z + oz), multiply(outer.rotation, self.rotation))

    def inverse(self) -> Pose:
        """Return the inverse transform."""
        x, y, z, w = self.rotation
        back = (-x, -y, -z, w)
        tx, ty, tz = rotate(back, self.translation)
        return Pose((-tx, -ty, -tz), back)


IDENTITY = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the Hamilton product: the rotation ``b`` followed by ``a``."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Return ``v`` rotated by the unit quaternion ``q``."""
    x, y, z, w = q
    # v + 2 w (u x v) + 2 u x (u x v) with u = (x, y, z)
    cx, cy, cz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (
        v[0] + w * cx + y * cz - z * cy,
        v[1] + w * cy + z * cx - x * cz,
        v[2] + w * cz + x * cy - y * cx,
    )


def interpolate(a: Pose, b: Pose, share: float) -> Pose:
    """Interpolate from ``a`` to ``b`` at ``share`` in 0..1: linear in position, spherical linear in rotation."""
    mixed = [p + share * (q - p) for p, q in zip(a.translation, b.translation, strict=True)]
    return Pose((mixed[0], mixed[1], mixed[2]), slerp(a.rotation, b.rotation, share))


def slerp(a: Quaternion, b: Quaternion, share: float) -> Quaternion:
    """Return the spherical linear interpolation of two unit quaternions along the shorter arc (Shoemake 1985)."""
    cosine = math.fsum(p * q for p, q in zip(a, b, strict=True))
    sign = 1.0 if cosine >= 0 else -1.0
    angle = math.acos(min(1.0, abs(cosine)))
    if angle < 1e-9:
        weight_a, weight_b = 1 - share, share * sign
    else:
        weight_a = math.sin((1 - share) * angle) / math.sin(angle)
        weight_b = math.sin(share * angle) / math.sin(angle) * sign
    x, y, z, w = (weight_a * p + weight_b * q for p, q in zip(a, b, strict=True))
    return x, y, z, w


def pose_of(transform: Any) -> Pose:
    """Return the pose of a ``geometry_msgs/Transform``."""
    t, r = transform.translation, transform.rotation
    return Pose((t.x, t.y, t.z), (r.x, r.y, r.z, r.w))


def message_of(pose: Pose, nanoseconds: int, frame_id: str, child_frame_id: str) -> TransformStamped:
    """Return the pose as a ``geometry_msgs/TransformStamped``."""
    message = TransformStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(nanoseconds, 10**9)
    message.header.frame_id, message.child_frame_id = frame_id, child_frame_id
    t, r = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = pose.translation
    r.x, r.y, r.z, r.w = pose.rotation
    return message
