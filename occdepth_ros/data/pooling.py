"""Pooling of voxel labels: one label for each cubic block of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import GridError

Labels = npt.NDArray[np.uint8]

SPARSE_SHARE = 0.95
"""Share of empty or unknown voxels above which a block is not occupied."""


def downsample_labels(labels: Labels, factor: int) -> Labels:
    """Return labels of blocks for training (MonoScene, supplementary material: 1/8 for relations).

    A block of which more than 95 % is empty or unknown is empty if it has more empty than unknown voxels, else
    unknown. Any other block takes its most frequent occupied class, the smallest id on ties.

    Args:
        labels: class ids, 0 empty, 255 unknown, `[X, Y, Z]`.
        factor: edge of a block, voxels.

    Returns:
        `[X/factor, Y/factor, Z/factor]`.

    Raises:
        GridError: the volume is not divisible into blocks of this size.
    """
    classes, counts, shape = _count(labels, factor)
    n_empty, n_unknown = counts[:, EMPTY], counts[:, -1]
    occupied = _most_frequent_occupied(classes, counts)
    sparse = n_empty + n_unknown > SPARSE_SHARE * factor**3
    unoccupied = np.where(n_empty > n_unknown, EMPTY, UNKNOWN)
    return np.where(sparse, unoccupied, occupied).astype(np.uint8).reshape(shape)


def _count(labels: Labels, factor: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], tuple[int, ...]]:
    """Return the ids that occur, `[K]`, with 0 first and 255 last; their counts, `[blocks, K]`; the shape in blocks."""
    if labels.ndim != 3 or factor < 1 or any(n % factor for n in labels.shape):
        raise GridError(
            f"a volume of {labels.shape} voxels does not divide into blocks with an edge of {factor} voxels",
            where="labels",
            remedy="Give a volume [X, Y, Z] whose sizes are multiples of the block's.",
        )
    x, y, z = (n // factor for n in labels.shape)
    present = np.bincount(labels.ravel(), minlength=256) > 0
    present[[EMPTY, UNKNOWN]] = True
    classes = np.flatnonzero(present)
    # Few of the 256 ids occur. Counting ranks limits the table of 2x2x2 blocks to 50 MB instead of 500 MB.
    rank = (np.cumsum(present) - 1).astype(np.intp)[labels]
    block = np.arange(x * y * z, dtype=np.intp).reshape(x, 1, y, 1, z, 1) * len(classes)
    bins: npt.NDArray[Any] = rank.reshape(x, factor, y, factor, z, factor) + block
    counts = np.bincount(bins.ravel(), minlength=x * y * z * len(classes))
    return classes, counts.reshape(-1, len(classes)), (x, y, z)


def _most_frequent_occupied(classes: npt.NDArray[np.intp], counts: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the most frequent occupied class id of each block, `[blocks]`; unknown if no class occurs."""
    if len(classes) == 2:
        return np.full(len(counts), UNKNOWN, np.intp)
    return classes[1:-1][counts[:, 1:-1].argmax(axis=1)]
