"""Images that are not one exposure: torn between two exposures, with shifted rows, or taken one pair late.

A driver that hands out a buffer while it is filled, or a link that loses bytes, joins the upper part of one image and
the lower part of another one. The images still match, at disparities that have nothing to do with the scene.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.matching import STEPS
from occdepth_ros.stereo.pair_checks.reduced import Disparity, ImageArray, Mask, ReducedPair

Floats = npt.NDArray[np.float64]

BANDS = 6
"""Bands of rows that are compared with the pair before."""
MIN_STRUCTURED = 0.1
"""Share of a band's pixels with structure below which it is not compared."""
SEAM_COLUMNS = 256
"""Largest number of columns in the middle of an image whose neighbouring rows are compared."""
MAX_SEAM_CORRELATION, MIN_SEAM_DROP = 0.2, 0.25
"""Correlation of the horizontal gradients of two neighbouring rows up to which a seam is suspected, and by which it is
below that of the rows around them. On KITTI it is at least 0.23, and at most 0.1 at the seams of torn images; the sharp
border of an object that fills the width of the image has a low one, too."""
MAX_SEAMS = 2
"""Largest number of seams of an image that are examined."""
NOISE = 9.0
"""Mean squared gradient that is added to that of a row, so that noise in a plain row is no seam."""
MIN_SHIFT_PX, MAX_SHIFT_PX = 2, 128
"""Shifts of the rows below a seam that are searched, pixels."""
MIN_SHIFT_CORRELATION, MIN_SHIFT_GAIN = 0.6, 0.3
"""Least correlation of the two rows at a seam after the shift, and least gain by it."""
MIN_PROMPT_MATCHED = 0.84
"""`PairQuality.matched` below which an image may be late: at least 0.85 on KITTI."""
MIN_CHANGE = 3.0
"""Mean change of a late band since the pair before, grey levels; noise of the reduced images is below 1."""
PARTS, MIN_SHIFTED_PARTS = 8, 0.75
"""Parts of a row, and least share of them that the shift must improve."""
MIN_LATE_MATCHED, MIN_LATE_GAIN = 0.6, 0.2
"""Least `band_matches` of a late band with the pair before, and least gain over the match within the pair: at most 0.1
on KITTI, and 0.4 to 0.7 in bands that are late."""


def shifted_rows(image: ImageArray) -> tuple[int, int] | None:
    """Return the row from which on the rows of an image are shifted, and by how many pixels to the right, or None.

    Args:
        image: `[H, W, 3]` RGB uint8.
    """
    for row in seams_of(image):
        if shift := shift_at(image, row):
            return row, shift
    return None


def seams_of(image: ImageArray) -> list[int]:
    """Return the rows of an image above which a seam is suspected, at most `MAX_SEAMS`.

    Args:
        image: `[H, W, 3]` RGB uint8.
    """
    height, width = image.shape[:2]
    if height < 16:
        return []
    start = max(0, (width - SEAM_COLUMNS) // 2)
    slope = cv2.Sobel(np.ascontiguousarray(image[:, start : start + SEAM_COLUMNS, 1]), cv2.CV_32F, 1, 0, ksize=1)
    energy = _row_means(slope * slope) + NOISE
    correlation = _row_means(slope[1:] * slope[:-1]) / np.sqrt(energy[1:] * energy[:-1])
    around = np.lib.stride_tricks.sliding_window_view(correlation, 5)
    drop = np.median(around, axis=1) - around[:, 2]
    suspected = (drop >= MIN_SEAM_DROP) & (around[:, 2] <= MAX_SEAM_CORRELATION)
    rows = np.flatnonzero(suspected)
    return [int(row) + 3 for row in rows[np.argsort(-drop[rows])[:MAX_SEAMS]]]


def _row_means(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.reduce(values, 1, cv2.REDUCE_AVG), np.float32).ravel()


def shift_at(image: ImageArray, row: int) -> int:
    """Return by how many pixels the rows from `row` on are shifted to the right against those above, 0 = not.

    `image` is `[H, W, 3]` uint8.
    """
    above, below = (np.diff(image[r, :, 1].astype(np.float32)) for r in (row - 1, row))
    limit = min(MAX_SHIFT_PX, len(above) // 4)
    inner = above[limit:-limit]
    squares = np.concatenate([[0.0], np.cumsum(below.astype(np.float64) ** 2)])
    energy = squares[len(inner) :] - squares[: len(squares) - len(inner)]
    norms = np.sqrt(np.maximum(energy, 0) * float(inner @ inner))
    correlation = np.correlate(below, inner, "valid") / np.maximum(norms, 1e-6)
    best = int(correlation.argmax()) - limit
    gain = correlation[best + limit] - correlation[limit]
    if abs(best) < MIN_SHIFT_PX or correlation[best + limit] < MIN_SHIFT_CORRELATION or gain < MIN_SHIFT_GAIN:
        return 0
    # the lower edge of one object may continue with a shift, but not the whole row
    before, after = (_part_correlations(inner, below[at : at + len(inner)]) for at in (limit, best + limit))
    return best if (after >= before + MIN_SHIFT_GAIN).mean() >= MIN_SHIFTED_PARTS else 0


def _part_correlations(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the correlation of two rows in each of `PARTS` parts that has structure."""
    parts = zip(np.array_split(a, PARTS), np.array_split(b, PARTS), strict=True)
    return np.array(
        [float(x @ y) / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-6) for x, y in parts], np.float32
    )


def late_bands(previous: ReducedPair, current: ReducedPair) -> tuple[str, npt.NDArray[np.bool_]] | None:
    """Find the parts of an image that belong to the pair before.

    Returns:
        the late side, "left" or "right", and the late bands, `[BANDS]`; None where both images are of one moment.
    """
    within = band_matches(*current.grey, current.disparity, current.structured[0], current)
    for index, side in enumerate(("left", "right")):
        # a late left image matches the right image of the pair before
        of_left, of_right = (current, previous) if index == 0 else (previous, current)
        left, right = of_left.grey[0], of_right.grey[1]
        across = band_matches(left, right, current.disparity_of(left, right), of_left.structured[0], current)
        late = (across >= MIN_LATE_MATCHED) & (across >= within + MIN_LATE_GAIN)
        # in front of a stationary camera, all earlier images match
        late &= _band_means(cv2.absdiff(previous.grey[index], current.grey[index])) >= MIN_CHANGE
        if late.any():
            return side, late
    return None


def _band_means(image: cv2.typing.MatLike) -> Floats:
    return np.array([rows.mean() for rows in np.array_split(np.asarray(image), BANDS)])


def band_matches(
    left: ImageArray, right: ImageArray, disparity: Disparity, structured: Mask, pair: ReducedPair
) -> Floats:
    """Return how well each band matches, `[BANDS]`: share of matched pixels times correlation; NaN without structure.

    Args:
        left, right: `[h, w]` uint8, reduced; they may be of different pairs.
        disparity: of the left image, as `ReducedPair.disparity`.
        structured: pixels of the left image with structure, `[h, w]`.
        pair: has the searched disparities.
    """
    inside = structured.copy()
    inside[:, : max(0, pair.lowest + pair.count)] = False
    found = inside & (disparity >= pair.lowest * STEPS)
    column = np.arange(left.shape[1], dtype=np.float32)[None] - disparity.astype(np.float32) / np.float32(STEPS)
    rows = np.repeat(np.arange(len(left), dtype=np.float32)[:, None], left.shape[1], 1)
    a, other = (image.astype(np.float32) - cv2.blur(image, (9, 9)) for image in (left, right))
    b = cv2.remap(other, column, rows, cv2.INTER_LINEAR)
    result = np.full(BANDS, np.nan)
    for band, part in enumerate(np.array_split(np.arange(len(left)), BANDS)):
        rows_of = slice(part[0], part[-1] + 1)
        there, usable = found[rows_of], inside[rows_of]
        if usable.mean() < MIN_STRUCTURED:
            continue
        x, y = a[rows_of][there], b[rows_of][there]
        correlation = float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum() + 1e-6))
        result[band] = there.sum() / usable.sum() * max(correlation, 0.0)
    return result
