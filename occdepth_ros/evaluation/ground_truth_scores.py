"""Scores of a run over frames with optional ground truth, separately for each kind of ground truth."""

from __future__ import annotations

from collections.abc import Mapping

from occdepth_ros.errors import GridError
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.report import HEADLINE, headline
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth


class GroundTruthScores:
    """Accumulates scores by the name of the ground truth."""

    def __init__(self) -> None:
        self._by_ground_truth: dict[str, CompletionScores] = {}

    def add(self, prediction: OccupancyPrediction, ground_truth: SceneGroundTruth | None) -> dict[str, float]:
        """Add one frame and return its headline scores, fractions of 1, empty without ground truth.

        Raises:
            GridError: prediction and ground truth do not share a lattice.
        """
        if ground_truth is None:
            return {}
        frame_scores = CompletionScores(prediction.classes)
        frame_scores.add_scene(prediction, ground_truth)
        total = self._by_ground_truth.setdefault(ground_truth.name, CompletionScores(prediction.classes))
        total.confusion += frame_scores.confusion
        total.scenes += 1
        summary = frame_scores.summary()
        return {name: summary[name] for name in ("SC IoU", "SSC mIoU")}

    def summary(self) -> dict[str, dict[str, float]]:
        """Return number of scenes and scores in percent by ground truth name, with the keys of `occdepth eval`."""
        return {name: {"scenes": scores.scenes, **headline(scores)} for name, scores in self._by_ground_truth.items()}


def scores_line(ground_truth: str, scores: Mapping[str, float]) -> str:
    """Return one line of text with the scores."""
    values = ", ".join(f"{name} {scores[key]:.1f} %" for key, name in HEADLINE.items())
    return f"against {ground_truth} ({scores['scenes']} scenes): {values}"


def comparable(ground_truth: SceneGroundTruth | None, grid: VoxelGrid) -> SceneGroundTruth | None:
    """Return the ground truth if its voxels coincide with voxels of the grid, else None."""
    if ground_truth is None:
        return None
    try:
        ground_truth.grid.offset_to(grid)
    except GridError:
        return None
    return ground_truth
