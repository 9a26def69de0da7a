"""The report of an evaluation: scores of a set, by region, place and frame, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI, ClassTable
from occdepth_ros.evaluation.disparity import DisparityScores
from occdepth_ros.evaluation.metrics import CompletionScores, percent
from occdepth_ros.evaluation.places import place_report
from occdepth_ros.evaluation.reliability import Reliability
from occdepth_ros.files import write_whole

HEADLINE = {"sc_iou": "SC IoU", "sc_precision": "SC precision", "sc_recall": "SC recall", "ssc_miou": "SSC mIoU"}
"""Keys of the report and the names of `CompletionScores.summary`."""

REGIONS = {
    "range_12.8": "12.8 m volume",
    "range_25.6": "25.6 m volume",
    "range_51.2": "51.2 m volume",
    "in_view": "in view",
    "out_of_view": "out of view",
    "seen": "seen",
    "completed": "completed",
}
"""Display names of the regions of `occdepth_ros.evaluation.regions`."""

CALIBRATED = ("seen", "hidden", "out_of_view")
"""Regions whose confidences are evaluated: visible, in view but hidden, and out of view."""


class SetScores:
    """Accumulated scores of a set of frames, in total, by sequence and by region, and scores of each frame.

    A sequence is one place in the intervals of `place_report`.

    Args:
        classes: classes of the labels.
    """

    def __init__(self, classes: ClassTable = SEMANTIC_KITTI) -> None:
        self.classes = classes
        self.total = CompletionScores(classes)
        self.by_sequence: dict[str, CompletionScores] = {}
        self.by_region: dict[str, CompletionScores] = {}
        self.by_frame: list[dict[str, Any]] = []
        self.pixels = CompletionScores(classes)
        """Classes of labelled pixels of the left image, for models that classify pixels."""
        self.disparity = DisparityScores()
        """Error of the predicted depth, for scenes with depth."""
        self.reliability: dict[str, Reliability] = {}
        """Calibration of the confidences by region, names as in `CALIBRATED`."""

    def add(
        self,
        sequence: str,
        frame: str,
        predicted: npt.NDArray[np.uint8],
        ground_truth: npt.NDArray[np.uint8],
        regions: Mapping[str, npt.NDArray[np.bool_]],
        confidence: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """Add one frame.

        Args:
            sequence, frame: names of the sequence and the frame.
            predicted, ground_truth: `[X, Y, Z]` class ids on one grid, 255 unknown.
            regions: name to mask that broadcasts to `[X, Y, Z]`; at most 16.
            confidence: probability of the predicted labels times 255, `[X, Y, Z]`; None = not evaluated.

        Raises:
            GridError: shapes differ, or a label is neither a class nor 255.
        """
        alone = CompletionScores(self.classes)
        parts = alone.add_parts(predicted, ground_truth, list(regions.values()))
        for scores in (self.total, self.by_sequence.setdefault(sequence, CompletionScores(self.classes))):
            scores.confusion += alone.confusion
            scores.scenes += 1
        for name, part in zip(regions, parts, strict=True):
            scores = self.by_region.setdefault(name, CompletionScores(self.classes))
            scores.confusion += part
            scores.scenes += 1
        self.by_frame.append({"sequence": sequence, "frame": frame, **headline(alone)})
        if confidence is not None and {"in_view", "seen"} <= regions.keys():
            in_view, seen = regions["in_view"], regions["seen"]
            for name, mask in zip(CALIBRATED, (in_view & seen, in_view & ~seen, ~in_view), strict=True):
                own = self.reliability.setdefault(name, Reliability())
                own.add(predicted[mask], confidence[mask], ground_truth[mask])

    def report(self) -> dict[str, Any]:
        """Return all scores in percent, under the keys of the JSON report."""
        regions = [name for name in REGIONS if name in self.by_region]
        return {
            "frames": self.total.scenes,
            **headline(self.total),
            **present(self.total),
            **by_class(self.total),
            "regions": {
                name: {
                    **headline(self.by_region[name]),
                    "voxels": int(self.by_region[name].confusion.sum()),
                    **present(self.by_region[name]),
                }
                for name in regions
            },
            "places": place_report([scores.confusion for scores in self.by_sequence.values()]),
            "calibration": {name: part.report() for name, part in self.reliability.items()},
            "by_sequence": {
                name: {"frames": scores.scenes, **headline(scores), "confusion": rows_of(scores)}
                for name, scores in self.by_sequence.items()
            },
            "by_frame": self.by_frame,
            **({"pixels": self._pixel_report()} if self.pixels.scenes else {}),
            **({"disparity": self.disparity.report()} if self.disparity.frames else {}),
        }

    def _pixel_report(self) -> dict[str, Any]:
        """Return the share of labelled pixels with the right class, and the IoU by class, percent."""
        right, total = int(np.diag(self.pixels.confusion).sum()), int(self.pixels.confusion.sum())
        return {
            "frames": self.pixels.scenes,
            "labelled": total,
            "accuracy": percent(right / max(total, 1)),
            "miou": percent(self.pixels.mean_iou),
            "present_miou": percent(self.pixels.present_mean_iou),
            **by_class(self.pixels),
        }


def headline(scores: CompletionScores) -> dict[str, float]:
    """Return the four scores of a table row, percent."""
    summary = scores.summary()
    return {key: percent(summary[name]) for key, name in HEADLINE.items()}


def by_class(scores: CompletionScores) -> dict[str, dict[str, float]]:
    """Return IoU and recall by class name, percent."""
    return {
        "per_class": {name: percent(iou) for name, iou in scores.by_class().items()},
        "per_class_recall": {name: percent(recall) for name, recall in scores.recall_by_class().items()},
    }


def present(scores: CompletionScores) -> dict[str, Any]:
    """Return the names of the classes in the ground truth, and the mean IoU over them, percent."""
    return {
        "present_classes": [scores.classes.names[label] for label in scores.present],
        "present_miou": percent(scores.present_mean_iou),
    }


def rows_of(scores: CompletionScores) -> list[str]:
    """Format the confusion matrix as text, one row of voxel counts for each true class; `confusion_of` reads it."""
    return [" ".join(map(str, row)) for row in scores.confusion.tolist()]


def confusion_of(rows: Sequence[str]) -> npt.NDArray[np.int64]:
    """Read the text of `rows_of`; return the confusion matrix `[true class, predicted class]`."""
    return np.array([[int(count) for count in row.split()] for row in rows], np.int64)


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write the JSON file, complete or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    write_whole(path, text.encode())
