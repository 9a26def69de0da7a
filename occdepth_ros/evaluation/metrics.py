"""Scores of scene completion and semantic scene completion as in the SemanticKITTI benchmark.

Counts are accumulated over a whole set and divided once at the end. Voxels whose ground truth is unknown (255) are
ignored; all others count, including voxels outside the view of the cameras. A prediction of 255 counts as empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN, ClassTable
from occdepth_ros.errors import GridError
from occdepth_ros.evaluation.alignment import comparable_labels
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth

MAX_PARTS = 16
"""Maximum number of parts of a scene that are counted in one pass."""

Labels = npt.NDArray[np.uint8]

_EPSILON = 1e-5
"""Added to the divisor of a class IoU, as in published code."""


class CompletionScores:
    """Streaming scores over any number of scenes.

    SC (scene completion) scores occupancy over all voxels. SSC (semantic scene completion) is the IoU of every class
    and their unweighted mean without the empty class; a class that is absent from prediction and ground truth
    contributes 0. All scores are fractions of 1.

    Args:
        classes: classes of the labels.
    """

    def __init__(self, classes: ClassTable = SEMANTIC_KITTI) -> None:
        self.classes = classes
        self.scenes = 0
        """Number of scenes added."""
        self.confusion: npt.NDArray[np.int64] = np.zeros((len(classes), len(classes)), np.int64)
        """Confusion matrix in voxels, `[true class, predicted class]`."""

    def add(self, predicted: Labels, ground_truth: Labels) -> None:
        """Add one scene; both label arrays have the same shape and grid.

        Raises:
            GridError: shapes differ, or a label is neither a class nor 255.
        """
        self.add_parts(predicted, ground_truth, ())

    def add_parts(
        self, predicted: Labels, ground_truth: Labels, masks: Sequence[npt.NDArray[np.bool_]]
    ) -> list[npt.NDArray[np.int64]]:
        """Add one scene, and count parts of it separately in the same pass.

        Args:
            predicted, ground_truth: as for `add`.
            masks: parts, which may overlap; each broadcasts to the scene's shape; at most 16.

        Returns:
            The confusion matrix of each part, `[true class, predicted class]`; only that of the whole scene is added
            to these scores.

        Raises:
            GridError: as for `add`.
            ValueError: there are more than 16 parts.
        """
        if predicted.shape != ground_truth.shape:
            raise GridError(
                f"prediction {predicted.shape} and ground truth {ground_truth.shape} differ in shape", where="scores"
            )
        if len(masks) > MAX_PARTS:
            raise ValueError(f"{len(masks)} parts are more than {MAX_PARTS}")
        count = len(self.classes)
        labelled = ground_truth != UNKNOWN
        true, found = ground_truth[labelled], predicted[labelled]
        found = np.where(found == UNKNOWN, EMPTY, found).astype(np.uint8)
        for name, labels in (("prediction", found), ("ground truth", true)):
            if labels.max(initial=0) >= count:
                raise GridError(
                    f"the {name} holds the label {labels.max()}, which is none of the {count} classes",
                    where="scores",
                    remedy="Map raw dataset ids to class ids first.",
                )
        # encode the parts of a voxel as one number, so that a single histogram counts all parts
        parts = np.zeros(ground_truth.shape, np.uint16)
        for bit, mask in enumerate(masks):
            parts |= mask.astype(np.uint16) << np.uint16(bit)
        pair = true.astype(np.int32) * np.int32(count) + found
        parts = parts[labelled]
        codes = np.flatnonzero(np.bincount(parts, minlength=1))
        offset = np.zeros(codes.max(initial=0) + 1, np.int32)
        offset[codes] = count * count * np.arange(len(codes))
        histogram = np.bincount(pair + offset[parts], minlength=len(codes) * count * count)
        by_code = histogram.reshape(len(codes), count, count)
        self.confusion += by_code.sum(0)
        self.scenes += 1
        return [by_code[codes >> bit & 1 == 1].sum(0) for bit in range(len(masks))]

    def add_scene(self, prediction: OccupancyPrediction, ground_truth: SceneGroundTruth) -> None:
        """Add one prediction, see `comparable_labels`; the grid of the ground truth may be shifted by whole voxels.

        Raises:
            GridError: the grids do not share a lattice.
        """
        labels = ground_truth.labels
        self.add(comparable_labels(prediction.labels, prediction.grid, ground_truth.grid, labels), labels)

    @property
    def _occupied(self) -> tuple[int, int, int]:
        """True positives, false positives and false negatives of occupancy."""
        return (
            int(self.confusion[1:, 1:].sum()),
            int(self.confusion[0, 1:].sum()),
            int(self.confusion[1:, 0].sum()),
        )

    @property
    def precision(self) -> float:
        """Fraction of the voxels predicted as occupied that are occupied; 0 without true positives."""
        true_positives, false_positives, _ = self._occupied
        return true_positives / (true_positives + false_positives) if true_positives else 0.0

    @property
    def recall(self) -> float:
        """Fraction of the occupied voxels that are predicted as occupied; 0 without true positives."""
        true_positives, _, false_negatives = self._occupied
        return true_positives / (true_positives + false_negatives) if true_positives else 0.0

    @property
    def iou(self) -> float:
        """Intersection over union of occupied voxels (SC IoU); 0 without true positives."""
        true_positives, false_positives, false_negatives = self._occupied
        union = true_positives + false_positives + false_negatives
        return true_positives / union if true_positives else 0.0

    @property
    def class_iou(self) -> npt.NDArray[np.float64]:
        """IoU by class id, including the empty class, `[classes]`."""
        intersection = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - intersection
        return intersection / (union + _EPSILON)

    @property
    def mean_iou(self) -> float:
        """Unweighted mean of `class_iou` without the empty class (SSC mIoU)."""
        return float(self.class_iou[1:].mean())

    @property
    def present(self) -> list[int]:
        """Ids of the classes in the ground truth, without the empty class, ascending."""
        return [int(label) + 1 for label in np.flatnonzero(self.confusion[1:].sum(1))]

    @property
    def present_mean_iou(self) -> float:
        """Unweighted mean of `class_iou` over the classes in the ground truth; 0 without any."""
        return float(self.class_iou[self.present].mean()) if self.present else 0.0

    def summary(self) -> dict[str, float]:
        """Return the headline scores by name, fractions of 1."""
        return {
            "SC IoU": self.iou,
            "SC precision": self.precision,
            "SC recall": self.recall,
            "SSC mIoU": self.mean_iou,
        }

    def by_class(self) -> dict[str, float]:
        """Return the IoU by class name, without the empty class, fractions of 1."""
        return self._named(self.class_iou)

    def recall_by_class(self) -> dict[str, float]:
        """Return the fraction of the voxels of each class that have its label, without the empty class; 0 for classes
        that the ground truth does not have."""
        return self._named(np.diag(self.confusion) / (self.confusion.sum(1) + _EPSILON))

    def _named(self, by_id: npt.NDArray[np.float64]) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.classes.names[1:], by_id[1:], strict=True)}


def percent(fraction: float) -> float:
    """Return a fraction in percent, rounded to 0.0001."""
    return round(100 * float(fraction), 4)
