"""Row offsets, delay between the cameras, exposure and order of a stereo pair, from matched features.

In a rectified pair taken at the same time, a point has the same row in both images. A rotation of one camera shifts
rows by a linear function of the image coordinates. A delay t of the right image shifts rows by t times the vertical
image velocity of each point, which is measured with the next left image. Both effects are fitted to all matches
together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.stereo.rig_assessment.features import Features, ImageArray, matched

Floats = npt.NDArray[np.float64]

MIN_MATCHES = 100
"""Minimum number of matches of all pairs for an assessment."""
MOVING = 4.0
"""Minimum standard deviation of the vertical image velocity for the measurement of a delay, pixels per second."""
COLLINEAR = 0.95
"""Share of the variance of the velocity that a linear function of the image coordinates explains, above which a delay
cannot be distinguished from different focal lengths."""
HUBER_PX = 0.5
"""Residual from which a match loses weight in the fit, pixels."""
_BOX = (7, 7)


@dataclass(frozen=True)
class PairMatches:
    """Matches of one stereo pair.

    Args:
        left, right: positions of the matched points, `[N, 2]`, pixels (x, y).
        velocity: vertical image velocity in the left image, `[N]`, pixels per second; NaN = not measured.
        brightness: mean grey levels around each point in the left and the right image, `[N, 2]`.
    """

    left: Floats
    right: Floats
    velocity: Floats
    brightness: Floats


@dataclass(frozen=True)
class RigAssessment:
    """Result of all pairs.

    Args:
        pairs, matches: number of pairs with matches, and of matches.
        row_median: median of the row in the left image minus the row in the right image, pixels.
        row_95: 95th percentile of its absolute value, pixels.
        tilt: rotation of the right camera about its x axis that explains the mean row offset, degrees, positive up.
        roll: rotation of the right camera about its optical axis that explains rows that change with x, degrees.
        magnification: relative difference of the vertical focal lengths that explains rows that change with y.
        delay: time by which the right image is later than the left image, seconds; None = too little image motion.
        delay_error: standard error of the delay, seconds.
        exposure: brightness of the right image divided by that of the left one, median over the matched points.
        negative: share of the matches with a negative disparity; near 1 where the images are swapped.
        farthest: disparity of the farthest hundredth of the points, pixels; negative where the optical axes diverge.
    """

    pairs: int
    matches: int
    row_median: float
    row_95: float
    tilt: float
    roll: float
    magnification: float
    delay: float | None
    delay_error: float
    exposure: float
    negative: float
    farthest: float


def match_pair(
    left: ImageArray, right: ImageArray, later_left: ImageArray | None = None, seconds: float = 0.0
) -> PairMatches:
    """Match one rectified pair.

    Args:
        left, right: `[H, W, 3]` RGB uint8.
        later_left: the next left image, for the velocity.
        seconds: time from `left` to `later_left`.
    """
    first, second = Features(left), Features(right)
    index, there = matched(first, second)
    velocity = np.full(len(first.points), np.nan)
    if later_left is not None and seconds > 0 and len(index):
        followed, later = matched(first, Features(later_left))
        velocity[followed] = (later[:, 1] - first.points[followed, 1]) / seconds
    here = first.points[index]
    brightness = np.stack([_grey_at(first.grey, here), _grey_at(second.grey, there)], 1)
    return PairMatches(here, there, velocity[index], brightness)


def assess_rig(pairs: list[PairMatches], rig: StereoRig) -> RigAssessment | None:
    """Assess a rig by the matches of several pairs; None with fewer than `MIN_MATCHES` matches.

    Args:
        pairs: the matches.
        rig: the stated calibration.
    """
    used = [pair for pair in pairs if len(pair.left)]
    if sum(len(pair.left) for pair in used) < MIN_MATCHES:
        return None
    left, right = np.concatenate([p.left for p in used]), np.concatenate([p.right for p in used])
    velocity = np.concatenate([p.velocity for p in used])
    brightness = np.concatenate([p.brightness for p in used])
    k, k_right = rig.left.intrinsics, rig.right.intrinsics
    rows = (left[:, 1] - k[1, 2]) - (right[:, 1] - k_right[1, 2])
    disparity = left[:, 0] - right[:, 0] - rig.disparity_offset
    x, y = (left - k[:2, 2]).T / np.array([[k[0, 0]], [k[1, 1]]])
    has_velocity = np.isfinite(velocity)
    moves = has_velocity.sum() >= MIN_MATCHES and float(np.std(velocity[has_velocity])) > MOVING
    delay, error = None, math.inf
    columns = [np.ones_like(x), x, y]
    if moves:
        kept = has_velocity
        # for a plane that faces the camera the velocity is linear in y, and noise would shift the delay into the term
        # `y`: equal focal lengths are then assumed
        if _explained(np.stack(columns, 1)[kept], velocity[kept]) > COLLINEAR:
            columns[2] = np.zeros_like(y)
        system = np.stack([*columns, -velocity], 1)[kept]
        solution, covariance = robust_fit(system, rows[kept])
        delay, error = float(solution[3]), math.sqrt(covariance[3, 3])
    else:
        solution, _ = robust_fit(np.stack(columns, 1), rows)
    visible = (brightness > 8).all(1) & (brightness < 247).all(1)
    exposure = float(np.median(brightness[visible, 1] / brightness[visible, 0])) if visible.any() else math.nan
    fx, fy = float(k[0, 0]), float(k[1, 1])
    return RigAssessment(
        len(used),
        len(left),
        float(np.median(rows)),
        float(np.percentile(np.abs(rows), 95)),
        math.degrees(math.atan(float(solution[0]) / fy)),
        math.degrees(math.atan(float(solution[1]) / fx)),
        float(solution[2]) / fy,
        delay,
        error,
        exposure,
        float((disparity < 0).mean()),
        float(np.percentile(disparity, 1)),
    )


def robust_fit(system: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Fit by least squares with Huber's weights.

    Args:
        system: `[N, K]`.
        values: `[N]`, pixels.

    Returns:
        the solution `[K]` and its covariance `[K, K]`.
    """
    weight = np.ones(len(values))
    solution: Floats = np.zeros(system.shape[1])
    for _ in range(10):
        root = np.sqrt(weight)
        solution = np.asarray(np.linalg.lstsq(system * root[:, None], values * root, rcond=None)[0], np.float64)
        residual = np.abs(values - system @ solution)
        weight = np.minimum(1.0, HUBER_PX / np.maximum(residual, 1e-9))
    variance = float((weight * (values - system @ solution) ** 2).sum()) / max(len(values) - len(solution), 1)
    return solution, np.asarray(variance * np.linalg.pinv(system.T @ (system * weight[:, None])), np.float64)


def _explained(system: Floats, values: Floats) -> float:
    """Return the share of the variance of the values that a linear function explains, robust against outliers."""
    solution, _ = robust_fit(system, values)
    residual = np.median(np.abs(values - system @ solution))
    return 1.0 - float(residual / max(np.median(np.abs(values - np.median(values))), 1e-9)) ** 2


def _grey_at(grey: ImageArray, points: Floats) -> Floats:
    """Return the mean grey level in a window around each point, `[N]`."""
    smooth = cv2.blur(grey, _BOX)
    height, width = smooth.shape
    column, row = np.rint(points).astype(np.intp).T
    return np.asarray(smooth[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)], np.float64)
