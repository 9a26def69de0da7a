"""Semi-global matching (Hirschmüller, 2008) of a rectified pair: disparity and depth."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError
from occdepth_ros.stereo.semi_global import CompiledMatcher, Matcher, create_matcher, is_faster
from occdepth_ros.stereo.semi_global_loops import STEPS as STEPS
from occdepth_ros.stereo.unreliable_matches import MIXED_PX, beside_infinity, correlated, is_noisy

ImageArray = npt.NDArray[np.uint8]

SIGMA_PX = 0.5
"""Standard deviation of a disparity, pixels: measured against LiDAR on KITTI, without outliers."""
MIN_STRUCTURE = 3
"""Smallest mean horizontal Sobel response of a 9x9 window that can be matched, grey levels. Below it all disparities
have similar costs, and the matcher returns the smallest one or copies that of a neighbour."""
DISTINCT_STRUCTURE = 6
"""Smallest mean response if a wrong match is likely (bright windows: sky, glare) or harmful (far matches, which free
all space in front of them), grey levels."""
BRIGHT = 120
"""Mean grey level above which a window must have `DISTINCT_STRUCTURE`."""
FAR_PX = 4
"""Disparity, pixels, below which a window must have `DISTINCT_STRUCTURE`."""
SATURATED, MAX_SATURATED = 250, 0.1
"""Grey level from which a pixel is saturated, and the largest share of such pixels in a 9x9 window with a far match:
the border of a saturated region has equal positions in both images, independent of the surface behind the glare."""
MIN_DISPARITY_PX = SIGMA_PX
"""Smallest disparity of a match, pixels. A smaller one cannot be distinguished from none, which burnt-in text, dirt on
both lenses, glare and fixed-pattern noise have too; its ray would free all space up to infinity. On KITTI, 0.2 % of
the matches are smaller, most of them in the sky."""
NO_MATCH = -1
"""Raw disparity of a pixel without a reliable match."""


class SemiGlobalMatcher:
    """Dense disparity of the left image.

    Three-path semi-global matching with sub-pixel interpolation, followed by tests of left-right consistency,
    uniqueness, speckles, image structure (`has_structure`), patterns on the lenses and noise (`unreliable_matches`).
    Pixels that fail a test have no match. The images are padded on the left by the largest disparity, so that the left
    margin is matched as far as it is visible in the right image.

    Args:
        rig: the calibrated cameras.
        nearest_m: smallest depth to be matched, metres; with fx * baseline it determines the number of disparities.

    Raises:
        CalibrationError: the image is smaller than 64x16 pixels.
    """

    def __init__(self, rig: StereoRig, *, nearest_m: float) -> None:
        self.focal_baseline = float(rig.left.projection[0, 0]) * rig.baseline
        """Product of depth and disparity, pixel metres."""
        self.offset = rig.disparity_offset
        self.lowest = math.floor(self.offset)
        span = self.focal_baseline / nearest_m + self.offset - self.lowest
        # a surface with a disparity above half of the image width is not completely inside either image
        self.count = 16 * max(1, min(math.ceil(span / 16), rig.left.width // 32))
        if rig.left.width < 64 or rig.left.height < 16:
            raise CalibrationError(
                f"images of {rig.left.width}x{rig.left.height} are too small for stereo matching",
                where="stereo calibration",
                remedy="Use at least 64x16 pixels.",
            )
        self.columns = np.arange(rig.left.width, dtype=np.int16)[None, :] * STEPS
        self._margin = max(self.lowest + self.count, 0)
        is_compiled = is_faster(self.count, rig.left.width * rig.left.height)
        create: Callable[[int, int], Matcher] = CompiledMatcher if is_compiled else create_matcher
        self._matcher = create(self.lowest, self.count)

    def match(self, left: ImageArray, right: ImageArray) -> npt.NDArray[np.int16]:
        """Match one pair.

        Args:
            left, right: `[H, W, 3]` RGB uint8.

        Returns:
            `[H, W]` int16: disparity minus the rig's offset, in `1 / STEPS` pixels, so that
            depth = focal_baseline * STEPS / value; at least `MIN_DISPARITY_PX`, or `NO_MATCH`.
        """
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
        wide = [cv2.copyMakeBorder(image, 0, 0, self._margin, 0, cv2.BORDER_REPLICATE) for image in grey]
        raw = self._matcher.compute(wide[0], wide[1])[:, self._margin :]
        # a match outside the right image lies in the padding
        found = (raw >= self.lowest * STEPS) & (raw <= self.columns)
        # at the end of the search range the true disparity may be larger, which would move a near surface away
        found &= raw < (self.lowest + self.count - 1) * STEPS
        shift = round(self.offset * STEPS)
        is_far = raw < shift + FAR_PX * STEPS
        structure = horizontal_structure(grey[0])
        least = round(MIN_DISPARITY_PX * STEPS)
        at_infinity = found & (raw <= shift + least) & (structure >= DISTINCT_STRUCTURE)
        structured = has_structure(grey[0], is_far, structure)
        found &= structured
        found &= raw >= shift + least
        found &= ~beside_infinity(at_infinity, found & (raw < shift + MIXED_PX * STEPS))
        if is_noisy(found, structured, self._margin):
            found = correlated(grey[0], grey[1], raw.astype(np.float32) / np.float32(STEPS), found)
        return np.where(found, raw - np.int16(shift), np.int16(NO_MATCH)).astype(np.int16, copy=False)

    def depth(self, disparity: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """Convert disparity to depth (z), `[H, W]` float32 metres; NaN without a match or at no more than one step."""
        steps = np.where(disparity > 1, disparity, np.nan).astype(np.float32)
        return np.float32(self.focal_baseline * STEPS) / steps


def has_structure(
    grey: cv2.typing.MatLike, is_far: npt.NDArray[np.bool_], structure: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Return whether the window around a pixel has enough horizontal structure for an unambiguous match, `[H, W]`.

    Args:
        grey: `[H, W]` uint8.
        is_far: pixels whose match lies below `FAR_PX`, `[H, W]`.
        structure: `horizontal_structure` of the image, `[H, W]`.
    """
    is_distinct = structure >= DISTINCT_STRUCTURE
    is_distinct |= (structure >= MIN_STRUCTURE) & (cv2.blur(grey, (9, 9)) <= BRIGHT) & ~is_far
    saturated = cv2.threshold(grey, SATURATED - 1, 255, cv2.THRESH_BINARY)[1]
    is_distinct &= ~(is_far & (cv2.blur(saturated, (9, 9)) > 255 * MAX_SATURATED))
    return is_distinct


def horizontal_structure(grey: cv2.typing.MatLike) -> npt.NDArray[np.uint8]:
    """Return the mean absolute horizontal 3x3 Sobel response in a 9x9 window, `[H, W]` uint8, saturated at 255."""
    slope = cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, 1, 0))
    return np.asarray(cv2.blur(slope, (9, 9)), np.uint8)
