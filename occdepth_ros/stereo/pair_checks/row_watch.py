"""Comparison of the rows of a stream of pairs: regularly, and in turns, in which cameras that do not trigger together
show different moments, and a wrong focal length shows itself."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import InputWarning
from occdepth_ros.stereo.pair_checks.focal_watch import FocalWatch
from occdepth_ros.stereo.pair_checks.reduced import ImageArray, reduced, reduction
from occdepth_ros.stereo.pair_checks.row_check import check_rows, row_differences

PERIOD = 500
"""Pairs between two regular comparisons."""
MIN_TURN = 0.3
"""Horizontal image motion since the pair before from which rows are compared, degrees. Without a turn, it is up to 0.5
on KITTI."""
GROWTH, DECAY = 1.5, 0.99
"""After a comparison in a turn, the next one follows in a faster turn by `GROWTH`, a bound that falls by `DECAY` with
each pair: every 40 pairs in a steady turn, because a comparison takes about 36 ms."""


class RowWatch:
    """Compares the rows of some pairs of one rig, given in the order of their stamps.

    Args:
        rig: the calibrated cameras.
        only_turns: whether the rows are compared in turns only.
    """

    def __init__(self, rig: StereoRig, *, only_turns: bool = False) -> None:
        self._rig = rig
        self._degrees_per_px = math.degrees(reduction(rig.left.width) / float(rig.left.intrinsics[0, 0]))
        self._only_turns = only_turns
        self._countdown = 0
        self._limit = MIN_TURN
        self._before: npt.NDArray[np.float32] | None = None
        self._regular: tuple[InputWarning, ...] = ()
        self._in_turns: tuple[InputWarning, ...] = ()
        self._focal = FocalWatch(rig)
        self._of_focal: tuple[InputWarning, ...] = ()

    @property
    def warnings(self) -> tuple[InputWarning, ...]:
        """Warnings of the last comparisons, as `check_rows` and `FocalWatch`."""
        return (*(self._in_turns or self._regular), *self._of_focal)

    def check(self, left: ImageArray, right: ImageArray, where: str) -> tuple[InputWarning, ...]:
        """Take one pair, `[H, W, 3]` RGB uint8 of the rig's size each, and return `warnings`.

        Args:
            left, right: the images.
            where: topics or folders of the images.
        """
        self._countdown -= 1
        is_regular = self._countdown < 0 and not self._only_turns
        turn = self._turn(left)
        self._of_focal = self._focal.check(left, right, turn, where)
        turns = turn >= self._limit
        if turns:
            self._limit = GROWTH * turn
        if is_regular or turns:
            found = check_rows([row_differences(left, right, self._rig)], where)
            if is_regular:
                self._countdown, self._regular = PERIOD - 1, found
            if turns:
                self._in_turns = found
        return self.warnings

    def _turn(self, left: ImageArray) -> float:
        """Return the horizontal image motion since the pair before, degrees."""
        grey = np.asarray(cv2.cvtColor(reduced(left), cv2.COLOR_RGB2GRAY), np.float32)
        before, self._before = self._before, grey
        self._limit = max(MIN_TURN, DECAY * self._limit)
        if before is None or before.shape != grey.shape:
            return 0.0
        window = cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F)
        return abs(cv2.phaseCorrelate(before, grey, window)[0][0]) * self._degrees_per_px
