"""Comparison of the rows of matched features in the two images of a pair, which are equal in a rectified, synchronous
pair."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import InputWarning
from occdepth_ros.stereo.occupancy import WORKING_WIDTH
from occdepth_ros.stereo.rig_assessment.assessment import robust_fit
from occdepth_ros.stereo.rig_assessment.features import Features, ImageArray, matched

MAX_MEDIAN, MAX_95 = 1.0, 3.0
"""Median and 95th percentile of the absolute row differences above which the rows do not match, pixels. On KITTI they
are at most 0.3 and 0.8."""
MIN_MATCHES = 60
"""Minimum number of matches of all pairs."""
DISTORTED, MAX_DISTORTED, EXPLAINED = 0.08, 0.6, 0.7
"""Smallest and largest coefficient k1 of a radial distortion, and the part of the median row difference that it
explains, from which the images are not undistorted. On KITTI it explains at most 0.45, and at most 0.67 where the right
image is turned."""
MAX_YAW, MAX_ROLL, MAX_MAGNIFICATION = 0.65, 0.15, 0.006
"""Rotation of the right camera about its vertical and about its optical axis, degrees, and magnification of the right
image from which they are named. In pairs of KITTI they are at most 0.40, 0.05 and 0.0031; with a right image that is
turned by 1.2 or 0.3 degrees, or magnified by 0.01 or 0.02, they are 0.81 to 1.56, 0.25 to 0.33, 0.0091 to 0.0133 and
0.0169 to 0.0234."""
MIN_ERRORS = 5.0
"""Multiples of their standard errors above which they must be."""

Rows = npt.NDArray[np.float64]


def row_differences(left: ImageArray, right: ImageArray, rig: StereoRig) -> Rows:
    """Return the row in the left minus the row in the right image of each matched feature.

    Args:
        left, right: `[H, W, 3]` RGB uint8 of the rig's size.
        rig: the calibrated cameras.

    Returns:
        `[N, 6]`: the difference, pixels; the one that a radial distortion of both cameras with k1 = 1 makes; and those
        that rotations of the right camera about its vertical, horizontal and optical axis make, and a magnification,
        pixels per radian.
    """
    shrink = max(1, round(left.shape[1] / WORKING_WIDTH))
    size = left.shape[1] // shrink, left.shape[0] // shrink
    first, second = (
        Features(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)) for image in (left, right)
    )
    index, there = matched(first, second)
    rows = [
        (shrink * points[:, 1] - camera.intrinsics[1, 2], _radial(shrink * points, camera))
        for points, camera in ((first.points[index], rig.left), (there, rig.right))
    ]
    k = rig.left.intrinsics
    x, y = (shrink * first.points[index] - k[:2, 2]).T / np.array([[k[0, 0]], [k[1, 1]]])
    # derivatives of the row of a distant point, Longuet-Higgins and Prazdny, 1980, eq. 2.5
    turns = [k[1, 1] * column for column in (x * y, 1 + y * y, x, y)]
    return np.stack([*(left - right for left, right in zip(*rows, strict=True)), *turns], 1)


def _radial(points: Rows, camera: PinholeCamera) -> Rows:
    """Return the row offset of a radial distortion with k1 = 1, `[N]` pixels."""
    k = camera.intrinsics
    x, y = (points - k[:2, 2]).T / np.array([[k[0, 0]], [k[1, 1]]])
    return np.asarray(k[1, 1] * y * (x * x + y * y))


def check_rows(measured: Sequence[Rows], where: str) -> tuple[InputWarning, ...]:
    """Warn if the rows of the images do not match.

    Args:
        measured: row differences of some pairs, `[N, 2]` each, as from `row_differences`.
        where: topics or folders of the images.
    """
    table = np.concatenate(measured) if measured else np.empty((0, 6))
    if len(table) < MIN_MATCHES:
        return ()
    rows = table[:, 0]
    median, largest = float(np.median(rows)), float(np.percentile(np.abs(rows), 95))
    k1, explained = _distortion(table)
    turns, covariance = robust_fit(table[:, 2:], table[:, 0])
    is_certain = np.abs(turns) >= MIN_ERRORS * np.sqrt(np.diag(covariance))
    yaw = math.degrees(abs(turns[0])) if is_certain[0] else 0.0
    by_yaw = _explained(rows, rows - table[:, 2:] @ turns) if yaw >= MAX_YAW else 0.0
    is_distorted = DISTORTED <= abs(k1) <= MAX_DISTORTED and explained >= max(EXPLAINED, by_yaw)
    if is_distorted and abs(median) <= MAX_MEDIAN:
        text = (
            f"the rows of {len(rows)} features differ as in images with a lens distortion (k1 = {k1:+.2f}): they are "
            "not undistorted, but the calibration states no distortion"
        )
        remedy = "Rectify the images, or publish them as raw with the D of their calibration."
        return (InputWarning("rows_differ", text, where, remedy),)
    if yaw >= MAX_YAW and abs(median) <= MAX_MEDIAN:
        wrong = math.radians(yaw) * table[:, 3].min()
        text = (
            f"the rows of {len(rows)} features differ as if the right camera were turned by {yaw:.1f} degrees about "
            f"its vertical axis: disparities are wrong by about {wrong:.0f} px. The two images are of different "
            "moments of a turn, the right camera does not point where its calibration states, or the images have a "
            "lens distortion that it does not state"
        )
        remedy = (
            "Trigger both cameras together; if it is the same while the robot stands still, rectify or calibrate again."
        )
        return (InputWarning("rows_differ", text, where, remedy),)
    roll, scale = (float(turn) if certain else 0.0 for turn, certain in zip(turns[2:], is_certain[2:], strict=True))
    changes = [f"turned by {abs(math.degrees(roll)):.1f} degrees"] if abs(math.degrees(roll)) >= MAX_ROLL else []
    changes += [f"magnified by {1 - scale:.3f}"] if abs(scale) >= MAX_MAGNIFICATION else []
    if changes and abs(median) <= MAX_MEDIAN:
        text = (
            f"the rows of {len(rows)} features differ as if the right image were {' and '.join(changes)} against the "
            "left one: disparities are wrong towards the borders"
        )
        remedy = (
            "Use both images as this calibration rectifies them, not zoomed, cropped or stabilised, and trigger the "
            "cameras together, or calibrate the pair again; `occdepth doctor rig` measures the rig."
        )
        return (InputWarning("rows_differ", text, where, remedy),)
    if abs(median) <= MAX_MEDIAN and largest <= MAX_95:
        return ()
    text = (
        f"the rows of the left and the right image differ by {median:+.1f} px (median of {len(rows)} features; "
        f"95 % differ by up to {largest:.1f} px): the images are not rectified by this calibration, "
        "or not taken at the same time"
    )
    remedy = "Calibrate the pair again, or use the images of this calibration; `occdepth doctor rig` measures the rig."
    return (InputWarning("rows_differ", text, where, remedy),)


def _distortion(table: Rows) -> tuple[float, float]:
    """Return the k1 that fits the row differences best, and the part of their median that it explains."""
    rows, radial = table[np.abs(table[:, 0]) < 2 * MAX_95, :2].T
    k1 = 0.0
    if len(rows) >= MIN_MATCHES:
        for _ in range(3):
            k1 = float((rows * radial).sum() / max((radial * radial).sum(), 1e-9))
            residual = np.abs(rows - k1 * radial)
            kept = residual <= 3 * np.median(residual)
            rows, radial = rows[kept], radial[kept]
    if not len(rows):
        return 0.0, 0.0
    return k1, _explained(rows, rows - k1 * radial)


def _explained(rows: Rows, residual: Rows) -> float:
    return 1 - float(np.median(np.abs(residual))) / max(float(np.median(np.abs(rows))), 1e-3)
