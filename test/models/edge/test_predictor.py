"""occdepth-edge-sfa with the weights that ship, on the bundled sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.networks.weights import shipped_weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from occdepth_ros.camera import StereoRig
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CalibrationError, CheckpointError, GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge import predictor as module
from occdepth_ros.models.edge.predictor import SHIPPED, EdgePredictor
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.models.registry import MODELS
from occdepth_ros.models.runtime.device import pick_precision
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.sources import open_source

STAGES = {"matching", "preprocess", "images", "oad", "sfa", "net3d", "head", "postprocess", "free_space", "total"}
NEAR = VoxelGrid((0.0, -12.8, -2.0), (128, 128, 32), 0.2)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sample() -> tuple[StereoRig, ImageArray, ImageArray]:
    source = open_source(None)
    frame = source[0]
    return source.rig, frame.left, frame.right


@pytest.fixture(scope="module")
def engine(sample: tuple[StereoRig, ImageArray, ImageArray]) -> Engine:
    """The shipped network on the CPU, calibrated for the near grid."""
    shipped_weights("occdepth-edge-sfa")
    return Engine(sample[0], NEAR, model="occdepth-edge-sfa", device="cpu")


@pytest.fixture(scope="module")
def near(engine: Engine, sample: tuple[StereoRig, ImageArray, ImageArray]) -> OccupancyPrediction:
    engine.calibrate(sample[0], NEAR)
    return engine.predict(*sample[1:], stamp_ns=7)


def test_the_name_is_registered_with_weights_that_ship() -> None:
    assert set(SHIPPED) == {name for name in MODELS if MODELS[name].load() is EdgePredictor}
    assert not any(MODELS[name].needs_weights or MODELS[name].published for name in SHIPPED)


@pytest.mark.parametrize(("name", "licence"), [("occdepth-edge-sfa", "Apache-2.0")])
def test_shipped_files_are_small_and_have_a_header(name: str, licence: str) -> None:
    path = shipped_weights(name)
    assert path.stat().st_size <= 16_000_000
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert about["model"] == name and about["licence"].startswith(licence) and about["recipe"].endswith(".yaml")
    assert path.with_name(f"LICENSE-{name}.txt").is_file() or about["licence"] == "Apache-2.0"
    kernels = {tensor.dtype for tensor in load_file(path).values() if tensor.dim() > 1}
    assert kernels == {torch.float16}


def filled(labels: np.ndarray) -> np.ndarray:
    """Occupied voxels; 255 is unknown."""
    return (labels > 0) & (labels < 255)


def test_the_sample_becomes_a_prediction(
    near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    assert near.labels.shape == near.confidence.shape == near.visibility.shape == NEAR.size
    assert near.labels.dtype == near.confidence.dtype == near.visibility.dtype == np.uint8
    assert near.depth.shape == sample[1].shape[:2] and near.depth.dtype == np.float32
    # NaN in the sky, where nothing is matched
    assert 0.8 < np.isfinite(near.depth).mean() < 1 and np.nanmin(near.depth) > 0
    assert int(near.labels[near.labels != 255].max()) <= 19 and 0.01 < filled(near.labels).mean() < 0.5
    assert set(np.unique(near.visibility)) == {Visibility.SEEN, Visibility.HIDDEN, Visibility.OUTSIDE}
    assert near.stamp_ns == 7 and near.model == "occdepth-edge-sfa" and set(near.timings_ms) == STAGES
    # voxels are completed behind the visible surfaces
    assert filled(near.labels[near.visibility == Visibility.HIDDEN]).any()


def test_the_same_pair_gives_the_same_prediction(
    engine: Engine, near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    engine.calibrate(sample[0], NEAR)
    again = engine.predict(*sample[1:])
    assert (again.labels == near.labels).mean() > 0.9999
    np.testing.assert_allclose(again.depth, near.depth, rtol=1e-4)


def test_the_benchmarks_grid_agrees_with_the_nearer_one(
    engine: Engine, near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    whole = VoxelGrid.semantic_kitti()
    engine.calibrate(sample[0], whole)
    labels = engine.predict(*sample[1:]).labels
    assert labels.shape == whole.size
    # both networks see the same voxels, but the margins of the smaller grid end there
    inner = labels[:112, 80:176], near.labels[:112, 16:112]
    assert (filled(inner[0]) == filled(inner[1])).mean() > 0.97


def test_another_origin_moves_the_scene(
    engine: Engine, near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    moved = replace(NEAR, origin=(1.6, -12.8, -2.0))
    engine.calibrate(sample[0], moved)
    labels = engine.predict(*sample[1:]).labels
    shared = filled(labels[8:104, 16:112]), filled(near.labels[16:112, 16:112])
    assert (shared[0] == shared[1]).mean() > 0.97
    assert (shared[0] & shared[1]).sum() > 0.6 * (shared[0] | shared[1]).sum()


def test_a_larger_image_of_the_same_scene_is_seen_alike(
    engine: Engine, near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    rig, left, right = sample
    height, width = (round(1.5 * n) for n in left.shape[:2])
    larger = [
        np.asarray(cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8) for p in (left, right)
    ]
    engine.calibrate(rig.scaled(width, height), NEAR)
    found = engine.predict(*larger)
    assert found.depth.shape == (height, width)
    both = filled(found.labels), filled(near.labels)
    assert (both[0] == both[1]).mean() > 0.97
    assert (both[0] & both[1]).sum() > 0.6 * (both[0] | both[1]).sum()


def test_other_grid_sizes_work_if_they_can_be_halved(
    engine: Engine, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    grid = VoxelGrid((2.0, -4.8, -2.0), (80, 48, 16), 0.2)
    engine.calibrate(sample[0], grid)
    assert engine.predict(*sample[1:]).labels.shape == grid.size
    for wrong in (replace(grid, size=(80, 50, 16)), replace(grid, resolution=0.4)):
        with pytest.raises(GridError, match="in sizes that 16 divides"):
            engine.calibrate(sample[0], wrong)
    with pytest.raises(CalibrationError):
        engine.calibrate(sample[0].scaled(2000, 8), grid)
    assert engine.predict(*sample[1:]).labels.shape == grid.size


def test_bfloat16_agrees_with_float32(sample: tuple[StereoRig, ImageArray, ImageArray]) -> None:
    shipped_weights("occdepth-edge-sfa")
    labels = []
    for precision in ("float32", "bfloat16"):
        predictor = EdgePredictor(name="occdepth-edge-sfa", device="cpu", precision=precision)
        predictor.calibrate(sample[0], NEAR)
        labels.append(predictor.infer(*sample[1:]).labels)
    assert (labels[0] == labels[1]).mean() >= 0.99
    occupied = filled(labels[0])
    assert (labels[0] == labels[1])[occupied].mean() >= 0.9


def test_precision_follows_the_hardware() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("float32", cpu) == torch.float32
    assert pick_precision("bfloat16", cpu) == torch.bfloat16
    assert pick_precision("auto", cpu) in {torch.float32, torch.bfloat16}


def test_predictions_of_random_weights_have_the_right_shape(sample: tuple[StereoRig, ImageArray, ImageArray]) -> None:
    grid = VoxelGrid((0.0, -3.2, -1.6), (64, 32, 16), 0.2)
    engine = Engine(sample[0], grid, model="occdepth-edge-sfa", weights=Path("random"), device="cpu")
    prediction = engine.predict(*sample[1:])
    assert prediction.labels.shape == grid.size and prediction.model == "occdepth-edge-sfa (random weights)"


def test_wrong_weights_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = module.load_network("occdepth-edge-sfa", "random")
    state = network.state_dict()
    foreign, cut, broken = (tmp_path / f"{name}.safetensors" for name in ("foreign", "cut", "broken"))
    save_file({"a": torch.zeros(3)}, foreign)
    save_file(state, cut)
    cut.write_bytes(cut.read_bytes()[:-1000])
    key = "head.occupancy.bias"
    save_file({**state, key: torch.full_like(state[key], torch.nan)}, broken)
    for path, expected_text in (
        (foreign, "not for this network"),
        (cut, "damaged or truncated"),
        (broken, "NaN or infinity"),
    ):
        with pytest.raises(CheckpointError, match=expected_text) as caught:
            EdgePredictor(name="occdepth-edge-sfa", weights=path, device="cpu")
        assert path.name in str(caught.value)
    with pytest.raises(CheckpointError, match=r"nowhere\.pt"):
        EdgePredictor(name="occdepth-edge-sfa", weights=tmp_path / "nowhere.pt", device="cpu")
    monkeypatch.setitem(SHIPPED, "occdepth-edge-sfa", "absent.safetensors")
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        EdgePredictor(name="occdepth-edge-sfa", device="cpu")


def test_missing_calibration_and_unknown_names_are_reported(sample: tuple[StereoRig, ImageArray, ImageArray]) -> None:
    with pytest.raises(ModelError, match="no network 'occdepth-edge-9'"):
        EdgePredictor(name="occdepth-edge-9", weights="random")
    predictor = EdgePredictor(name="occdepth-edge-sfa", weights="random", device="cpu")
    with pytest.raises(ModelError, match="no calibration"):
        predictor.infer(*sample[1:])
