"""Measurement of the focal length in a turn: the image motion of a turn grows towards the sides of the view by the
inverse square of the true focal length, whatever the stated one is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.stereo.matching import ImageArray, SemiGlobalMatcher
from occdepth_ros.stereo.occupancy import WORKING_WIDTH

MAX_DISPARITY = 112
"""Largest disparity that is matched, pixels at working size."""
CORNERS, APART, QUALITY, WINDOW, LEVELS = 800, 6, 0.005, 13, 4
"""Maximum number of corners, their minimum distance (pixels) and quality, edge of their windows (pixels), and levels of
the image pyramid."""
RETURN_PX = 0.5
"""Largest distance at which a corner that is tracked forth and back arrives, pixels."""
MIN_CORNERS = 100
MIN_YAW, MAX_YAW = 0.6, 4.0
"""Rotations about the vertical axis that are measured, degrees. A smaller one is uncertain; with a larger one, the
motion is not linear in the rotation."""
MAX_ERROR = 0.02
"""Largest standard error of a measured ratio."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FocalLength:
    """A measured focal length.

    Args:
        ratio: true divided by stated focal length.
        yaw: rotation between the two pairs about the vertical axis, degrees.
    """

    ratio: float
    yaw: float


class FocalLengthMeter:
    """Measures the focal length of the left camera from two successive pairs of a turning rig.

    Args:
        rig: the cameras with the stated focal length.

    Raises:
        CalibrationError: the images are too small for stereo matching.
    """

    def __init__(self, rig: StereoRig) -> None:
        shrink = max(1, round(rig.left.width / WORKING_WIDTH))
        small = rig.scaled(rig.left.width // shrink, rig.left.height // shrink) if shrink > 1 else rig
        self._size = small.left.width, small.left.height
        self._k = small.left.intrinsics
        self._matcher = SemiGlobalMatcher(small, nearest_m=float(self._k[0, 0]) * small.baseline / MAX_DISPARITY)

    def measure(self, before: tuple[ImageArray, ImageArray], now: tuple[ImageArray, ImageArray]) -> FocalLength | None:
        """Measure two rectified pairs, left and right `[H, W, 3]` RGB uint8 each; None without a clear turn."""
        (old, old_depth), (new, new_depth) = (self._seen(*pair) for pair in (before, now))
        a, b = _tracked(old, new)
        depths = [_at(depth, points) for depth, points in ((old_depth, a), (new_depth, b))]
        known = np.isfinite(depths[0]) & np.isfinite(depths[1])
        if known.sum() < MIN_CORNERS:
            return None
        a, b = a[known], b[known]
        # in the middle of the motion, its second-order terms vanish
        inverse = 2 / (depths[0][known] + depths[1][known])
        return self._fitted((a + b) / 2 - self._k[:2, 2], b - a, inverse)

    def _seen(self, left: ImageArray, right: ImageArray) -> tuple[ImageArray, npt.NDArray[np.float32]]:
        """Return the grey left image and its depth, metres, at working size."""
        if left.shape[1::-1] != self._size:
            left, right = (
                np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
                for image in (left, right)
            )
        depth = self._matcher.depth(self._matcher.match(left, right))
        return np.asarray(cv2.cvtColor(left, cv2.COLOR_RGB2GRAY), np.uint8), np.asarray(depth, np.float32)

    def _fitted(self, points: Floats, motion: Floats, inverse: Floats) -> FocalLength | None:
        """Fit rotation, translation and focal length (Longuet-Higgins and Prazdny, 1980, eq. 2.5).

        Args:
            points: from the principal point, `[N, 2]` pixels.
            motion: of the points, `[N, 2]` pixels.
            inverse: inverse depth, `[N]`, 1 / metres.
        """
        f = float(self._k[0, 0])
        x, y = points.T
        none, one = np.zeros_like(x), np.ones_like(x)
        # unknown: yaw with its quadratic term, pitch with its own, roll, translation along x, y, z
        across = np.stack([one, x * x / f**2, none, x * y / f**2, y / f, f * inverse, none, x * inverse], 1)
        down = np.stack([none, x * y / f**2, one, y * y / f**2, -x / f, none, f * inverse, y * inverse], 1)
        system, target = np.concatenate([across, down]), motion.T.ravel()
        weight = np.ones(len(target))
        for _ in range(6):
            solution = np.linalg.lstsq(system * weight[:, None], target * weight, rcond=None)[0]
            residual = np.abs(target - system @ solution)
            scale = max(1.48 * float(np.median(residual)), 0.05)
            weight = np.where(residual > 6 * scale, 0.0, 1 / np.sqrt(1 + (residual / (2 * scale)) ** 2))
        yaw, quadratic = float(solution[0]), float(solution[1])
        degrees = math.degrees(abs(yaw) / f)
        if not MIN_YAW <= degrees <= MAX_YAW or quadratic / yaw <= 0 or (weight > 0).sum() < MIN_CORNERS:
            return None
        variance = float(((target - system @ solution) * weight) @ (target - system @ solution)) / len(target)
        covariance = np.linalg.pinv((system * weight[:, None]).T @ (system * weight[:, None])) * variance
        # the ratio is the square root of yaw / quadratic
        error = 0.5 * math.sqrt(max(float(covariance[1, 1]), 0.0)) / abs(quadratic)
        return FocalLength(math.sqrt(yaw / quadratic), degrees) if error <= MAX_ERROR else None


def _tracked(old: ImageArray, new: ImageArray) -> tuple[Floats, Floats]:
    """Return corners of the old image and their positions in the new one, `[N, 2]` pixels each."""
    empty = np.zeros((0, 2)), np.zeros((0, 2))
    corners = cv2.goodFeaturesToTrack(old, CORNERS, QUALITY, APART)
    if corners is None or len(corners) < MIN_CORNERS:
        return empty
    there, back = corners.copy(), corners.copy()
    size = WINDOW, WINDOW
    there, found, _ = cv2.calcOpticalFlowPyrLK(old, new, corners, there, winSize=size, maxLevel=LEVELS)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(new, old, there, back, winSize=size, maxLevel=LEVELS)
    a, b, c = (np.asarray(points, np.float64).reshape(-1, 2) for points in (corners, there, back))
    kept = (np.asarray(found).ravel() > 0) & (np.asarray(returned).ravel() > 0)
    kept &= np.abs(a - c).max(1) < RETURN_PX
    kept &= (b > 0).all(1) & (b < np.array(new.shape[::-1]) - 1).all(1)
    return a[kept], b[kept]


def _at(depth: npt.NDArray[np.float32], points: Floats) -> Floats:
    """Return the depth at points `[N, 2]`, metres; infinite where it is unknown."""
    column, row = np.rint(points).astype(np.intp).T
    found = np.asarray(depth[row, column], np.float64)
    return np.where(np.isfinite(found) & (found > 0), found, np.inf)
