"""The image that a second camera would take, from an image with depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def right_view(
    left: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32], focal_baseline: float
) -> npt.NDArray[np.uint8]:
    """Move every pixel by its disparity, focal_baseline / depth, to the left; the nearest of several counts.

    Args:
        left: `[H, W, 3]` RGB.
        depth: `[H, W]` metres; pixels of NaN are left out, infinity moves by nothing.
        focal_baseline: fx times baseline, pixel metres.

    Returns:
        `[H, W, 3]`, black where no pixel of the left image lands; cracks one pixel wide are closed.
    """
    height, width = depth.shape
    known = depth > 0
    row, column = np.nonzero(known)
    disparity = focal_baseline / depth[known]
    target = np.rint(column - disparity).astype(np.int64)
    order = np.argsort(disparity, kind="stable")
    order = order[(target[order] >= 0) & (target[order] < width)]
    source = np.full((height, width), -1, np.int64)
    # written last counts: the nearest
    source[row[order], target[order]] = column[order]
    crack = (source[:, 1:-1] < 0) & (source[:, :-2] >= 0) & (source[:, 2:] >= 0)
    source[:, 1:-1][crack] = source[:, :-2][crack]
    image = np.take_along_axis(left, np.maximum(source, 0)[..., None], axis=1)
    image[source < 0] = 0
    return image
