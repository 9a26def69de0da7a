"""Error of the predicted depth as disparity, by range of disparity."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.evaluation.metrics import percent

BOUNDS_PX = (0.0, 5.0, 12.0, 27.0, 60.0, np.inf)
"""Bounds of the ranges of true disparity, pixels."""
REACH_PX = 1.0
"""Larger errors do not count in the medians, pixels: they are mismatches, or points of a scan that the camera does not
see."""
STEPS = 100
"""Bins per pixel of the histogram of errors, from which medians are taken."""
OUTLIER_PX, OUTLIER_SHARE = 3.0, 0.05
"""An outlier has an error above both: pixels, and share of the true disparity (KITTI 2015)."""
MIN_PIXELS = 100
"""Smallest number of pixels of a range with a median."""


class DisparityScores:
    """Accumulated errors of frames: true minus predicted disparity, fx * baseline / depth, of pixels with both.

    A median that differs from zero in all ranges is an error of the calibration, such as of the principal points: see
    `occdepth_ros.sources.layouts.kitti_correction`.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._histogram = np.zeros((len(BOUNDS_PX) - 1, round(2 * REACH_PX * STEPS)), np.int64)
        self._outliers = 0
        self._pixels = 0

    def add(self, predicted: npt.NDArray[np.float32], true: npt.NDArray[np.float32], rig: StereoRig) -> None:
        """Add one frame.

        Args:
            predicted, true: depth of the left image, `[H, W]` metres; not finite or not positive = none.
            rig: the cameras, of this image size.
        """
        self.frames += 1
        known = np.isfinite(predicted) & np.isfinite(true) & (predicted > 0) & (true > 0)
        focal_baseline = float(rig.left.projection[0, 0]) * rig.baseline
        disparity = focal_baseline / true[known].astype(np.float64)
        error = disparity - focal_baseline / predicted[known].astype(np.float64)
        self._pixels += len(error)
        self._outliers += int(((abs(error) > OUTLIER_PX) & (abs(error) > OUTLIER_SHARE * disparity)).sum())
        close = np.abs(error) < REACH_PX
        part = np.digitize(disparity[close], BOUNDS_PX[1:-1])
        place = np.floor((error[close] + REACH_PX) * STEPS).astype(np.int64)
        np.add.at(self._histogram, (part, place), 1)

    def report(self) -> dict[str, Any]:
        """Return the medians of the errors, pixels, in total and by range, None for ranges with few pixels, and the
        share of outliers, percent."""
        names = [f"{low:g} to {high:g}" if high < np.inf else f"from {low:g}" for low, high in pairwise(BOUNDS_PX)]
        return {
            "frames": self.frames,
            "pixels": self._pixels,
            "median": _median(self._histogram.sum(0)),
            "by_disparity": dict(zip(names, map(_median, self._histogram), strict=True)),
            "outliers": percent(self._outliers / max(self._pixels, 1)),
        }


def _median(histogram: npt.NDArray[np.int64]) -> float | None:
    """Return the median of errors, pixels, rounded to a bin."""
    total = int(histogram.sum())
    if total < MIN_PIXELS:
        return None
    place = int(np.searchsorted(np.cumsum(histogram), (total + 1) // 2))
    return round((place + 0.5) / STEPS - REACH_PX, 3)
