"""Timings, scores and faults over the frames of a run."""

from __future__ import annotations

import numpy as np

from occdepth_ros.evaluation.ground_truth_scores import GroundTruthScores
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth


class RunStatistics:
    """Timings and scores over the frames of a run."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.stages: dict[str, list[float]] = {}
        self.scores = GroundTruthScores()
        self.faults: dict[tuple[str, bool], tuple[str, list[int]]] = {}

    def add(self, prediction: OccupancyPrediction, ground_truth: SceneGroundTruth | None) -> dict[str, float]:
        """Add a frame; return its scores, empty without ground truth."""
        for stage, value in prediction.timings_ms.items():
            self.stages.setdefault(stage, []).append(value)
        return self.scores.add(prediction, ground_truth)

    @property
    def rate(self) -> float:
        """Predictions per second, without reading, writing and the first pair."""
        total = _steady(self.stages.get("total", []))
        return 1e3 * len(total) / sum(total) if sum(total) > 0 else 0.0

    def note_fault(self, name: str, text: str, index: int, *, is_predicted: bool) -> None:
        """Record a fault in the images of one frame."""
        self.faults.setdefault((name, is_predicted), (text, []))[1].append(index)

    @property
    def left_out(self) -> int:
        """Number of frames that were not predicted because of their images."""
        return sum(len(frames) for (_, is_predicted), (_, frames) in self.faults.items() if not is_predicted)

    def input_warnings(self) -> list[str]:
        """Return one line for each fault of the images: name, frames, and the text of the first occurrence."""
        lines = []
        for (name, is_predicted), (text, frames) in self.faults.items():
            shown = ", ".join(map(str, frames[:5])) + (f" and {len(frames) - 5} more" if len(frames) > 5 else "")
            result = "predicted" if is_predicted else "not predicted"
            lines.append(f"{name} (frame {shown}, {result}): {text}")
        return lines

    def timings(self) -> dict[str, dict[str, float]]:
        """Return the first time of each stage, and mean and 95th percentile of the others, milliseconds."""
        return {
            stage: {
                "first": round(values[0], 2),
                "mean": round(float(np.mean(_steady(values))), 2),
                "p95": round(float(np.percentile(_steady(values), 95)), 2),
            }
            for stage, values in self.stages.items()
        }


def _steady(values: list[float]) -> list[float]:
    """Return all values but the first, which includes loading and compilation, unless it is the only one."""
    return values[1:] or values
