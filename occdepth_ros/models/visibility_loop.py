"""Compiled loops over the voxels of a grid that determine whether the surface in their pixel hides them."""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled
from occdepth_ros.prediction import Visibility

SEEN, HIDDEN, OUTSIDE = (np.uint8(kind) for kind in (Visibility.SEEN, Visibility.HIDDEN, Visibility.OUTSIDE))


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


@compiled
def tabulate(
    column: Any, row: Any, depth: Any, visible: Any, width: int, margin: float, pixel: Any, nearest: Any, unseen: Any
) -> None:
    """Write the fields of `VisibilityTable`, all flat.

    Args:
        column, row, depth, visible: fields of `occdepth_ros.stereo.projection.VoxelPixels`.
        width: of the image, pixels.
        margin: half of a voxel's diagonal, metres.
        pixel, nearest, unseen: written.
    """
    for i in range(len(column)):
        if visible[i]:
            pixel[i], nearest[i], unseen[i] = row[i] * width + column[i], depth[i] - margin, HIDDEN
        else:
            pixel[i], nearest[i], unseen[i] = 0, np.inf, OUTSIDE
