"""Scores of a run over frames of which some have ground truth, kept apart by the kind of truth."""

from __future__ import annotations

from collections.abc import Mapping

from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneTruth


class TruthScores:
    """Accumulates predictions by the name of the truth that they are compared with."""

    def __init__(self) -> None:
        self._by_truth: dict[str, CompletionScores] = {}

    def add(self, prediction: OccupancyPrediction, truth: SceneTruth | None) -> dict[str, float]:
        """Count one frame; returns its own headline scores, fractions of 1, empty without ground truth.

        Raises:
            GridError: prediction and truth do not share a lattice.
        """
        if truth is None:
            return {}
        alone = CompletionScores(prediction.classes)
        alone.add_scene(prediction, truth)
        total = self._by_truth.setdefault(truth.name, CompletionScores(prediction.classes))
        total.confusion += alone.confusion
        total.scenes += 1
        headline = alone.summary()
        return {name: headline[name] for name in ("SC IoU", "SSC mIoU")}

    def summary(self) -> dict[str, dict[str, float]]:
        """Name of the truth to number of scenes and scores, fractions of 1."""
        return {
            name: {"scenes": scores.scenes, **{key: round(value, 4) for key, value in scores.summary().items()}}
            for name, scores in self._by_truth.items()
        }


def scores_line(truth: str, scores: Mapping[str, float]) -> str:
    """One line for people."""
    shares = ", ".join(f"{name} {100 * value:.1f} %" for name, value in scores.items() if name != "scenes")
    return f"against {truth} ({scores['scenes']} scenes): {shares}"
