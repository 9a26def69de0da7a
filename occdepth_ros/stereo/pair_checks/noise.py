"""Noise of a pair of images that hides the scene."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.matching import DISTINCT_STRUCTURE, STEPS, horizontal_structure
from occdepth_ros.stereo.semi_global import create_matcher
from occdepth_ros.stereo.unreliable_matches import is_noisy

ImageArray = npt.NDArray[np.uint8]

MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Difference of two Laplacians, to which structure contributes little; its gain for noise is 6."""
MIN_NOISE = 8.0
"""Standard deviation of the noise from which its effect on matching is measured, grey levels; 1 to 3 on KITTI."""
PART = 96, 256
"""Rows and columns in the middle of the images that are measured."""


def noise_of(image: ImageArray) -> float:
    """Return the standard deviation of the noise of an RGB image, grey levels (Immerkaer, 1996).

    The median is used instead of the mean, so that edges do not count as noise. `image` is `[H, W, 3]` uint8.
    """
    response = cv2.filter2D(image[..., 1].astype(np.float32), -1, MASK)
    return float(np.median(np.abs(response))) / (0.6745 * 6)


def hiding_noise(left: ImageArray, right: ImageArray, offset: float) -> float:
    """Return the noise of a pair if it prevents matching, grey levels; otherwise 0.

    Args:
        left, right: `[H, W, 3]` RGB uint8, rectified.
        offset: disparity at infinity, pixels.
    """
    parts = [_middle(image) for image in (left, right)]
    if (noise := noise_of(parts[0])) < MIN_NOISE:
        return 0.0
    grey = [cv2.cvtColor(part, cv2.COLOR_RGB2GRAY) for part in parts]
    height, width = grey[0].shape
    lowest, count = round(offset), 16 * max(1, min(6, width // 32))
    if height < 16 or width < 64:
        return 0.0
    found = create_matcher(lowest, count).compute(grey[0], grey[1]) >= lowest * STEPS
    structured = horizontal_structure(grey[0]) >= DISTINCT_STRUCTURE
    return noise if is_noisy(found, structured, max(0, lowest + count)) else 0.0


def _middle(image: ImageArray) -> ImageArray:
    top, start = (max(0, (size - part) // 2) for size, part in zip(image.shape[:2], PART, strict=True))
    return np.ascontiguousarray(image[top : top + PART[0], start : start + PART[1]])
