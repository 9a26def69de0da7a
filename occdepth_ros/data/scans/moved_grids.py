"""Augmentation by rotated and translated grids, for ground truth that is computed from scans.

A drive has few headings and one camera mounting. A network trained on a fixed grid can overfit to the average position
of the road. The augmentation moves the grid and leaves the images unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.rotation import from_roll_pitch_yaw


@dataclass(frozen=True)
class GridMotion:
    """Ranges of the random motion of grids.

    Args:
        yaw: maximum rotation about the vertical axis, radians.
        tilt: standard deviation of pitch and of roll, radians.
        lowest, highest: bounds of the translation along x, y, z, metres.
    """

    yaw: float = 0.12
    tilt: float = 0.008
    lowest: tuple[float, float, float] = (-2.0, -5.0, -0.4)
    highest: tuple[float, float, float] = (3.5, 5.0, 0.4)

    def pose(self, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return a random pose of the moved grid's frame in the original grid's frame, `[4, 4]`, metres."""
        yaw = rng.uniform(-self.yaw, self.yaw)
        pitch, roll = rng.normal(0, self.tilt, 2)
        pose = np.eye(4)
        pose[:3, :3] = from_roll_pitch_yaw(roll, pitch, yaw)
        pose[:3, 3] = rng.uniform(self.lowest, self.highest)
        return pose
