"""Rotation matrices from quaternions and from roll, pitch and yaw, and the quaternion of a rotation matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def from_quaternion(quaternion: npt.ArrayLike) -> Array:
    """Return the rotations of quaternions x, y, z, w of any length above 0, `[..., 4]` to `[..., 3, 3]`."""
    q = np.asarray(quaternion, np.float64)
    x, y, z, w = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    return _stacked(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_roll_pitch_yaw(roll: npt.ArrayLike, pitch: npt.ArrayLike, yaw: npt.ArrayLike) -> Array:
    """Return rotations about the fixed axes x, y, z in this order (REP-103), Rz(yaw) Ry(pitch) Rx(roll).

    Args:
        roll, pitch, yaw: angles, radians, numbers or arrays of one shape `[...]`.

    Returns:
        the rotation matrices, `[..., 3, 3]`.
    """
    angles = np.asarray([roll, pitch, yaw], np.float64)
    (sr, sp, sy), (cr, cp, cy) = np.sin(angles), np.cos(angles)
    return _stacked(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def quaternion_of(rotation: npt.ArrayLike) -> tuple[float, float, float, float]:
    """Return the unit quaternion x, y, z, w with w >= 0 of a rotation matrix, `[3, 3]`.

    The eigenvector of the largest eigenvalue (Bar-Itzhack, 2000) is accurate for every rotation, half turns included.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.asarray(rotation, np.float64)
    symmetric = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    vector = np.linalg.eigh(symmetric / 3)[1][:, -1]
    vector = vector if vector[3] >= 0 else -vector
    # the sum removes negative zeros
    x, y, z, w = (float(value) + 0.0 for value in vector)
    return x, y, z, w


def _stacked(rows: list[list[Any]]) -> Array:
    """Move the two leading axes of matrices to the end."""
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))
