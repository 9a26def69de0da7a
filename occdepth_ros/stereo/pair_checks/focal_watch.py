"""Comparison of the stated focal length with the one that turns show, over a stream of pairs."""

from __future__ import annotations

from collections import deque

import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.stereo.pair_checks.reduced import ImageArray
from occdepth_ros.stereo.rig_assessment.focal_length import MAX_YAW, MIN_YAW, FocalLengthMeter

KEPT, MIN_MEASUREMENTS = 9, 5
"""Number of newest measurements that are compared, and least number for a warning."""
FIRST_PERIOD, PERIOD = 2, 500
"""Pairs between two measurements: before `KEPT` of them, and later. One takes about 60 ms of a core; the first period
doubles with each attempt that measures nothing, as in images with few corners, up to the second one."""
MAX_DIFFERENCE = 0.08
"""Difference from the stated focal length, by three quarters of the measurements, from which it is named. In the turns
of five sequences of KITTI and of a raw drive, the median is 0.97 to 1.05; with images of both cameras that are zoomed
by 0.85 and 1.15, 0.83 to 0.85 and 1.11 to 1.14."""


class FocalWatch:
    """Measures the focal length in turns of one rig, given its pairs in the order of their stamps.

    Zoomed images of both cameras, and a focal length and P[0,3] that are wrong by one factor, leave a consistent pair
    with a level ground: distances are wrong by that factor.

    Args:
        rig: the calibrated cameras.
    """

    def __init__(self, rig: StereoRig) -> None:
        self._rig = rig
        self._meter: FocalLengthMeter | None = None
        self._is_measured = True
        self._ratios: deque[float] = deque(maxlen=KEPT)
        self._before: tuple[ImageArray, ImageArray] | None = None
        self._countdown = 0
        self._period = FIRST_PERIOD
        self._found: tuple[InputWarning, ...] = ()

    def check(self, left: ImageArray, right: ImageArray, turn: float, where: str) -> tuple[InputWarning, ...]:
        """Take one pair, `[H, W, 3]` RGB uint8 of the rig's size each, and return a warning if turns contradict.

        Args:
            left, right: the images.
            turn: horizontal image motion since the pair before, degrees.
            where: topics or folders of the images.
        """
        before, self._before = self._before, (left, right)
        self._countdown -= 1
        if self._is_measured and before is not None and self._countdown < 0 and MIN_YAW <= turn <= 2 * MAX_YAW:
            self._measure(before, (left, right), where)
        return self._found

    def _measure(self, before: tuple[ImageArray, ImageArray], now: tuple[ImageArray, ImageArray], where: str) -> None:
        try:
            self._meter = self._meter or FocalLengthMeter(self._rig)
        except CalibrationError:  # the images are too small for stereo matching; models that use it report the error
            self._is_measured = False
            return
        if found := self._meter.measure(before, now):
            self._ratios.append(found.ratio)
            self._found = self._warnings(where)
            self._period = FIRST_PERIOD
        else:
            self._period = min(2 * self._period, PERIOD)
        self._countdown = self._period if len(self._ratios) < KEPT else PERIOD

    def _warnings(self, where: str) -> tuple[InputWarning, ...]:
        if len(self._ratios) < MIN_MEASUREMENTS:
            return ()
        low, ratio, high = np.percentile(self._ratios, (25, 50, 75))
        if high >= 1 - MAX_DIFFERENCE and low <= 1 + MAX_DIFFERENCE:
            return ()
        stated = float(self._rig.left.intrinsics[0, 0])
        text = (
            f"{len(self._ratios)} turns show a focal length of about {ratio:.2f} times the stated {stated:.0f} px: "
            f"distances may be wrong by this factor"
        )
        remedy = (
            "Both images are zoomed, cropped and resized, or stabilised, or CameraInfo is of another lens, resolution "
            "or focus: calibrate with the images as they are."
        )
        return (InputWarning("focal_length_contradicts_turns", text, where, remedy),)
