"""Alignment of predictions with the grid and the conventions of the ground truth; grids differ by whole voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID


def comparable_labels(
    labels: npt.NDArray[np.uint8],
    source: VoxelGrid,
    target: VoxelGrid,
    ground_truth: npt.NDArray[np.uint8],
) -> npt.NDArray[np.uint8]:
    """Align a prediction with a ground truth, and exclude the layer that the ground truth cannot contain.

    The lowest layer of the benchmark's ground truth is always free, see `aligned_labels`, even if scans hit a surface
    there. A prediction on the grid of published networks does not have this layer. Predictions in this layer are
    therefore unknown, which counts as free, on either grid.

    Args:
        labels: `[X, Y, Z]` uint8 on `source`.
        source: grid of the prediction.
        target: grid of the ground truth.
        ground_truth: `[X, Y, Z]` uint8 on `target`.

    Returns:
        labels on `target`.

    Raises:
        GridError: the grids do not share a lattice.
    """
    aligned = aligned_labels(labels, source, target)
    lowest = ground_truth[..., 0]
    if (
        replace(target, frame_id=BENCHMARK_GRID.frame_id) != BENCHMARK_GRID
        or ((lowest != EMPTY) & (lowest != UNKNOWN)).any()
    ):
        return aligned
    aligned = aligned.copy()
    aligned[..., 0] = UNKNOWN
    return aligned


def aligned_labels(labels: npt.NDArray[np.uint8], source: VoxelGrid, target: VoxelGrid) -> npt.NDArray[np.uint8]:
    """Move labels from one grid to another.

    The voxels of the benchmark's ground truth start at z = -2.2 m (a point at height z lies in the layer
    floor((z + 2.0) / 0.2) + 1), those of published predictions at z = -2.0 m, one layer higher.

    Args:
        labels: `[X, Y, Z]` uint8 on `source`.
        source, target: grids of equal resolution whose origins differ by whole voxels; frame names are not compared.

    Returns:
        labels on `target`, 255 outside `source`; the input array itself if the grids are equal.

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
