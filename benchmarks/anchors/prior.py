"""The blind prior: average of the training scenes, voxel by voxel, independent of the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN

Labels = npt.NDArray[np.uint8]

STEPS = 100
"""Number of occupancy levels when a threshold is selected."""


class BlindPrior:
    """Mean occupancy and most frequent class of every voxel.

    Args:
        targets: `[X, Y, Z]` class ids of the training scenes, all on one grid; 255 = unknown, ignored.
        folds: fold of each scene; scenes of one place have the same fold. The threshold maximizes the SC IoU when each
            fold is predicted from all others; it is 0.5 if there is only one fold.
    """

    def __init__(self, targets: Sequence[Labels], folds: Sequence[int]) -> None:
        self._targets = targets
        self._folds = folds
        self._shape = targets[0].shape
        self._counts = np.zeros((len(SEMANTIC_KITTI), targets[0].size), np.uint16)
        for target in targets:
            _count(self._counts, target, 1)
        self.occupancy: npt.NDArray[np.float32] = _occupancy(self._counts)
        """Fraction of the scenes with a label at a voxel in which it is occupied, `[X*Y*Z]`; 0 without labels."""
        self.classes: npt.NDArray[np.uint8] = _classes(self._counts)
        """Most frequent class of a voxel among occupied labels, `[X*Y*Z]`; 0 if it is never occupied."""
        self.threshold = self._best_threshold()

    def without(self, fold: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return occupancy and classes from all other folds, for use as features of the scenes of a fold."""
        left_out = [target for target, own in zip(self._targets, self._folds, strict=True) if own == fold]
        for target in left_out:
            _count(self._counts, target, -1)
        result = _occupancy(self._counts), _classes(self._counts)
        for target in left_out:
            _count(self._counts, target, 1)
        return result

    def labels(self) -> Labels:
        """Return the prediction, which is equal for all scenes, `[X, Y, Z]`."""
        return np.where(self.occupancy > self.threshold, self.classes, EMPTY).astype(np.uint8).reshape(self._shape)

    def _best_threshold(self) -> float:
        folds = sorted(set(self._folds))
        if len(folds) < 2:
            return 0.5
        free, occupied = np.zeros(STEPS + 1, np.int64), np.zeros(STEPS + 1, np.int64)
        for fold in folds:
            level = np.rint(self.without(fold)[0] * STEPS).astype(np.intp)
            for target in self._in_fold(fold):
                flat = target.ravel()
                free += np.bincount(level[flat == EMPTY], minlength=STEPS + 1)
                occupied += np.bincount(level[(flat != EMPTY) & (flat != UNKNOWN)], minlength=STEPS + 1)
        return best_threshold(free, occupied)

    def _in_fold(self, fold: int) -> Iterable[Labels]:
        return (target for target, own in zip(self._targets, self._folds, strict=True) if own == fold)


def best_threshold(free: npt.NDArray[np.int64], occupied: npt.NDArray[np.int64]) -> float:
    """Return the threshold in 0..1 with the highest SC IoU from voxel counts at N evenly spaced levels, `[N]`.

    Voxels above the threshold are predicted as occupied.
    """
    # by decreasing level: number of voxels predicted as occupied at this threshold
    hits, false = np.cumsum(occupied[::-1])[::-1], np.cumsum(free[::-1])[::-1]
    iou = hits / np.maximum(occupied.sum() + false, 1)
    lowest = int(iou.argmax())
    return (lowest - 0.5) / (len(free) - 1)


def _count(counts: npt.NDArray[np.uint16], target: Labels, sign: int) -> None:
    voxels = np.flatnonzero(target != UNKNOWN)
    # uint16 wraps around: adding 65535 subtracts 1
    counts[target.ravel()[voxels], voxels] += np.uint16(sign % (1 << 16))


def _occupancy(counts: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    labelled = counts.sum(0, dtype=np.uint32)
    return ((labelled - counts[EMPTY]) / np.maximum(labelled, 1)).astype(np.float32)


def _classes(counts: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    most = counts[1:].argmax(0).astype(np.uint8) + np.uint8(1)
    most[~counts[1:].any(0)] = EMPTY
    return most
