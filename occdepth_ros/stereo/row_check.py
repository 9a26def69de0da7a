"""Comparison of the rows of matched features in the two images of a pair, which are equal in a rectified, synchronous
pair."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import InputWarning
from occdepth_ros.stereo.occupancy import WORKING_WIDTH
from occdepth_ros.stereo.rig_assessment.features import Features, ImageArray, matched

MAX_MEDIAN, MAX_95 = 1.0, 3.0
"""Median and 95th percentile of the absolute row differences above which the rows do not match, pixels. On KITTI they
are at most 0.3 and 0.8."""
ENOUGH = 60
"""Minimum number of matches of all pairs."""

Rows = npt.NDArray[np.float64]


def row_differences(left: ImageArray, right: ImageArray, rig: StereoRig) -> Rows:
    """Return the row in the left minus the row in the right image of each matched feature, `[N]` pixels.

    Args:
        left, right: `[H, W, 3]` RGB uint8 of the rig's size.
        rig: the calibrated cameras.
    """
    shrink = max(1, round(left.shape[1] / WORKING_WIDTH))
    size = left.shape[1] // shrink, left.shape[0] // shrink
    first, second = (
        Features(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)) for image in (left, right)
    )
    index, there = matched(first, second)
    rows = shrink * (first.points[index, 1] - there[:, 1])
    return rows - float(rig.left.intrinsics[1, 2] - rig.right.intrinsics[1, 2])


def check_rows(measured: Sequence[Rows], where: str) -> tuple[InputWarning, ...]:
    """Warn if the rows of the images do not match.

    Args:
        measured: row differences of some pairs.
        where: topics or folders of the images.
    """
    rows = np.concatenate(measured) if measured else np.empty(0)
    if len(rows) < ENOUGH:
        return ()
    median, largest = float(np.median(rows)), float(np.percentile(np.abs(rows), 95))
    if abs(median) <= MAX_MEDIAN and largest <= MAX_95:
        return ()
    text = (
        f"the rows of the left and the right image differ by {median:+.1f} px (median of {len(rows)} features; "
        f"95 % differ by up to {largest:.1f} px): the images are not rectified by this calibration, "
        "or not taken at the same time"
    )
    remedy = "Calibrate the pair again, or use the images of this calibration; `occdepth doctor rig` measures the rig."
    return (InputWarning("rows_differ", text, where, remedy),)
