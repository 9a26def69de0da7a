"""Semi-global matching (Hirschmüller, 2008) with three paths on several threads."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo import semi_global_loops as loops
from occdepth_ros.stereo.semi_global_loops import EDGE, GROUP, NO_PATH, ROWS, SHARE, STEPS

ImageArray = npt.NDArray[np.uint8]

WINDOW = ROWS
"""Edge of the window whose costs are summed, pixels."""
SMALL, LARGE = 6 * WINDOW**2, 24 * WINDOW**2
"""Costs of a change of the disparity by one pixel, and by more."""
CAP = 63
"""Largest slope of the grey values that is distinguished."""
DISTINCT = 100 - SHARE
"""Per cent by which the sum of the best disparity must be smaller than others."""
SPECKLE_RANGE = 2
"""Difference of the disparities of neighbours in one speckle, pixels."""
STRIPES = 4
"""Number of parts of an image that are matched separately, as OpenCV does."""
COUNTS = range(80, 257, GROUP)
"""Numbers of disparities for which the compiled loops are faster than OpenCV."""
MIN_PIXELS = 100_000
"""Size of the images from which the compiled loops are used: compilation takes seconds for each number."""
AVX2 = 11
"""OpenCV's number of the instructions without which the loops are not faster."""


class Matcher(Protocol):
    """Computes the disparity of a pair, as `cv2.StereoSGBM`."""

    def compute(self, left: Any, right: Any) -> Any:
        """Match images `[H, W]` uint8; return the disparity in `STEPS`, `[H, W]` int16, below the lowest for none."""


class CompiledMatcher:
    """The matcher of `create_matcher` in compiled loops: the same disparities, in half of the time.

    Args:
        lowest: lowest disparity, pixels.
        count: number of disparities, a multiple of 16.
        speckles: as in `create_matcher`.
    """

    def __init__(self, lowest: int, count: int, *, speckles: int = 200) -> None:
        self.lowest, self.count, self.speckles = lowest, count, speckles
        self._groups = (0,) * (count // GROUP)
        self._spaces: SimpleQueue[tuple[int, list[npt.NDArray[Any]]]] = SimpleQueue()

    def compute(self, left: ImageArray, right: ImageArray) -> npt.NDArray[np.int16]:
        """See `Matcher`."""
        height, width = left.shape
        samples = _samples(left), _samples(right, mirrored=True)
        out = np.full((height, width), (self.lowest - 1) * STEPS, np.int16)
        rows = math.ceil(height / STRIPES)
        # the paths of a stripe begin above it
        overlap = WINDOW // 2 + 1 + math.ceil(0.1 * rows)

        def match(stripe: int) -> None:
            start = stripe * rows
            space = self._space(width)
            part = max(start - overlap, 0), start, min(start + rows, height)
            arguments: list[Any] = [*samples, *part, self.lowest, np.int16(SMALL), np.int16(LARGE), *space, out]
            loops.match_rows(self._groups, *arguments)
            self._spaces.put((width, space))

        threads = min(cv2.getNumThreads(), STRIPES)
        for _ in (map if threads < 2 else _pool(threads).map)(match, range(math.ceil(height / rows))):
            pass
        found = cv2.medianBlur(out, 3)
        cv2.filterSpeckles(found, (self.lowest - 1) * STEPS, self.speckles, STEPS * SPECKLE_RANGE)
        return np.asarray(found, np.int16)

    def _space(self, size: int) -> list[npt.NDArray[Any]]:
        """Return the arrays of `match_rows` from `costs` on that no other thread uses."""
        with suppress(Empty):
            while True:
                width, space = self._spaces.get_nowait()
                if width == size:
                    return space
        width = min(size + self.lowest, size) - max(self.lowest + self.count, 0)
        path = self.count + 2 * EDGE
        shapes = [(width, self.count), (self.count,), *[(width, self.count)] * 3, (4, path), (2, width, path)]
        space = [np.zeros((ROWS, width, self.count), np.uint8)]
        space += [np.full(shape, NO_PATH, np.int16) for shape in [*shapes, *[(width,)] * 4, (size,), (size,)]]
        return space


def is_faster(count: int, pixels: int) -> bool:
    """Return whether `CompiledMatcher` is faster on this machine for a number of disparities and of pixels."""
    return count in COUNTS and pixels >= MIN_PIXELS and bool(cv2.checkHardwareSupport(AVX2))


def create_matcher(lowest: int, count: int, *, speckles: int = 200) -> cv2.StereoSGBM:
    """Create OpenCV's semi-global matcher with the settings of this package; `lowest` and `count` in whole pixels."""
    return cv2.StereoSGBM.create(
        minDisparity=lowest,
        numDisparities=count,
        blockSize=WINDOW,
        P1=SMALL,
        P2=LARGE,
        disp12MaxDiff=1,
        preFilterCap=CAP,
        uniquenessRatio=DISTINCT,
        speckleWindowSize=speckles,
        speckleRange=SPECKLE_RANGE,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )


def _samples(grey: ImageArray, *, mirrored: bool = False) -> ImageArray:
    """Return the argument `left` or `right` of `match_rows`."""
    slope = cv2.Sobel(grey, cv2.CV_16S, 1, 0, borderType=cv2.BORDER_REPLICATE)
    out = np.empty((grey.shape[0], 6, grey.shape[1]), np.uint8)
    for channel, values in ((0, np.clip(slope, -CAP, CAP) + CAP), (3, grey)):
        out[:, channel] = values[:, ::-1] if mirrored else values
        out[:, channel, [0, -1]] = CAP
        loops.write_between(out, channel)
    return out


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "matching")
