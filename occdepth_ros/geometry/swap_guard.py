"""Finds out whether left and right pictures were swapped: then surfaces lie at negative disparities."""

from __future__ import annotations

import math

import cv2
import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ImageError
from occdepth_ros.geometry.matching import Picture, create_matcher

WIDTH = 320
"""Pictures are compared at about this width, pixels."""
VOTES = 3
"""Verdicts in a row that settle it, either way: one odd frame does not."""
RATIO = 1.5
"""How many times more pixels must match one way round than the other for a verdict."""
LEAST = 0.05
"""Share of pixels that must match at all."""


class SwapGuard:
    """Matches the first pairs of a calibration both ways round, small, and compares how many pixels find a partner.

    In a correct pair surfaces shift left from the left picture to the right one, by at least the rig's offset; the
    other way round only chance and repetition match. Three verdicts in a row settle it; once settled as correct it
    costs nothing more, once settled as swapped it takes three correct pairs to clear.

    Args:
        rig: the calibrated cameras.
        nearest_m: smallest depth that is looked for, metres.
    """

    def __init__(self, rig: StereoRig, *, nearest_m: float) -> None:
        scale = min(1.0, WIDTH / rig.left.width)
        self._size = (max(32, round(rig.left.width * scale)), max(8, round(rig.left.height * scale)))
        self._offset = rig.disparity_offset * scale
        largest = rig.left.projection[0, 0] * rig.baseline / nearest_m * scale
        # the middle distance is enough
        self._count = 16 * max(1, min(math.ceil(largest / 16), 3))
        self._votes = 0
        self._swapped = False

    def check(self, left: Picture, right: Picture) -> None:
        """Look at one pair, `[H, W, 3]` RGB uint8 each.

        Raises:
            ImageError: the pictures are swapped.
        """
        if self._votes <= -VOTES:
            return
        verdict = self._verdict(left, right)
        same_way = verdict * self._votes >= 0
        self._votes = max(-VOTES, min(VOTES, self._votes + verdict if same_way or self._swapped else verdict))
        if self._votes >= VOTES:
            self._swapped = True
        elif self._votes <= 0:
            self._swapped = False
        if self._swapped:
            raise ImageError(
                "left and right are swapped: surfaces match at negative disparities only",
                where="stereo pair",
                remedy="Exchange the two pictures or topics; each CameraInfo must go with its own camera.",
            )

    def _verdict(self, left: Picture, right: Picture) -> int:
        """1 for swapped, -1 for correct, 0 for neither."""
        small = [
            cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), self._size, interpolation=cv2.INTER_AREA)
            for picture in (left, right)
        ]
        correct = self._matched(small[0], small[1], self._offset)
        swapped = self._matched(small[1], small[0], -self._offset)
        if max(correct, swapped) < LEAST:
            return 0
        return int(swapped > RATIO * correct) - int(correct > RATIO * swapped)

    def _matched(self, first: cv2.typing.MatLike, second: cv2.typing.MatLike, offset: float) -> float:
        """Share of the pixels of `first` with a reliable match nearer than infinity."""
        lowest = math.floor(offset)
        margin = max(lowest + self._count, 0)
        wide = [cv2.copyMakeBorder(p, 0, 0, margin, 0, cv2.BORDER_REPLICATE) for p in (first, second)]
        raw = create_matcher(lowest, self._count, speckles=20).compute(wide[0], wide[1])[:, margin:]
        return float(np.mean(raw > 16 * (offset + 1)))
