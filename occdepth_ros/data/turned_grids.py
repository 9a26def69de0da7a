"""Grids turned and moved about the vehicle: a ground truth made from scans can be made for any of them.

One drive shows one heading and one mounting; a network that only ever met those learns where streets use to lie
instead of looking. Moving the grid, and not the images, leaves what the cameras saw as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class GridMotion:
    """How far grids are turned and moved at random.

    Args:
        yaw: largest turn about the vertical, radians.
        tilt: standard deviation of pitch and of roll, radians.
        lowest, highest: bounds of the shift along x, y, z, metres.
    """

    yaw: float = 0.12
    tilt: float = 0.008
    lowest: tuple[float, float, float] = (-2.0, -5.0, -0.4)
    highest: tuple[float, float, float] = (3.5, 5.0, 0.4)

    def pose(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """A random pose of the turned grid's frame in the frame that the grid had, `[4, 4]`."""
        yaw = rng.uniform(-self.yaw, self.yaw)
        pitch, roll = rng.normal(0, self.tilt, 2)
        pose = np.eye(4)
        pose[:3, :3] = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)
        pose[:3, 3] = rng.uniform(self.lowest, self.highest)
        return pose


def _about(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Right-handed rotation about one axis, `[3, 3]`."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[a, a] = out[b, b] = np.cos(angle)
    out[b, a] = np.sin(angle)
    out[a, b] = -out[b, a]
    return out
