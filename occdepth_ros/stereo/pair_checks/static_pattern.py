"""Patterns that stay at the same pixels of both images while the scene moves: dirt or drops on the lenses, text.

They match at a constant disparity that has nothing to do with the scene, and their rays must not free any space.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.stereo.matching import DISTINCT_STRUCTURE, STEPS, create_matcher, horizontal_structure

ImageArray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

PAIRS = 5
"""Pairs over which a pattern must not change."""
LONGEST = 50
"""Pairs after which the comparison restarts if the scene has not moved enough until then."""
NEAREST_M = 2.5
"""Distance up to which a pattern that does not move is a part of the vehicle itself, metres; it is measured rightly."""
LEAST = 0.03
"""Least share of the image of a pattern; at most 0.015 on KITTI, around the focus of expansion."""
STRUCTURED = 16
"""Least `horizontal_structure` of a pattern: a plain surface shows no motion."""
SAME = 2
"""Largest change of a pixel of the reduced images that noise and compression explain, grey levels. The mean of 64
pixels has an eighth of the noise of one."""
BLOCKS, MOVED_BLOCKS = 6, 0.8
"""Rows and columns of blocks of the image, and least share of the structured blocks of which most pixels have changed.
A vehicle that passes a stationary camera moves in fewer blocks."""
MOVED_SHARE = 0.5
"""Share of the structured pixels of a block that have changed in a block that has moved."""
SMALLEST_PX = 3
"""Smallest width of a pattern, pixels of the reduced images. Around the focus of expansion, distant objects hardly
move."""


class StaticPattern:
    """Compares the pairs of one rig, at the reduced size of `quality.WIDTH`.

    Args:
        offset: disparity at infinity, pixels of the reduced images.
        nearest_px: disparity relative to it of a surface at `NEAREST_M`, pixels of the reduced images.
    """

    def __init__(self, offset: float, nearest_px: float) -> None:
        self._offset, self._nearest_px = offset, nearest_px
        self.mask: Mask | None = None
        """Pixels of the left image with such a pattern in both images, `[h, w]`; None = none found."""
        self._reference: tuple[ImageArray, ImageArray] | None = None
        self._pairs = 0

    def update(self, grey: tuple[ImageArray, ImageArray]) -> None:
        """Take the next pair, `[h, w]` uint8 each; updates `mask` when the scene has moved."""
        # a mean of 3x3 pixels has a third of the noise
        grey = (np.asarray(cv2.blur(grey[0], (3, 3)), np.uint8), np.asarray(cv2.blur(grey[1], (3, 3)), np.uint8))
        if self._reference is None or self._reference[0].shape != grey[0].shape:
            self._restart(grey)
            return
        self._pairs += 1
        for changed, old, new in zip(self._changed, self._reference, grey, strict=True):
            changed |= cv2.absdiff(old, new) > SAME
        if self._pairs < PAIRS:
            return
        structure = horizontal_structure(self._reference[0])
        changed = self._changed[0] & self._changed[1]
        if _has_moved(changed, structure >= DISTINCT_STRUCTURE):
            static = ~self._changed[0] & ~self._changed[1] & (structure >= STRUCTURED)
            found = cv2.morphologyEx(static.astype(np.uint8), cv2.MORPH_OPEN, np.ones((SMALLEST_PX,) * 2, np.uint8))
            self.mask = self._distant(found > 0) if found.mean() >= LEAST else None
        elif self._pairs < LONGEST:
            return
        self._restart(grey)

    def _distant(self, found: Mask) -> Mask | None:
        """Return the pattern without the parts of the vehicle in it, with its rim, or None if too little is left."""
        assert self._reference is not None
        span = 16 * max(1, min(4, found.shape[1] // 32))
        lowest = round(self._offset) - 16
        disparity = create_matcher(lowest, span + 16, speckles=12).compute(*self._reference)
        # parts beyond the search range have no match
        found &= (disparity >= lowest * STEPS) & (disparity < (self._offset + self._nearest_px) * STEPS)
        if found.mean() < LEAST:
            return None
        return np.asarray(cv2.dilate(found.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)

    def _restart(self, grey: tuple[ImageArray, ImageArray]) -> None:
        self._reference, self._pairs = grey, 0
        self._changed: list[Mask] = [np.zeros(image.shape, bool) for image in grey]


def _has_moved(changed: Mask, structured: Mask) -> bool:
    """Return whether structured pixels have changed in most blocks of the image."""
    size = BLOCKS, BLOCKS
    share = cv2.resize(structured.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    moved = cv2.resize((changed & structured).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    counted = share > 0.1
    return bool(counted.sum() >= BLOCKS and (moved >= MOVED_SHARE * share)[counted].mean() >= MOVED_BLOCKS)
