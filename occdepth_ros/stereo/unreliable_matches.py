"""Matches of semi-global matching that pass all other tests but do not show the scene: beside patterns on the lenses,
and of noise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

PATCH_PX, RIM_PX = 9, 10
"""Smallest width of a patch of matches at infinity, and distance from it within which a far match is unreliable,
pixels. Dirt, water drops and text on both lenses, or burnt into both images, match at infinity. At their rim they are
mixed with the scene, and the match lies between both. On KITTI, at most 2 % of the pixels are far and beside distant
hills or clouds of that size."""
MIXED_PX = 5
"""Disparity below which a match at such a rim is unreliable, pixels. With 8, `occdepth-edge-kitti` loses 1.6 points of
SC IoU on KITTI 02, where near trees stand before hills; with 5 at most 0.1 on each of ten places."""
MIN_MATCHED = 0.6
"""Share of the pixels with structure that are matched, below which noise is suspected. It is 0.91 to 0.99 on KITTI and
at most 0.5 with a noise whose standard deviation is the contrast of the scene."""
WINDOW_PX, MIN_CORRELATION = 21, 0.3
"""Window and least correlation of the left image with the matched right one for a match in images with noise. Matches
of independent noise correlate with 0.1 to 0.2, because the matcher selects the best ones."""
DENSITY_PX, MIN_DENSITY = 31, 0.5
"""Window and least share of matched pixels in it, in images with noise: wrong matches are sparse."""


def beside_infinity(at_infinity: Mask, is_far: Mask) -> Mask:
    """Return the far matches beside a patch of matches at infinity, `[H, W]`.

    Args:
        at_infinity: pixels with structure that match at infinity, `[H, W]`.
        is_far: far matches, `[H, W]`.
    """
    patches = cv2.erode(at_infinity.astype(np.uint8), np.ones((PATCH_PX, PATCH_PX), np.uint8))
    if not patches.any():
        return np.zeros_like(is_far)
    reach = PATCH_PX // 2 + RIM_PX
    return np.asarray(is_far & (cv2.dilate(patches, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0))


def is_noisy(found: Mask, structured: Mask, margin: int) -> bool:
    """Return whether so few pixels with structure are matched that noise is suspected.

    Args:
        found, structured: matched pixels and pixels with structure, `[H, W]`.
        margin: columns on the left that the right image does not show completely.
    """
    inside = structured[:, margin:]
    return int((found[:, margin:] & inside).sum()) < MIN_MATCHED * int(inside.sum())


def correlated(
    left: cv2.typing.MatLike, right: cv2.typing.MatLike, disparity: npt.NDArray[np.float32], found: Mask
) -> Mask:
    """Return the matches that the noise of the images does not explain, `[H, W]`.

    Args:
        left, right: grey levels, `[H, W]` uint8.
        disparity: in pixels, `[H, W]`; valid where found.
        found: matched pixels, `[H, W]`.
    """
    height, width = left.shape
    column = np.arange(width, dtype=np.float32)[None] - np.where(found, disparity, 0)
    row = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    a = left.astype(np.float32)
    b = cv2.remap(right, column.astype(np.float32), row.copy(), cv2.INTER_LINEAR).astype(np.float32)

    def mean(image: npt.NDArray[np.float32], size: int = WINDOW_PX) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.blur(image, (size, size)), np.float32)

    mean_a, mean_b = mean(a), mean(b)
    covariance = mean(a * b) - mean_a * mean_b
    variances = (mean(a * a) - mean_a**2) * (mean(b * b) - mean_b**2)
    is_correlated = found & (covariance >= MIN_CORRELATION * np.sqrt(np.maximum(variances, 1)))
    return np.asarray(is_correlated & (mean(is_correlated.astype(np.float32), DENSITY_PX) >= MIN_DENSITY))
