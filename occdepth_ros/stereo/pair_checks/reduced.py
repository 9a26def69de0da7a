"""A stereo pair at reduced size, with its structure and its matches, each computed once for all checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.matching import DISTINCT_STRUCTURE, horizontal_structure
from occdepth_ros.stereo.semi_global import create_matcher

ImageArray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Disparity = npt.NDArray[np.int16]

WIDTH = 160
"""Approximate width at which images are compared, pixels."""


@dataclass(frozen=True, eq=False)
class ReducedPair:
    """A pair at about `WIDTH` pixels.

    Args:
        color: left and right image, `[h, w, 3]` RGB uint8.
        offset: disparity at infinity, pixels of these images.
    """

    color: tuple[ImageArray, ImageArray]
    offset: float

    @classmethod
    def of(cls, left: ImageArray, right: ImageArray, offset: float) -> ReducedPair:
        """Reduce a pair, `[H, W, 3]` RGB uint8 each; `offset` in pixels of the full images."""
        return cls((reduced(left), reduced(right)), offset / reduction(left.shape[1]))

    @cached_property
    def grey(self) -> tuple[ImageArray, ImageArray]:
        """Grey levels, left and right, `[h, w]` uint8."""
        left, right = (np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in self.color)
        return left, right

    @cached_property
    def structured(self) -> tuple[Mask, Mask]:
        """Pixels with `DISTINCT_STRUCTURE`, left and right, `[h, w]`."""
        left, right = (horizontal_structure(image) >= DISTINCT_STRUCTURE for image in self.grey)
        return left, right

    @property
    def lowest(self) -> int:
        """Lowest disparity that is searched, pixels."""
        return round(self.offset) - 16

    @property
    def count(self) -> int:
        """Number of disparities that are searched."""
        return 16 * max(2, min(4, self.grey[0].shape[1] // 32))

    @cached_property
    def disparity(self) -> Disparity:
        """Disparity of the left image in `1 / STEPS` pixels, `[h, w]`; below `lowest` without a match."""
        return self.disparity_of(*self.grey)

    def disparity_of(self, left: ImageArray, right: ImageArray) -> Disparity:
        """Return the disparity of two images of different pairs of this rig, `[h, w]` uint8 each, as `disparity`."""
        return np.asarray(create_matcher(self.lowest, self.count, speckles=12).compute(left, right), np.int16)


def reduction(width: int) -> int:
    """Return the whole number by which images of this width are reduced."""
    return max(1, round(width / WIDTH))


def reduced(image: ImageArray) -> ImageArray:
    """Return an image `[H, W, 3]` uint8 reduced to a width of about `WIDTH`, `[h, w, 3]`."""
    height, width = image.shape[:2]
    factor = reduction(width)
    if width < 16 * factor or height < 8 * factor:
        return np.asarray(cv2.resize(image, (max(16, width), max(8, height)), interpolation=cv2.INTER_AREA), np.uint8)
    # reduction by a whole number is three times as fast; up to `factor` - 1 rows and columns are left out
    width, height = width // factor, height // factor
    whole = image[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
