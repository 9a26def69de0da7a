"""`occdepth calibrate` as a user runs it, with the shipped network on a generated scene."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks.weights import shipped_weights

pytest.importorskip("safetensors", reason="safetensors is not installed: the extra weights")

from occdepth_ros.checkpoints.calibrated import BUFFERS, write_calibration
from occdepth_ros.classes import EMPTY
from occdepth_ros.cli import main
from occdepth_ros.commands import calibrate
from occdepth_ros.commands.eval.data import open_scenes
from occdepth_ros.evaluation.alignment import comparable_labels
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.occupancy_calibration import OccupancyCounts
from occdepth_ros.evaluation.scenes import SceneModel
from occdepth_ros.models.edge_bev.config import ZONES
from occdepth_ros.models.loading.state import read_state
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

MODEL = "occdepth-edge-kitti"
LEVEL = 2
"""Lowest probability of an occupied voxel, times 255."""
SCENE = ["--dataset", "synthetic", "--count", "1"]


def test_probabilities_and_limits_are_fitted_and_stored_with_a_report_and_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = shipped_weights(MODEL), tmp_path / "calibrated.safetensors"
    report, figure = tmp_path / "report.json", tmp_path / "reliability.png"
    more = ["--json", str(report), "--figure", str(figure), "--limits-factor", "0.5", "0.5", "0.25"]
    assert main(["calibrate", "--weights", str(weights), "--out", str(out), *SCENE, *more]) == 0
    found = json.loads(report.read_text())
    assert found["measured"] == "the scenes of the fit themselves"
    for low, high in found["limits"].values():
        assert 0 < low <= high <= 0.5
    assert all(scale > 0 for scale, _ in found["scale_and_offset"].values())
    before, after = dict(read_state(weights)), dict(read_state(out))
    assert before.keys() == after.keys()
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(BUFFERS)
    assert figure.read_bytes()[:4] == b"\x89PNG" and "wrote" in capsys.readouterr().out


def test_a_probability_outside_its_range_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--weights", str(tmp_path / "w"), "--out", str(tmp_path / "o"), "--free", "0.1", "1.5", "0.1"]
    assert main(["calibrate", *arguments, *SCENE]) == 2
    assert "--free" in capsys.readouterr().err
    assert main(["calibrate", *arguments[:4], "--limits-factor", "1", "0", "1", *SCENE]) == 2
    assert "--limits-factor" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_limits_count_the_voxels_that_a_prediction_has(tmp_path: Path) -> None:
    # at these low limits the network fills voxels below the ground, which a prediction leaves unknown
    weights = tmp_path / "low.safetensors"
    calibration, limits = np.tile([1.0, 0.0], (ZONES, 1)), np.tile([0.0, (LEVEL - 0.5) / 255], (ZONES, 1))
    write_calibration(shipped_weights("occdepth-edge"), weights, calibration, limits)
    parser = argparse.ArgumentParser()
    calibrate.add_arguments(parser)
    opened = open_scenes(parser.parse_args(["--weights", str(weights), "--out", str(tmp_path / "o"), *SCENE]))
    grid = replace(BENCHMARK_GRID, frame_id=opened.scenes[0].grid.frame_id)
    scene = replace(opened.scenes[0], target=np.full(grid.size, EMPTY, np.uint8), grid=grid)
    model = SceneModel("occdepth-edge", weights=weights, device="cpu")
    counts = calibrate.count_places(model, replace(opened, scenes=[scene]))
    labels = OccupancyCounts.sum(list(counts.values())).labels
    prediction, scores = model.predict(scene), CompletionScores()
    scores.add(comparable_labels(prediction.labels, prediction.grid, grid, scene.target), scene.target)
    assert int(labels[:, LEVEL:].sum()) == pytest.approx(int(scores.confusion[:, 1:].sum()), rel=0.002)
    # the lowest layer of the benchmark's grid is free by construction, and scores leave it out
    assert int(labels.sum()) == grid.size[0] * grid.size[1] * (grid.size[2] - 1)
