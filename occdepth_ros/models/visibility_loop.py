"""Compiled loop over the voxels of a grid that determines whether the surface in their pixel hides them."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.prediction import Visibility

SEEN = np.uint8(Visibility.SEEN)


@compiled
def compare(surface: Any, pixel: Any, nearest: Any, unseen: Any, out: Any) -> None:
    """Compare every voxel with the surface that its pixel shows; fields of `VisibilityTable`, all flat.

    Args:
        surface: depth by pixel, metres; NaN = none.
        pixel, nearest, unseen: fields of each voxel; `nearest` is infinite outside the view.
        out: values of `Visibility`, uint8.
    """
    for i in range(len(pixel)):
        out[i] = SEEN if nearest[i] <= surface[pixel[i]] else unseen[i]
