"""Error of the disparities with which a network was trained: what it sees, and what is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.walls import rig_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import PRESETS
from occdepth_ros.models.edge_bev.evidence import Measurement, StereoEvidence
from occdepth_ros.models.edge_bev.levelling import LevelFrame
from occdepth_ros.models.edge_bev.loading import load_network
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.sources import open_source
from occdepth_ros.stereo.matching import NO_MATCH, STEPS
from occdepth_ros.training.config import read_recipe
from occdepth_ros.training.tasks.edge_bev import EdgeBevOptions

EVIDENCE = StereoEvidence(rig_of(), VoxelGrid((0.0, -3.2, -2.2), (32, 32, 32), 0.2))


@given(arrays(np.int16, (3, 5), elements=st.integers(-1, 2000)), st.floats(0, 1))
def test_matches_become_smaller_by_the_error_and_stay_matches(disparity: np.ndarray, error: float) -> None:
    kept = disparity.copy()
    found = EVIDENCE.as_trained(disparity, error / EVIDENCE.matcher.focal_baseline)
    np.testing.assert_array_equal(disparity, kept)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found > 0, disparity > 0)
    np.testing.assert_array_equal(found[disparity <= 0], disparity[disparity <= 0])
    far = disparity > error * STEPS + 1
    np.testing.assert_allclose((disparity[far] - found[far]) / STEPS, error, atol=0.5 / STEPS + 1e-9)


def test_weights_hold_the_error_of_their_training_and_older_files_have_that_of_the_preset(tmp_path: Path) -> None:
    name, path = "occdepth-edge-kitti", tmp_path / "weights.safetensors"
    state = EdgeBev(PRESETS[name]).state_dict()
    older = {key: tensor for key, tensor in state.items() if key != "inverse_depth_error"}
    expected = {"own": 2e-4, "older": PRESETS[name].inverse_depth_error}
    for kind, tensors in (("own", state | {"inverse_depth_error": torch.tensor(2e-4)}), ("older", older)):
        save_file(tensors, path)
        assert float(load_network(name, path).inverse_depth_error) == pytest.approx(expected[kind]), kind
        found = EdgeBevPredictor(name=name, weights=path, device="cpu")._inverse_depth_error
        assert found == pytest.approx(expected[kind]), kind


def test_a_training_writes_its_own_error_whatever_weights_it_starts_from() -> None:
    for recipe in ("occdepth-edge-bev", "occdepth-edge-bev-synthetic"):
        options = read_recipe(recipe, ["task.memory=0"]).task_options()
        assert isinstance(options, EdgeBevOptions) and options.config.inverse_depth_error == 0
    task = EdgeBevOptions(network={"inverse_depth_error": 1e-4}).build()
    written = task.finished({"inverse_depth_error": torch.tensor(7e-4)})
    assert float(written["inverse_depth_error"]) == pytest.approx(1e-4)


def test_the_network_sees_the_error_and_the_published_depth_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PRESETS["occdepth-edge-kitti"].inverse_depth_error > 0
    assert PRESETS["occdepth-edge"].inverse_depth_error == 0
    source = open_source("sample")
    frame = source[0]
    predictor = EdgeBevPredictor(name="occdepth-edge-kitti", device="cpu")
    predictor.calibrate(source.rig, VoxelGrid.semantic_kitti())
    tables = predictor._calibrated()
    matched: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    match, measure = tables.evidence.match, tables.levels.measure

    def matching(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        matched.append(match(left, right))
        return matched[-1]

    def measuring(evidence: StereoEvidence, disparity: np.ndarray) -> tuple[Measurement, LevelFrame | None]:
        seen.append(disparity)
        return measure(evidence, disparity)

    monkeypatch.setattr(tables.evidence, "match", matching)
    monkeypatch.setattr(tables.levels, "measure", measuring)
    depth = predictor.begin(frame.left, frame.right)().depth
    found = matched[0] > 0
    error = PRESETS["occdepth-edge-kitti"].inverse_depth_error
    steps = round(error * tables.evidence.matcher.focal_baseline * STEPS)
    assert steps > 0
    np.testing.assert_array_equal(seen[0][found], np.maximum(matched[0][found] - steps, 1))
    assert (seen[0][~found] == NO_MATCH).all()
    nearest = tables.evidence.matcher.depth(matched[0])
    assert np.nanmin(np.asarray(depth)) == pytest.approx(float(np.nanmin(nearest)), rel=1e-3)
