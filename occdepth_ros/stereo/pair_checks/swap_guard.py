"""Detects swapped left and right images, whose surfaces match at negative disparities."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ImageError
from occdepth_ros.stereo.matching import STEPS
from occdepth_ros.stereo.semi_global import create_matcher

ImageArray = npt.NDArray[np.uint8]

WIDTH = 320
"""Approximate width at which images are compared, pixels."""
REACH = 32
"""Largest magnitude of the searched disparities, pixels relative to infinity."""
MIN_NEGATIVE_SHARE = 0.3
"""Smallest share of pixels with negative disparity for a pair to count as swapped."""
NEGATIVE_RATIO = 5.0
"""Smallest ratio of pixels with negative to pixels with positive disparity for a pair to count as swapped.

On KITTI, 92 to 98 % of the pixels have a positive and at most 1 % a negative disparity; in swapped pairs vice versa."""
SWAPPED = "left and right are swapped: surfaces match at negative disparities only"
SWAPPED_REMEDY = (
    "Exchange the two images or topics; each CameraInfo must go with its own camera. Cameras that are mounted upside "
    "down look the same: rotate both images by 180 degrees instead."
)
PERIOD = 50
"""Pairs between two checks."""


class SwappedError(ImageError):
    """Left and right images are exchanged."""


class SwapGuard:
    """Checks the first pair of a calibration and then every fiftieth pair; after a swapped pair, every pair.

    Args:
        rig: the calibrated cameras.
    """

    def __init__(self, rig: StereoRig) -> None:
        self._offset = rig.disparity_offset
        self._countdown = 0

    def check(self, left: ImageArray, right: ImageArray) -> None:
        """Check one pair, `[H, W, 3]` RGB uint8 each; takes about 10 ms for the pairs that are matched.

        Raises:
            SwappedError: the images are swapped.
        """
        if self._countdown:
            self._countdown -= 1
            return
        if images_look_swapped(left, right, offset=self._offset):
            raise SwappedError(SWAPPED, where="stereo pair", remedy=SWAPPED_REMEDY)
        self._countdown = PERIOD - 1


def images_look_swapped(left: ImageArray, right: ImageArray, *, offset: float = 0.0) -> bool:
    """Return whether most matches have negative disparities; False for images too small to be matched.

    Args:
        left, right: `[H, W, 3]` RGB uint8, rectified.
        offset: disparity at infinity, pixels (`StereoRig.disparity_offset`).
    """
    height, width = left.shape[:2]
    infinity = round(offset * min(1.0, WIDTH / width))
    if width < 3 * REACH or height < 16:
        return False
    if width > WIDTH:
        height, width = max(16, round(height * WIDTH / width)), WIDTH
    grey = [
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_AREA)
        for image in (left, right)
    ]
    lowest = infinity - REACH
    disparity = create_matcher(lowest, 2 * REACH, speckles=50).compute(grey[0], grey[1])[:, REACH:-REACH]
    # matches within one pixel of infinity have no sign; pixels without a match are below the lowest disparity
    beyond = float(((disparity < (infinity - 1) * STEPS) & (disparity >= lowest * STEPS)).mean())
    before = float((disparity > (infinity + 1) * STEPS).mean())
    return beyond > MIN_NEGATIVE_SHARE and beyond > NEGATIVE_RATIO * before
