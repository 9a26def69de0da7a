"""Augmentation by rotated and translated grids; ground truth made from scans is available for any grid.

A drive has few headings and one mounting; a network trained on these alone learns the usual position of the road rather
than to use the images. The grid is moved, not the images, so the images are unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class GridMotion:
    """Ranges of the random motion of grids.

    Args:
        yaw: largest rotation about the vertical, radians.
        tilt: standard deviation of pitch and of roll, radians.
        lowest, highest: bounds of the shift along x, y, z, metres.
    """

    yaw: float = 0.12
    tilt: float = 0.008
    lowest: tuple[float, float, float] = (-2.0, -5.0, -0.4)
    highest: tuple[float, float, float] = (3.5, 5.0, 0.4)

    def pose(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """A random pose of the moved grid's frame in the original frame of the grid, `[4, 4]`."""
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
