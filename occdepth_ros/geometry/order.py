"""Tells whether the pictures of a rectified pair are swapped: then every disparity is negative."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.geometry.matching import STEPS, create_matcher

Picture = npt.NDArray[np.uint8]

WIDTH = 320
"""Pictures are shrunk to this width, pixels."""
REACH = 32
"""Disparities from -REACH to REACH pixels compete with each other."""
CLEAR_SHARE = 0.3
"""Share of pixels that must have a clearly negative disparity before anything is said."""
CLEAR_RATIO = 5.0
"""How many times more pixels must have a negative disparity than a positive one."""


def pictures_look_swapped(left: Picture, right: Picture, *, offset: float = 0.0) -> bool:
    """Whether most disparities are negative; False for pictures too small to tell. Takes about 10 ms.

    Args:
        left, right: `[H, W, 3]` RGB uint8, rectified.
        offset: disparity of what lies at infinity, pixels (`StereoRig.disparity_offset`).
    """
    height, width = left.shape[:2]
    infinity = round(offset * min(1.0, WIDTH / width))
    if width < 3 * REACH or height < 16:
        return False
    if width > WIDTH:
        height, width = max(16, round(height * WIDTH / width)), WIDTH
    grey = [
        cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_AREA)
        for picture in (left, right)
    ]
    lowest = infinity - REACH
    disparity = create_matcher(lowest, 2 * REACH, speckles=50).compute(grey[0], grey[1])[:, REACH:-REACH]
    # what lies at infinity has no sign, and what has no match carries less than the lowest value
    negative = float(((disparity < (infinity - 1) * STEPS) & (disparity >= lowest * STEPS)).mean())
    positive = float((disparity > (infinity + 1) * STEPS).mean())
    return negative > CLEAR_SHARE and negative > CLEAR_RATIO * positive
