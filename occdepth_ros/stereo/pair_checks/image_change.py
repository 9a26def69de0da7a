"""Change of both images since the pair before: a frozen camera or decoder repeats an image, or a part of it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.pair_checks.reduced import ImageArray, Mask, ReducedPair

BANDS = 4
"""Bands of rows that are compared separately: a decoder that lost data repeats the lower part of an image."""
MIN_STRUCTURED = 0.05
"""Share of a band's pixels with structure below which its change is not measured."""
MIN_MOTION_PX = 0.3
"""Median change of one image from which the other one should change too, pixels of the compared images. An object that
only one camera sees, such as an arm, changes less than half of a band."""
MIN_RATIO = 5.0
"""Ratio of the changes of the two images from which one of them is frozen, apart from noise and compression. On KITTI
it is at most 1.4."""
PARTS = ("upper quarter", "second quarter", "third quarter", "lower quarter")


def frozen_part(previous: ReducedPair, current: ReducedPair) -> tuple[str, str] | None:
    """Find an image that has not changed apart from noise, while the other one has.

    Args:
        previous, current: pairs at a size at which noise is small.

    Returns:
        the side, "left" or "right", and its part, "" for the whole image; None where no image is frozen.
    """
    changes = np.array(
        [_changes(*images) for images in zip(previous.grey, current.grey, previous.structured, strict=True)]
    )
    for side, (own, other) in enumerate(((0, 1), (1, 0))):
        is_frozen = (changes[other] >= MIN_MOTION_PX) & (changes[own] * MIN_RATIO <= changes[other])
        if is_frozen.any():
            measured = np.isfinite(changes).all(0)
            parts = [name for name, frozen in zip(PARTS, is_frozen, strict=True) if frozen]
            return ("left", "right")[side], "" if is_frozen[measured].all() else " and ".join(parts)
    return None


def _changes(old: ImageArray, new: ImageArray, structured: Mask) -> npt.NDArray[np.float64]:
    """Return a lower bound of the median image motion in each band, pixels, `[BANDS]`; NaN without structure."""
    gradient = np.abs(cv2.Sobel(old, cv2.CV_16S, 1, 0))
    result = np.full(BANDS, np.nan)
    for band, rows in enumerate(np.array_split(np.arange(len(old)), BANDS)):
        part = slice(rows[0], rows[-1] + 1)
        inside = structured[part]
        if inside.mean() < MIN_STRUCTURED:
            continue
        before, after = old[part][inside].astype(np.float32), new[part][inside].astype(np.float32)
        # one camera may change its exposure alone
        gain = np.median(before / np.maximum(after, 1))
        # the 3x3 Sobel filter responds to a gradient of one grey level per pixel with 8
        result[band] = np.median(np.abs(before - gain * after)) / (gradient[part][inside].mean() / 8)
    return result
