"""Synthesis of a second view from an image with depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def right_view(
    left: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32], focal_baseline: float
) -> npt.NDArray[np.uint8]:
    """Shift every pixel by its disparity, focal_baseline / depth, to the left; the nearest of several is kept.

    Args:
        left: `[H, W, 3]` RGB.
        depth: `[H, W]` metres; pixels of NaN are omitted, the disparity of infinity is 0.
        focal_baseline: fx times baseline, pixels times metres.

    Returns:
        `[H, W, 3]`, black where no pixel of the left image is projected; gaps of one pixel are filled.
    """
    height, width = depth.shape
    known = depth > 0
    row, column = np.nonzero(known)
    disparity = focal_baseline / depth[known]
    target = np.rint(column - disparity).astype(np.int64)
    order = np.argsort(disparity, kind="stable")
    order = order[(target[order] >= 0) & (target[order] < width)]
    source = np.full((height, width), -1, np.int64)
    # the nearest pixel is written last
    source[row[order], target[order]] = column[order]
    crack = (source[:, 1:-1] < 0) & (source[:, :-2] >= 0) & (source[:, 2:] >= 0)
    source[:, 1:-1][crack] = source[:, :-2][crack]
    image = np.take_along_axis(left, np.maximum(source, 0)[..., None], axis=1)
    image[source < 0] = 0
    return image
