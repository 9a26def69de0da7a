"""Synthesis of a second view from an image with depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def right_view(
    left: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32], focal_baseline: float
) -> npt.NDArray[np.uint8]:
    """Shift every pixel to the left by its disparity, focal_baseline / depth. Nearer pixels overwrite farther ones.

    Args:
        left: `[H, W, 3]` RGB uint8.
        depth: `[H, W]` float32 metres. Pixels with NaN are omitted; infinity has a disparity of 0.
        focal_baseline: product of the focal length in pixels and the baseline in metres.

    Returns:
        `[H, W, 3]` RGB uint8. Gaps of one pixel are filled; other pixels without a source pixel are black.
    """
    height, width = depth.shape
    has_depth = depth > 0
    row, column = np.nonzero(has_depth)
    disparity = focal_baseline / depth[has_depth]
    target = np.rint(column - disparity).astype(np.int64)
    order = np.argsort(disparity, kind="stable")
    order = order[(target[order] >= 0) & (target[order] < width)]
    source = np.full((height, width), -1, np.int64)
    # The nearest pixel is written last and overwrites the others.
    source[row[order], target[order]] = column[order]
    crack = (source[:, 1:-1] < 0) & (source[:, :-2] >= 0) & (source[:, 2:] >= 0)
    source[:, 1:-1][crack] = source[:, :-2][crack]
    image = np.take_along_axis(left, np.maximum(source, 0)[..., None], axis=1)
    image[source < 0] = 0
    return image
