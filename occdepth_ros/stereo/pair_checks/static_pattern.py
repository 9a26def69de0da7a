"""Patterns that stay at the same pixels of both images while the scene moves: dirt or drops on the lenses, text.

They match at a constant disparity that has nothing to do with the scene, and their rays must not free any space.
"""

from __future__ import annotations

import cv2
import numpy as np

from occdepth_ros.stereo.matching import DISTINCT_STRUCTURE, STEPS, horizontal_structure
from occdepth_ros.stereo.pair_checks.reduced import ImageArray, Mask, ReducedPair

PAIRS = 5
"""Pairs over which a pattern must not change."""
MAX_PAIRS = 50
"""Pairs after which the comparison restarts if the scene has not moved enough until then."""
MAX_VEHICLE_M = 2.5
"""Distance up to which a pattern that does not move is a part of the vehicle itself, metres; it is measured rightly."""
MIN_SHARE = 0.03
"""Least share of the image of a pattern; at most 0.015 on KITTI, around the focus of expansion."""
MIN_STRUCTURE = 16
"""Least `horizontal_structure` of a pattern: a plain surface shows no motion."""
MAX_CHANGE = 2
"""Largest change of a pixel of the reduced images that noise and compression explain, grey levels. The mean of 64
pixels has an eighth of the noise of one."""
BLOCKS, MIN_MOVED_BLOCKS = 6, 0.8
"""Rows and columns of blocks of the image, and least share of the structured blocks of which most pixels have changed.
A vehicle that passes a stationary camera moves in fewer blocks."""
MIN_MOVED_SHARE = 0.5
"""Share of the structured pixels of a block that have changed in a block that has moved."""
MIN_WIDTH_PX = 3
"""Smallest width of a pattern, pixels of the reduced images. Around the focus of expansion, distant objects hardly
move."""


class StaticPattern:
    """Compares the pairs of one rig.

    Args:
        nearest_px: disparity of a surface at `MAX_VEHICLE_M` relative to infinity, pixels of the reduced images.
    """

    def __init__(self, nearest_px: float) -> None:
        self._nearest_px = nearest_px
        self.mask: Mask | None = None
        """Pixels of the left image with such a pattern in both images, `[h, w]`; None = none found."""
        self._reference: ReducedPair | None = None
        self._blurred: list[ImageArray] = []
        self._pairs = 0

    def update(self, pair: ReducedPair) -> None:
        """Take the next pair; updates `mask` when the scene has moved."""
        # a mean of 3x3 pixels has a third of the noise
        blurred = [np.asarray(cv2.blur(image, (3, 3)), np.uint8) for image in pair.grey]
        reference = self._reference
        if reference is None or reference.grey[0].shape != blurred[0].shape:
            self._restart(pair, blurred)
            return
        self._pairs += 1
        for changed, old, new in zip(self._changed, self._blurred, blurred, strict=True):
            changed |= cv2.absdiff(old, new) > MAX_CHANGE
        if self._pairs < PAIRS:
            return
        structure = horizontal_structure(self._blurred[0])
        changed = self._changed[0] & self._changed[1]
        if _has_moved(changed, structure >= DISTINCT_STRUCTURE):
            static = ~self._changed[0] & ~self._changed[1] & (structure >= MIN_STRUCTURE)
            found = cv2.morphologyEx(static.astype(np.uint8), cv2.MORPH_OPEN, np.ones((MIN_WIDTH_PX,) * 2, np.uint8))
            self.mask = self._distant(found > 0, reference) if found.mean() >= MIN_SHARE else None
        elif self._pairs < MAX_PAIRS:
            return
        self._restart(pair, blurred)

    def _distant(self, found: Mask, reference: ReducedPair) -> Mask | None:
        """Return the pattern without the parts of the vehicle in it, with its rim, or None if too little is left."""
        disparity, limit = reference.disparity, reference.offset + self._nearest_px
        # parts beyond the search range have no match
        found &= (disparity >= reference.lowest * STEPS) & (disparity < limit * STEPS)
        if found.mean() < MIN_SHARE:
            return None
        return np.asarray(cv2.dilate(found.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)

    def _restart(self, pair: ReducedPair, blurred: list[ImageArray]) -> None:
        self._reference, self._blurred, self._pairs = pair, blurred, 0
        self._changed: list[Mask] = [np.zeros(image.shape, bool) for image in blurred]


def _has_moved(changed: Mask, structured: Mask) -> bool:
    """Return whether structured pixels have changed in most blocks of the image."""
    size = BLOCKS, BLOCKS
    share = cv2.resize(structured.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    moved = cv2.resize((changed & structured).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    counted = share > 0.1
    return bool(counted.sum() >= BLOCKS and (moved >= MIN_MOVED_SHARE * share)[counted].mean() >= MIN_MOVED_BLOCKS)
