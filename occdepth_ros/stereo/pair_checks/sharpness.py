"""Comparison of the sharpness of the two images of a pair."""

from __future__ import annotations

import math

import numpy as np

from occdepth_ros.stereo.pair_checks.reduced import ImageArray

FAR = 8
"""Distance of the pixels that are compared with adjacent ones, pixels."""
ROWS = 32
"""Every row of this number is measured."""


def sharpness_ratio(left: ImageArray, right: ImageArray) -> float:
    """Return the binary logarithm of the ratio of the sharpness of the left to that of the right image.

    The sharpness is the mean difference of adjacent pixels of a row relative to that of pixels `FAR` apart. It does
    not depend on brightness and contrast; noise increases it.

    Args:
        left, right: `[H, W, 3]` RGB uint8.
    """
    ratio = _sharpness(left) / _sharpness(right)
    return math.log2(ratio)


def _sharpness(image: ImageArray) -> float:
    rows = np.ascontiguousarray(image[min(8, len(image) - 1) :: ROWS, :, 1]).astype(np.int16)
    near, far = (np.abs(rows[:, step:] - rows[:, :-step]).mean() for step in (1, min(FAR, rows.shape[1] - 1)))
    return float((near + 1e-3) / (far + 1e-3))
