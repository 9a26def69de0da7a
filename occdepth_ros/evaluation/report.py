"""The report of an evaluation: scores of a set, by region, sequence and frame, as JSON and as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from occdepth_ros.classes import SEMANTIC_KITTI, ClassTable
from occdepth_ros.evaluation.metrics import CompletionScores
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


class SetScores:
    """Accumulated scores of a set of frames, in total, by sequence and by region, and scores of each frame.

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
        """Classes of labelled pixels of the left image, for models that name pixels."""

    def add(
        self,
        sequence: str,
        frame: str,
        predicted: npt.NDArray[np.uint8],
        ground_truth: npt.NDArray[np.uint8],
        regions: Mapping[str, npt.NDArray[np.bool_]],
    ) -> None:
        """Add one frame.

        Args:
            sequence, frame: names of the sequence and the frame.
            predicted, ground_truth: `[X, Y, Z]` class ids on one grid, 255 unknown.
            regions: name to mask that broadcasts to `[X, Y, Z]`; at most 16.

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

    def report(self) -> dict[str, Any]:
        """Return all scores in percent, under the keys of the JSON report."""
        per_class = {name: _percent(iou) for name, iou in self.total.by_class().items()}
        regions = [name for name in REGIONS if name in self.by_region]
        return {
            "frames": self.total.scenes,
            **headline(self.total),
            "per_class": per_class,
            "regions": {
                name: {**headline(self.by_region[name]), "voxels": int(self.by_region[name].confusion.sum())}
                for name in regions
            },
            "by_sequence": {
                name: {"frames": scores.scenes, **headline(scores)} for name, scores in self.by_sequence.items()
            },
            "by_frame": self.by_frame,
            **({"pixels": self._pixel_report()} if self.pixels.scenes else {}),
        }

    def _pixel_report(self) -> dict[str, Any]:
        """Share of labelled pixels named right, and IoU by class, percent."""
        right, total = int(np.diag(self.pixels.confusion).sum()), int(self.pixels.confusion.sum())
        return {
            "frames": self.pixels.scenes,
            "labelled": total,
            "accuracy": _percent(right / max(total, 1)),
            "miou": _percent(self.pixels.mean_iou),
            "per_class": {name: _percent(iou) for name, iou in self.pixels.by_class().items()},
        }


def headline(scores: CompletionScores) -> dict[str, float]:
    """The four scores of a table row, percent."""
    summary = scores.summary()
    return {key: _percent(summary[name]) for key, name in HEADLINE.items()}


def _percent(fraction: float) -> float:
    return round(100 * fraction, 4)


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write the JSON file, complete or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    write_whole(path, text.encode())


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the tables, all scores in percent."""
    table = Table(title=f"{report['model']} against {report['ground_truth']}, {report['frames']} frames, percent")
    table.add_column("", no_wrap=True)
    for name in HEADLINE.values():
        table.add_column(name, justify="right")
    table.add_column("counted", justify="right")
    table.add_row("all", *_cells(report), f"{report['frames']} frames", style="bold", end_section=True)
    for name, scores in report["regions"].items():
        table.add_row(REGIONS[name], *_cells(scores), f"{scores['voxels'] / 1e6:.1f} M voxels")
    if len(report["by_sequence"]) > 1:
        table.add_section()
        for name, scores in report["by_sequence"].items():
            table.add_row(f"sequence {name}", *_cells(scores), f"{scores['frames']} frames")
    console.print(table)
    classes = Table(title="IoU by class, percent")
    names = list(report["per_class"])
    half = -(-len(names) // 2)
    for _ in range(2):
        classes.add_column("class")
        classes.add_column("IoU", justify="right")
    for row in range(half):
        cells: list[str] = []
        for name in names[row::half]:
            cells += [name, f"{report['per_class'][name]:.1f}"]
        classes.add_row(*cells)
    console.print(classes)
    if pixels := report.get("pixels"):
        console.print(
            f"pixels of the left image: {pixels['accuracy']:.1f} % of {pixels['labelled']:,} labelled ones right, "
            f"mIoU {pixels['miou']:.1f} %",
            highlight=False,
        )


def _cells(scores: Mapping[str, float]) -> list[str]:
    return [f"{scores[key]:.2f}" for key in HEADLINE]
