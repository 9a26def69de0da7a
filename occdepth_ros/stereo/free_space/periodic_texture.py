"""Ambiguous matches of periodic texture: fences, blinds, railings, brickwork, repeated windows.

Along the rows of a periodic surface, disparities that differ by whole periods match about equally well. Semi-global
matching selects the disparity that is smoothest relative to its surroundings, often that of the background, so that the
surface is placed too far away by one or more periods. Periods are peaks of the autocorrelation along the rows of the
left image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.compiled import compiled
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import ImageArray
from occdepth_ros.stereo.occupancy import WORKING_WIDTH, nearest_depth

Floats = npt.NDArray[np.float32]

BAND = 4
"""Number of rows at working size that are averaged into one band."""
WINDOW = 13
"""Width of the compared windows, pixels; `write_periods` sums windows of this width."""
SHORTEST_PX = 4
"""Shortest period, pixels; the texture must differ from itself at a shorter lag."""
SIMILAR, DIFFERENT = 0.4, 0.6
"""Two windows are similar if the ratio of the sum of the absolute differences of their gradients to the sum of their
absolute gradients is at most `SIMILAR`, and different from `DIFFERENT` on. Windows with different content have a ratio
of 0.7 to 0.8."""
PLAUSIBLE = 0.55
"""Limit of similarity for a window of the left and a window of the right image at a plausible disparity."""
MIN_SLOPE = 2
"""Smallest mean absolute gradient of a window, grey levels per two pixels, halved."""
MIN_SHARE, MIN_FOUND = 0.5, 0.15
"""Minimum shares of ambiguous pixels among the structured pixels and among all pixels around an ambiguous pixel."""


MIN_AREA = 100
"""Smallest area of a connected ambiguous region, pixels of the bands. In random texture, smaller regions occur by
chance."""


@dataclass(frozen=True)
class Ambiguity:
    """Periodic texture in one left image.

    Args:
        nearest_m: depth of the nearest surface that is consistent with the ambiguous match of a pixel, metres, `[h,
            w]`; infinite where the texture is not periodic.
        share: share of the image whose match is ambiguous.
    """

    nearest_m: Floats
    share: float


class PeriodicTexture:
    """Finds the ambiguous matches of one calibration.

    Args:
        rig: the calibrated cameras.
        grid: the voxels; rig and grid determine the searched disparities.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid) -> None:
        shrink = max(1, round(rig.left.width / WORKING_WIDTH))
        self._size = max(16, rig.left.width // shrink), max(1, rig.left.height // (shrink * BAND))
        scale = self._size[0] / rig.left.width
        self._focal_baseline = scale * float(rig.left.projection[0, 0]) * rig.baseline
        self._offset = scale * rig.disparity_offset
        span = math.ceil(self._focal_baseline / nearest_depth(rig, grid))
        self._largest = min(span, self._size[0] // 2)
        self.compile()

    def find(self, left: ImageArray, right: ImageArray, depth: Floats) -> Ambiguity:
        """Find the ambiguous matches of one pair; takes about 4 ms.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            depth: depth of the left image, `[H, W]` metres; NaN = no depth.
        """
        slopes = self._slopes(left)
        period = np.zeros(slopes.shape, np.int16)
        structured = np.zeros(slopes.shape, np.float32)
        write_periods(slopes, self._largest, period, structured)
        if not period.any():
            return Ambiguity(np.full(period.shape, np.inf, np.float32), 0.0)
        metres = np.asarray(cv2.resize(depth, self._size, interpolation=cv2.INTER_NEAREST), np.float32)
        # a match at infinity has no depth either, and its ray frees most voxels
        chosen = np.where(metres > 0, self._focal_baseline / metres, 0).astype(np.float32)
        nearest = np.zeros(period.shape, np.float32)
        write_nearest(slopes, self._slopes(right), period, chosen, self._largest, np.float32(self._offset), nearest)
        around = (2 * WINDOW - 1, 3)
        found = cv2.boxFilter((nearest > 0).astype(np.float32), -1, around)
        is_ambiguous = (found > MIN_FOUND) & (found >= MIN_SHARE * cv2.boxFilter(structured, -1, around))
        _, component, statistics, _ = cv2.connectedComponentsWithStats(is_ambiguous.astype(np.uint8), connectivity=4)
        is_ambiguous &= statistics[component, cv2.CC_STAT_AREA] >= MIN_AREA
        # the first and the last repetition have only one neighbour
        border = np.ones((3, WINDOW), np.uint8)
        is_ambiguous = cv2.dilate(is_ambiguous.astype(np.uint8), border) > 0
        # one pixel more than the nearest disparity, because the disparity of a period is rounded
        limit = cv2.dilate(nearest, border, iterations=2) + 1
        return Ambiguity(
            np.where(is_ambiguous, self._focal_baseline / limit, np.inf).astype(np.float32),
            float(is_ambiguous.mean()),
        )

    @staticmethod
    def compile() -> None:
        """Compile the loops or load them from the cache, which takes up to seconds."""
        stripes = np.tile(np.array([40, 40, -40, -40, 0, 0, 0, 0], np.float32), (2, 12))
        period = np.zeros(stripes.shape, np.int16)
        write_periods(stripes, 16, period, np.zeros_like(stripes))
        chosen = np.zeros_like(stripes)
        write_nearest(stripes, stripes, period, chosen, 16, np.float32(0), np.zeros_like(stripes))

    def _slopes(self, image: ImageArray) -> Floats:
        """Return half the horizontal gradient of the bands of rows, `[h, w]` grey levels."""
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1, scale=0.5), np.float32)


@compiled
def write_periods(slopes: Floats, largest: int, period: npt.NDArray[np.int16], structured: Floats) -> None:
    """Write the shortest period of the texture around each pixel, pixels, and 1 for pixels with structure.

    A window has a period if it is repeated twice at one lag and differs from its surroundings at a shorter lag.

    Args:
        slopes: horizontal gradient, `[h, w]`.
        largest: longest searched period, pixels.
        period, structured: `[h, w]`, initially 0; other pixels are unchanged.
    """
    height, width = slopes.shape
    similar_share, different_share = np.float32(SIMILAR), np.float32(DIFFERENT)
    least = np.float32(MIN_SLOPE * WINDOW)
    half = WINDOW // 2
    single, double, fourfold, eightfold, total, structure, is_similar, differed = np.zeros((8, width + 16), np.float32)
    for row in range(height):
        line = slopes[row]
        # lag 0 is the structure: the sum of the absolute gradients of the window from each pixel on
        for lag in range(min(largest, width // 3) + 1):
            if lag == 1:
                continue
            count = width - lag
            if lag == 0:
                for x in range(count):
                    single[x] = abs(line[x])
            else:
                for x in range(count):
                    single[x] = abs(line[x] - line[x + lag])
            single[count:] = np.float32(0)
            # sums of 13 neighbours by doubling, so that each step is one vector operation
            for x in range(count + 11):
                double[x] = single[x] + single[x + 1]
            for x in range(count + 9):
                fourfold[x] = double[x] + double[x + 2]
            for x in range(count + 5):
                eightfold[x] = fourfold[x] + fourfold[x + 4]
            inside = count - WINDOW + 1
            for x in range(inside):
                total[x] = eightfold[x] + fourfold[x + 8] + single[x + 12]
            if lag == 0:
                structure[:] = np.float32(0)
                for x in range(inside):
                    structure[x] = total[x] if total[x] >= least else np.float32(0)
                    structured[row, x + half] = np.float32(1) if total[x] >= least else np.float32(0)
                differed[:] = np.float32(0)
                continue
            found = 0
            is_similar[:] = np.float32(0)
            for x in range(inside):
                both = structure[x] + structure[x + lag]
                is_same = (
                    (total[x] <= similar_share * both)
                    & (differed[x] > 0)
                    & (structure[x] > 0)
                    & (structure[x + lag] > 0)
                )
                is_similar[x] = np.float32(1) if is_same else np.float32(0)
                found += is_same
                differed[x] = np.float32(1) if total[x] >= different_share * both else differed[x]
            if found == 0 or lag < SHORTEST_PX:
                continue
            for x in range(inside - lag):
                if is_similar[x] > 0 and is_similar[x + lag] > 0:
                    for times in range(3):
                        at = x + half + times * lag
                        if period[row, at] == 0:
                            period[row, at] = lag


@compiled
def write_nearest(
    left: Floats,
    right: Floats,
    period: npt.NDArray[np.int16],
    chosen: Floats,
    largest: int,
    offset: np.float32,
    nearest: Floats,
) -> None:
    """Write the largest disparity, whole periods above the chosen disparity, at which the right image matches.

    Args:
        left, right: horizontal gradients, `[h, w]`.
        period: result of `write_periods`.
        chosen: disparities of the matches minus the offset, pixels.
        largest: end of the searched disparities, pixels.
        offset: disparity at infinity, pixels.
        nearest: `[h, w]`; pixels without such a disparity are unchanged.
    """
    height, width = left.shape
    half = WINDOW // 2
    for row in range(height):
        for x in range(half, width - half):
            step = period[row, x]
            if step == 0:
                continue
            for times in range(int((largest - chosen[row, x]) // step), 0, -1):
                disparity = chosen[row, x] + times * step
                there = round(x - disparity - offset)
                if there < half or there >= width - half:
                    continue
                difference = both = np.float32(0)
                for k in range(-half, half + 1):
                    a, b = left[row, x + k], right[row, there + k]
                    difference += abs(a - b)
                    both += abs(a) + abs(b)
                if difference <= np.float32(PLAUSIBLE) * both:
                    nearest[row, x] = disparity
                    break
