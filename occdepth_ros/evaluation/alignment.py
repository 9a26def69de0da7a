"""Alignment of predictions with the grid of the ground truth; the grids differ by whole voxels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid


def aligned_labels(labels: npt.NDArray[np.uint8], source: VoxelGrid, target: VoxelGrid) -> npt.NDArray[np.uint8]:
    """Move labels from one grid to another.

    The voxels of the benchmark's ground truth start at z = -2.2 m (a point at height z lies in the layer
    floor((z + 2.0) / 0.2) + 1), those of published predictions at z = -2.0 m, one layer higher.

    Args:
        labels: `[X, Y, Z]` uint8 on `source`.
        source, target: grids of equal resolution whose origins differ by whole voxels; frame names are not compared.

    Returns:
        labels on `target`, 255 where `source` has no voxel; the input array itself if the grids are equal.

    Raises:
        GridError: the grids do not share a lattice.
    """
    shift = source.offset_to(target)
    if source.size == target.size and shift == (0, 0, 0):
        return labels
    out = np.full(target.size, UNKNOWN, np.uint8)
    spans = [
        (max(move, 0), min(move + have, want)) for move, have, want in zip(shift, source.size, target.size, strict=True)
    ]
    if all(low < high for low, high in spans):
        into = tuple(slice(low, high) for low, high in spans)
        out_of = tuple(slice(low - move, high - move) for (low, high), move in zip(spans, shift, strict=True))
        out[into] = labels[out_of]
    return out
