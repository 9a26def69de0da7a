"""Magnification of one image of a pair against the other, measured in the rows of matched pixels at reduced size."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.matching import STEPS
from occdepth_ros.stereo.pair_checks.reduced import ReducedPair

MIN_SCALE, MAX_RESIDUAL = 0.015, 0.93
"""Magnification from which it is reported, and the part of the grey-level differences of the matched pixels that may
remain when it is compensated for."""
CLEAR_SCALE = 0.006
"""Magnification after the first step below which no second step is made."""
MAX_PIXELS, MIN_PIXELS = 1000, 200
"""Largest number of matched pixels that are used, and least number for a result."""
FIRST_ROWS = 24
"""Distance from the middle row up to which the first step uses pixels: further away, a large magnification moves them
by more than the size of their texture."""
MIN_SLOPE = 3.0
"""Vertical gradient from which a pixel shows its row, grey levels per pixel."""
DELTA = 5.0
"""Grey-level difference beyond which the weight of a pixel decreases."""

Floats = npt.NDArray[np.float32]


def magnification(pair: ReducedPair) -> float:
    """Return by how much the rows of the right image are magnified about its centre, 0.05 for 5 %; 0 where both images
    have one scale, or too little is matched.

    The disparities that matching found are kept; a shift of the rows, a magnification, and rotations about the vertical
    and the optical axis are fitted to the grey levels (Lucas and Kanade, 1981).
    """
    left, right = pair.grey
    height, width = left.shape
    found = pair.structured[0] & (pair.disparity >= pair.lowest * STEPS)
    found[:3], found[-3:] = False, False
    row, column = np.nonzero(found)
    if len(row) < MIN_PIXELS:
        return 0.0
    every = max(1, len(row) // MAX_PIXELS)
    row, column = row[::every], column[::every]
    x = (column - pair.disparity[row, column] / STEPS).astype(np.float32)
    grey = left[row, column].astype(np.float32)
    slope_left = _slopes(left)[row, column]
    other, slopes = right.astype(np.float32), _slopes(right)
    y, across = row.astype(np.float32) - height / 2, column.astype(np.float32) / width - 0.5
    fields = np.stack([y, np.ones_like(y), across * y, across * height], 1)
    fitted = np.zeros(4, np.float32)

    def compared() -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Grey-level differences and vertical gradients at the fitted rows, and the pixels that show their row."""
        there = row.astype(np.float32) + fields @ fitted
        seen = cv2.remap(other, x, there, cv2.INTER_LINEAR).ravel()
        slope = np.asarray((cv2.remap(slopes, x, there, cv2.INTER_LINEAR).ravel() + slope_left) / 2, np.float32)
        difference = np.asarray(grey - seen, np.float32)
        difference -= np.median(difference)
        return difference, slope, np.abs(slope) > MIN_SLOPE

    first = 0.0
    for step in range(2):
        difference, slope, used = compared()
        if step == 0:
            first = float(np.abs(difference[used]).mean()) if used.any() else 0.0
            used &= np.abs(y) <= FIRST_ROWS
        if used.sum() < MIN_PIXELS:
            return 0.0
        weighted = fields[used] * (slope[used] / np.maximum(np.abs(difference[used]), DELTA))[:, None]
        system = weighted.T @ (fields[used] * slope[used, None])
        fitted = fitted + np.linalg.lstsq(system, weighted.T @ difference[used], rcond=None)[0]
        if step == 0 and abs(fitted[0]) < CLEAR_SCALE:
            return 0.0
    difference, _, used = compared()
    is_clear = used.any() and np.abs(difference[used]).mean() <= MAX_RESIDUAL * first
    return float(fitted[0]) if is_clear and abs(fitted[0]) >= MIN_SCALE else 0.0


def _slopes(image: npt.NDArray[np.uint8]) -> Floats:
    """Return the vertical gradient, `[h, w]` grey levels per pixel."""
    return np.asarray(cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3) / 8, np.float32)
