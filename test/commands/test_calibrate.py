"""`occdepth calibrate` as a user runs it, with the shipped network on a generated scene."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.networks.weights import shipped_weights

pytest.importorskip("safetensors", reason="safetensors is not installed: the extra weights")

from occdepth_ros.checkpoints.calibrated import BUFFERS
from occdepth_ros.cli import main
from occdepth_ros.models.loading.state import read_state

MODEL = "occdepth-edge-kitti"
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
