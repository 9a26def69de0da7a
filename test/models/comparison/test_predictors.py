"""Predictors of the comparison networks: agreement with the network, empty pairs, the engine, and refused weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.walls import rig_of, wall
from safetensors.torch import save_file

from occdepth_ros.engine import Engine
from occdepth_ros.errors import CheckpointError, GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.lmscnet.config import LmscNetConfig
from occdepth_ros.models.comparison.predictors import (
    AicNetPredictor,
    CompletionPredictor,
    Js3cNetPredictor,
    LmscNetPredictor,
)
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.models.registry import MODELS
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.occupancy import StereoOccupancy

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
STEREO = StereoOccupancy(rig_of(), GRID)


def aicnet_logits(network: Any, left: np.ndarray, disparity: np.ndarray) -> torch.Tensor:
    return network(MatchedSurface.of(STEREO, left, disparity))[0]


def js3cnet_logits(network: Any, left: np.ndarray, disparity: np.ndarray) -> torch.Tensor:
    return network(MatchedSurface.of(STEREO, left, disparity)).completion[0]


def lmscnet_logits(network: Any, left: np.ndarray, disparity: np.ndarray) -> torch.Tensor:
    return network(torch.from_numpy(STEREO.occupied(disparity)).float()[None])[1][0]


PREDICTORS: dict[str, tuple[type[CompletionPredictor[Any]], Any, str, Callable[..., torch.Tensor]]] = {
    "aicnet-stereo": (AicNetPredictor, AicNetConfig(grid=GRID, feature=4), "classes.conv", aicnet_logits),
    "js3cnet-stereo": (
        Js3cNetPredictor,
        Js3cNetConfig(grid=GRID, widths=(4, 6, 8), feature=4),
        "classes.conv",
        js3cnet_logits,
    ),
    "lmscnet-stereo": (LmscNetPredictor, LmscNetConfig(grid=GRID, head=4), "heads.1.classes", lmscnet_logits),
}

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.parametrize("name", PREDICTORS)]


@pytest.fixture
def weights(name: str, tmp_path: Path) -> Path:
    """Random weights whose predictions have several classes."""
    torch.manual_seed(1)
    predictor, config, last, _ = PREDICTORS[name]
    network = predictor.network_class(config)
    with torch.no_grad():
        network.get_parameter(f"{last}.weight").mul_(30)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_the_predictor_agrees_with_the_network(name: str, weights: Path) -> None:
    kind, config, _, logits = PREDICTORS[name]
    predictor = kind(weights=weights, device="cpu", config=config)
    predictor.calibrate(rig_of(), GRID)
    result = predictor.infer(*wall())
    disparity, depth = STEREO.match(*wall())
    with torch.inference_mode():
        expected = logits(predictor.network, wall()[0], disparity).argmax(dim=0)
    assert (result.labels == expected.numpy()).mean() > 0.999
    assert len(np.unique(result.labels)) > 1
    assert result.confidence.dtype == np.uint8
    assert (np.isnan(result.depth) == np.isnan(depth)).mean() > 0.999
    assert set(np.unique(result.visibility)) == {Visibility.SEEN, Visibility.HIDDEN, Visibility.OUTSIDE}
    assert set(result.timings_ms) == {"matching", "surface", "network", "postprocess"}


def test_a_pair_without_a_match_is_predicted(name: str, weights: Path) -> None:
    kind, config, _, _ = PREDICTORS[name]
    predictor = kind(weights=weights, device="cpu", config=config)
    predictor.calibrate(rig_of(), GRID)
    white = np.full((64, 192, 3), 255, np.uint8)
    result = predictor.infer(white, white)
    assert result.labels.shape == GRID.size
    assert np.isnan(result.depth).all()


def test_the_engine_runs_the_model_by_name(name: str) -> None:
    grid = PREDICTORS[name][0].default.grid
    assert MODELS[name].needs_weights
    engine = Engine(rig_of(), grid, model=name, weights="random", device="cpu")
    prediction = engine.predict(*wall())
    assert prediction.labels.shape == grid.size
    assert prediction.model == f"{name} (random weights)"


def test_misfits_are_reported(name: str, weights: Path) -> None:
    kind, config, _, _ = PREDICTORS[name]
    with pytest.raises(CheckpointError, match="needs a weights file"):
        kind(device="cpu")
    with pytest.raises(CheckpointError, match="not for this network"):
        kind(weights=weights, device="cpu")
    predictor = kind(weights=weights, device="cpu", config=config)
    with pytest.raises(ModelError, match="no calibration"):
        predictor.infer(*wall())
    with pytest.raises(GridError, match="completes"):
        predictor.calibrate(rig_of(), VoxelGrid.semantic_kitti())
    with pytest.raises(GridError, match="halved"):
        replace(config, grid=VoxelGrid((0.0, 0.0, 0.0), (32, 32, 12), 0.2))
