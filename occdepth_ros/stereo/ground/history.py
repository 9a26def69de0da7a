"""Median of the measurements of the ground plane, and the number of places at which they were made."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.ground.pose import GroundPose, median_pose
from occdepth_ros.stereo.matching import ImageArray

KEPT = 25
"""Number of newest measurements in the median."""
MIN_APART_NS = 1_000_000_000
"""Minimum time between measurements at different places, nanoseconds: a vehicle at 5 m/s has moved to other ground."""
MIN_CHANGE = 6.0
"""Minimum mean difference of the images of different places at size `THUMBNAIL`, grey levels. Noise and passing objects
in front of a stationary camera cause smaller differences."""
THUMBNAIL = (32, 20)


class GroundHistory:
    """Running median of the measured ground plane.

    The slope of the road in view and the suspension change a single measurement by up to two degrees, and all
    measurements at one place equally. Only measurements at several places distinguish a wrong pose from a slope.
    """

    def __init__(self) -> None:
        self._poses: deque[GroundPose] = deque(maxlen=KEPT)
        self._places: deque[bool] = deque(maxlen=KEPT)
        self._last: tuple[int, npt.NDArray[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self._poses)

    def add(self, pose: GroundPose, left: ImageArray, stamp_ns: int) -> None:
        """Add the measurement of one pair.

        Args:
            pose: the measured pose.
            left: the left image, `[H, W, 3]` RGB uint8.
            stamp_ns: time of the images, nanoseconds.
        """
        small = cv2.resize(cv2.cvtColor(left, cv2.COLOR_RGB2GRAY), THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = small.astype(np.float32)
        is_new = self._last is None or (
            abs(stamp_ns - self._last[0]) >= MIN_APART_NS
            and float(np.abs(thumbnail - self._last[1]).mean()) >= MIN_CHANGE
        )
        if is_new:
            self._last = stamp_ns, thumbnail
        self._poses.append(pose)
        self._places.append(is_new)

    @property
    def median(self) -> GroundPose | None:
        """Median of the newest measurements; None without any."""
        found = median_pose(self._poses)
        return None if found is None else replace(found, places=sum(self._places))
