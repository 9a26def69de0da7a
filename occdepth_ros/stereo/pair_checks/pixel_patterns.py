"""Patterns of pixels that no scene has: alternating lines of interlaced or wrongly decoded images, blocks of strong
compression, few grey levels, repeated rows of lost data, and black bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import InputWarning
from occdepth_ros.stereo.pair_checks.reduced import ImageArray

LINES = 24
"""Approximate number of rows and of columns that are measured."""
MAX_ALTERNATION = 1.1
"""Ratio of the mean difference of adjacent pixels to that of pixels two apart from which lines alternate. It is at most
0.67 on KITTI and 1 for noise without any scene; interlaced images of a moving camera have 1.4 and more in 95 %."""
BLOCK, MAX_BLOCKS = 8, 1.7
"""Edge of the blocks of a compression, pixels, and ratio of the differences at their borders to those within from which
they are named: at most 1.24 on KITTI, 1.3 to 2.8 at JPEG quality 20, and 1.8 and more at quality 10."""
MIN_LEVELS, MIN_RANGE = 12, 64
"""Number of grey levels below which an image has few, if they are spread over at least this range; KITTI has 240."""
MIN_REPEATED, MIN_DEVIATION = 0.1, 8.0
"""Share of the height from which equal rows at the lower edge are lost data, and standard deviation of their grey
levels: a uniform surface has equal rows as well."""
BLACK, MIN_BAR, MIN_LIT = 16, 0.02, 0.3
"""Largest grey level of a bar, its least share of the image's size on both sides, and share of the pixels next to it
that are brighter: the border of rectified images is curved."""

Lines = npt.NDArray[np.int16]


@dataclass(frozen=True)
class PixelPatterns:
    """Patterns of one image.

    Args:
        alternation: largest ratio of the mean difference of adjacent pixels to that of pixels two apart, along rows or
            columns.
        blocks: ratio of the differences at the borders of blocks to those within, the smaller one of both directions.
        levels: number of grey levels in use; 256 where the contrast is too low to say.
        bars: rows of bars at the top and at the bottom and columns at the left and at the right, pixels; 0 without a
            bar on the other side.
    """

    alternation: float
    blocks: float
    levels: int
    bars: tuple[int, int, int, int]

    @classmethod
    def of(cls, image: ImageArray) -> PixelPatterns:
        """Measure an image, `[H, W, 3]` RGB uint8."""
        height, width = image.shape[:2]
        first, every = min(8, height - 1), max(1, height // LINES)
        rows = np.asarray(image[first::every, :, 1], np.int16)
        first, every = min(8, width - 1), max(1, width // LINES)
        columns = np.ascontiguousarray(image[:, first::every, 1].T).astype(np.int16)
        along = [_alternation_and_blocks(lines) for lines in (rows, columns)]
        return cls(
            max(alternation for alternation, _ in along),
            min(blocks for _, blocks in along),
            _levels(rows),
            (*_bars(columns), *_bars(rows)),
        )


def repeated_rows(image: ImageArray) -> int:
    """Return the number of rows at the lower edge of an image `[H, W, 3]` uint8 that are equal, as a decoder that lost
    data repeats its last row. 0 where there are few, in a uniform area, and where all rows are equal.
    """
    height, last = len(image), image[-1, :, 1]
    few = round(MIN_REPEATED * height)
    if not few or (image[-1 - few, :, 1] != last).any() or last.std() < MIN_DEVIATION:
        return 0
    different = np.flatnonzero((image[:, :, 1] != last).any(1))
    count = height - 1 - int(different[-1]) if len(different) else 0
    return count if count >= few else 0


def _alternation_and_blocks(lines: Lines) -> tuple[float, float]:
    """Return `alternation` and `blocks` along lines `[N, L]`."""
    near = np.abs(lines[:, 1:] - lines[:, :-1])
    count = near.shape[1] // BLOCK * BLOCK
    if not count:
        return 0.0, 1.0
    mean = near.mean(0, dtype=np.float32)
    far = float(np.abs(lines[:, 2:] - lines[:, :-2]).mean(dtype=np.float32))
    phases = np.sort(mean[:count].reshape(-1, BLOCK).mean(0))
    return float(mean.mean() + 0.1) / (far + 0.1), float(phases[-1] + 0.1) / float(phases[:-1].mean() + 0.1)


def _levels(rows: Lines) -> int:
    counts = np.bincount(rows.ravel(), minlength=256)
    used = np.flatnonzero(counts)
    return len(used) if used[-1] - used[0] >= MIN_RANGE else 256


def _bars(lines: Lines) -> tuple[int, int]:
    """Return the length of the bars at both ends of lines `[N, L]`, 0 and 0 unless both ends have one."""
    length = lines.shape[1]
    if lines[:, 0].max() > BLACK or lines[:, -1].max() > BLACK:
        return 0, 0
    lit = np.flatnonzero((lines > BLACK).mean(0) >= MIN_LIT)
    if not len(lit):
        return 0, 0
    first, last = int(lit[0]), length - 1 - int(lit[-1])
    # the pixel next to a bar may be mixed with it
    dark = max(lines[:, : max(1, first - 1)].max(), lines[:, length - max(1, last - 1) :].max())
    return (first, last) if min(first, last) >= MIN_BAR * length and dark <= BLACK else (0, 0)


def pixel_warnings(left: PixelPatterns, right: PixelPatterns) -> Iterator[InputWarning]:
    """Warn about "alternating_lines", "blocky_images", "few_grey_levels" and "black_bars".

    Args:
        left, right: patterns of the two images.
    """
    sides = {"left": left, "right": right}
    if alternating := [side for side, found in sides.items() if found.alternation > MAX_ALTERNATION]:
        text = "adjacent lines differ more than every second one: it consists of two fields or has another encoding"
        remedy = (
            "Use progressive images; state the encoding that the data have (a Bayer pattern, the order of YUV 4:2:2)."
        )
        yield InputWarning("alternating_lines", text, _images(alternating), remedy)
    if blocky := [side for side, found in sides.items() if found.blocks > MAX_BLOCKS]:
        text = f"it consists of blocks of {BLOCK} pixels: strong compression, or enlarged pixels"
        remedy = "Use a higher quality of compression: surfaces may be metres off."
        yield InputWarning("blocky_images", text, _images(blocky), remedy)
    if few := [side for side, found in sides.items() if found.levels < MIN_LEVELS]:
        text = f"it has {min(sides[side].levels for side in few)} grey levels only"
        remedy = "Use at least 8 bits a pixel without dithering: smooth surfaces have no texture to match."
        yield InputWarning("few_grey_levels", text, _images(few), remedy)
    bars = [
        of_left if abs(of_left - of_right) <= 2 else 0 for of_left, of_right in zip(left.bars, right.bars, strict=True)
    ]
    if any(bars):
        text = (
            f"{bars[0]} and {bars[1]} rows at the top and bottom and {bars[2]} and {bars[3]} columns at the sides are "
            "black: the images are padded. If they were also scaled, all distances are wrong by this factor"
        )
        remedy = "Use the images as the calibration describes them, or scale and shift K and P with them."
        yield InputWarning("black_bars", text, "stereo pair", remedy)


def _images(sides: list[str]) -> str:
    return f"{sides[0]} image" if len(sides) == 1 else "both images"
