"""Calibration of confidences: expected calibration error and reliability of labels (Guo et al., ICML 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.evaluation.metrics import percent

BINS = 10
"""Bins of equal width."""
LEVELS = 256
"""Number of values of a confidence."""

Bytes = npt.NDArray[np.uint8]


class Reliability:
    """Counts of right and wrong labels by confidence, over any number of scenes.

    Voxels whose ground truth is unknown are ignored. Voxels that are predicted as unknown have no confidence and are
    counted separately.
    """

    def __init__(self) -> None:
        self.counts = np.zeros((2, LEVELS), np.int64)
        """Wrong and right labels by confidence times 255."""
        self.voxels = np.zeros(2, np.int64)
        """Free and occupied voxels of the ground truth."""
        self.unknown = np.zeros(2, np.int64)
        """Free and occupied voxels of the ground truth that are predicted as unknown."""
        self.free = np.zeros(2, np.int64)
        """Free and occupied voxels of the ground truth that are predicted as free."""

    def add(self, labels: Bytes, confidence: Bytes, ground_truth: Bytes) -> None:
        """Add voxels.

        Args:
            labels: predicted class ids, 255 = unknown.
            confidence: probability of the labels times 255, of the same shape.
            ground_truth: class ids, 255 = unknown.
        """
        labelled = ground_truth != UNKNOWN
        label, level, true = labels[labelled], confidence[labelled], ground_truth[labelled]
        is_labelled = label != UNKNOWN
        right = (label == true)[is_labelled]
        self.counts += np.bincount(right * LEVELS + level[is_labelled], minlength=2 * LEVELS).reshape(2, LEVELS)
        occupied = true != EMPTY
        for total, mask in ((self.voxels, ...), (self.unknown, ~is_labelled), (self.free, label == EMPTY)):
            total += np.bincount(occupied[mask], minlength=2)

    def report(self) -> dict[str, Any]:
        """Summarize the counts, percent.

        Returns:
            `ece` (expected calibration error), mean `confidence` and `accuracy` of the voxels that are not unknown,
            share of `unknown` voxels, share of `occupied` voxels in the ground truth, in the unknown voxels
            (`occupied_of_unknown`) and in the voxels predicted as free (`occupied_of_free`), number of `voxels`, and
            the non-empty `bins` as lists of mean confidence, accuracy and number of voxels.
        """
        count = self.counts.sum(0)
        total = int(count.sum())
        level = np.arange(LEVELS) / (LEVELS - 1)
        bin_index = np.minimum((level * BINS).astype(int), BINS - 1)
        voxels = np.bincount(bin_index, count, BINS)
        filled = voxels > 0
        confidence = np.bincount(bin_index, count * level, BINS)[filled] / voxels[filled]
        accuracy = np.bincount(bin_index, self.counts[1], BINS)[filled] / voxels[filled]
        share = voxels[filled] / max(total, 1)
        everything = int(self.voxels.sum())
        return {
            "ece": percent(float((share * np.abs(confidence - accuracy)).sum())),
            "confidence": percent(float((share * confidence).sum())),
            "accuracy": percent(float((share * accuracy).sum())),
            "unknown": percent(int(self.unknown.sum()) / max(everything, 1)),
            "occupied": percent(self.voxels[1] / max(everything, 1)),
            "occupied_of_unknown": percent(self.unknown[1] / max(int(self.unknown.sum()), 1)),
            "occupied_of_free": percent(self.free[1] / max(int(self.free.sum()), 1)),
            "voxels": everything,
            "bins": [
                [percent(c), percent(a), int(n)] for c, a, n in zip(confidence, accuracy, voxels[filled], strict=True)
            ],
        }
