"""Stereo geometry on KITTI frames: percent against recon10 (a partial ground truth), milliseconds per frame."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from occdepth_ros.engine import Engine
from occdepth_ros.evaluation.alignment import aligned_labels
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.stereo_geometry import StereoGeometry
from occdepth_ros.sources import StereoSource, open_source
from occdepth_ros.stereo.labels import VEGETATION

ROOT = Path(__file__).resolve().parents[1]


class RowScores:
    """Scores and times of one row."""

    def __init__(self) -> None:
        self.scores = CompletionScores()
        self.times: list[dict[str, float]] = []

    def row(self, name: str) -> dict[str, Any]:
        """Return one row of the table."""
        scores = {f"{score} %": 100 * value for score, value in self.scores.summary().items()}
        stages = self.times[0] if self.times else {}
        times = {f"{stage} ms": median(t[stage] for t in self.times) for stage in stages}
        return {"frames": name, "scenes": self.scores.scenes, **scores, **times}


def run() -> list[dict[str, Any]]:
    """Score every labelled frame of every sequence; also with full-size matching and with surface points only."""
    shared = Path(os.environ.get("OCCDEPTH_SHARED") or ROOT.parent / "shared")
    folders = sorted((shared / "data/kitti_mini/dataset/sequences").glob("[0-9][0-9]"))
    if not folders:
        return [{"frames": f"skipped: no KITTI sequences under {shared} (variable OCCDEPTH_SHARED)"}]
    whole, full, points = RowScores(), RowScores(), RowScores()
    rows = []
    for folder in folders:
        source = open_source(folder)
        scores = RowScores()
        score_sequence(source, (scores, whole), full, points)
        rows.append(scores.row(folder.name))
    return [*rows, whole.row("all"), full.row("all, matched at full size"), points.row("all, surface points only")]


def score_sequence(source: StereoSource, shipped: tuple[RowScores, ...], full: RowScores, points: RowScores) -> None:
    """Add the labelled frames of one sequence."""
    grid = VoxelGrid.semantic_kitti()
    engine, unresized = Engine(source.rig, grid), Engine(source.rig, grid)
    geometry = unresized.predictor = StereoGeometry(working_width=source.rig.left.width)
    unresized.calibrate(source.rig)
    for index in range(len(source)):
        ground_truth = source.ground_truth(index)
        if ground_truth is None:
            continue
        frame = source[index]
        for each, added in ((engine, shipped), (unresized, (full,))):
            each.predict(frame.left, frame.right)
            prediction = each.predict(frame.left, frame.right)
            for row in added:
                row.scores.add_scene(prediction, ground_truth)
                row.times.append(dict(prediction.timings_ms))
        ends = geometry.binning.points(geometry.matcher.match(frame.left, frame.right)).voxel
        labels = np.zeros(grid.count, np.uint8)
        labels[ends] = VEGETATION
        points.scores.add(aligned_labels(labels.reshape(grid.size), grid, ground_truth.grid), ground_truth.labels)
