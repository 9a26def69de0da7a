"""occdepth-edge and occdepth-edge-kitti with the weights that ship, on the bundled sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks.weights import shipped_weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CheckpointError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.predictor import load_network as load_former
from occdepth_ros.models.edge_bev.loading import SHIPPED, load_network
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.layers.quantized_conv import is_available
from occdepth_ros.models.predictor import ImageArray
from occdepth_ros.models.registry import MODELS
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.sources import open_source

NAME = "occdepth-edge-kitti"
STAGES = {"preprocess", "image", "matching", "evidence", "completion", "head", "postprocess", "free_space", "total"}
NEAR = VoxelGrid((0.0, -12.8, -2.2), (128, 128, 32), 0.2)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def sample() -> tuple[StereoRig, ImageArray, ImageArray]:
    source = open_source(None)
    frame = source[0]
    return source.rig, frame.left, frame.right


@pytest.fixture(scope="module")
def engine(sample: tuple[StereoRig, ImageArray, ImageArray]) -> Engine:
    """The shipped network on the CPU, calibrated for the near grid."""
    shipped_weights(NAME)
    return Engine(sample[0], NEAR, model=NAME, device="cpu")


@pytest.fixture(scope="module")
def near(engine: Engine, sample: tuple[StereoRig, ImageArray, ImageArray]) -> OccupancyPrediction:
    return engine.predict(*sample[1:], stamp_ns=7)


def test_the_name_is_registered_with_weights_that_ship() -> None:
    assert set(SHIPPED) == {name for name in MODELS if MODELS[name].load() is EdgeBevPredictor}
    assert not any(MODELS[name].needs_weights or MODELS[name].published for name in SHIPPED)


@pytest.mark.parametrize(("name", "licence"), [("occdepth-edge", "Apache-2.0"), (NAME, "CC-BY-NC-SA")])
def test_the_shipped_files_are_small_and_described(name: str, licence: str) -> None:
    path = shipped_weights(name)
    assert path.stat().st_size <= 16_000_000
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert about["model"] == name and about["licence"].startswith(licence) and about["recipe"].endswith(".yaml")
    assert path.with_name(f"LICENSE-{name}.txt").is_file() or licence == "Apache-2.0"
    state = load_file(path)
    assert {tensor.dtype for name, tensor in state.items() if tensor.dim() == 4} == {torch.float16}
    limits = state["limits"].float()
    assert (limits[:, 0] <= limits[:, 1]).all() and (limits > 0).all() and (limits < 1).all()


def test_the_sample_becomes_a_prediction(
    near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    assert near.labels.shape == near.confidence.shape == near.visibility.shape == NEAR.size
    known = near.labels[near.labels != UNKNOWN]
    assert int(known.max()) <= 19 and 0.01 < near.occupied.mean() < 0.5
    assert not near.confidence[near.labels == UNKNOWN].any()
    assert near.depth.shape == sample[1].shape[:2] and np.nanmin(near.depth) > 0
    assert set(np.unique(near.visibility)) == {Visibility.SEEN, Visibility.HIDDEN, Visibility.OUTSIDE}
    assert near.stamp_ns == 7 and near.model == NAME and set(near.timings_ms) == STAGES
    assert near.completed.any()


def test_the_same_pair_gives_the_same_prediction(
    engine: Engine, near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    again = engine.predict(*sample[1:])
    assert (again.labels == near.labels).mean() > 0.9999


def test_pairs_that_overlap_give_what_one_after_another_gives(
    sample: tuple[StereoRig, ImageArray, ImageArray],
) -> None:
    _, left, right = sample
    torch.set_num_threads(2)  # with one, nothing runs beside; the fixture of the module resets it
    engine = Engine(sample[0], NEAR, model=NAME, device="cpu")
    pairs = [(left, right), (left[:, ::-1].copy(), right[:, ::-1].copy()), (left, right)]
    poses = [np.eye(4), np.eye(4), np.eye(4)]
    poses[1][0, 3], poses[2][0, 3] = 1.5, 3.0

    def begun(index: int) -> Callable[[], OccupancyPrediction]:
        return engine.begin(*pairs[index], stamp_ns=index, world_from_grid=poses[index])

    engine.predictor.set_pose(None)  # type: ignore[attr-defined]
    expected = [begun(index)() for index in range(3)]
    alone = engine.predict(*pairs[2], stamp_ns=3)
    first, second = begun(0), begun(1)  # the stamps go back: the memory starts anew
    results = [first()]
    third = begun(2)
    results += [second(), third()]
    assert [result.stamp_ns for result in results] == [0, 1, 2]
    for result, by_itself in zip(results, expected, strict=True):
        assert (result.labels == by_itself.labels).mean() > 0.9999
    assert (expected[2].labels != alone.labels).any()  # the memory was used
    assert set(results[2].timings_ms) == STAGES


def test_unmatched_voxels_are_not_seen(
    near: OccupancyPrediction, sample: tuple[StereoRig, ImageArray, ImageArray]
) -> None:
    blank = np.full_like(sample[1], 128)
    engine = Engine(sample[0], NEAR, model=NAME, weights=Path("random"), device="cpu")
    prediction = engine.predictor.infer(blank, blank)
    assert np.isnan(prediction.depth).all() and not (prediction.visibility == Visibility.SEEN).any()


def test_bfloat16_and_8_bit_numbers_predict_the_labels_of_float32(
    sample: tuple[StereoRig, ImageArray, ImageArray],
) -> None:
    shipped_weights(NAME)
    labels = []
    for precision in ("float32", "bfloat16", *(["int8"] if is_available() else [])):
        predictor = EdgeBevPredictor(name=NAME, device="cpu", precision=precision)  # type: ignore[arg-type]
        predictor.calibrate(sample[0], NEAR)
        labels.append(predictor.infer(*sample[1:]).labels)
    assert min((labels[0] == others).mean() for others in labels[1:]) >= 0.97


def test_the_weights_of_the_free_licence_predict_the_sample(sample: tuple[StereoRig, ImageArray, ImageArray]) -> None:
    shipped_weights("occdepth-edge")
    prediction = Engine(sample[0], NEAR, model="occdepth-edge", device="cpu").predict(*sample[1:])
    assert prediction.model == "occdepth-edge" and 0.01 < prediction.occupied.mean() < 0.5
    assert prediction.completed.any()


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    foreign, former = tmp_path / "foreign.safetensors", tmp_path / "former.safetensors"
    save_file({"a": torch.zeros(3)}, foreign)
    save_file({k: v.contiguous() for k, v in load_former("occdepth-edge-sfa", "random").state_dict().items()}, former)
    with pytest.raises(CheckpointError, match="not for this network"):
        load_network(NAME, foreign)
    with pytest.raises(CheckpointError, match="weights of occdepth-edge-sfa, not of occdepth-edge-kitti"):
        load_network(NAME, former)
    first = tmp_path / "first.safetensors"
    state = load_network(NAME, "random").state_dict()
    save_file({key: tensor.contiguous() for key, tensor in state.items() if not key.startswith("surface")}, first)
    with pytest.raises(CheckpointError, match="weights of the first form of occdepth-edge-kitti"):
        load_network(NAME, first)
    present = tmp_path / "present.safetensors"
    save_file({k: v.contiguous() for k, v in load_network("occdepth-edge", "random").state_dict().items()}, present)
    with pytest.raises(CheckpointError, match="weights of occdepth-edge, not of occdepth-edge-sfa"):
        load_former("occdepth-edge-sfa", present)


def test_an_early_call_and_an_unknown_name_are_errors(sample: tuple[StereoRig, ImageArray, ImageArray]) -> None:
    with pytest.raises(ModelError, match="no network 'occdepth-edge-9'"):
        EdgeBevPredictor(name="occdepth-edge-9", weights="random")
    predictor = EdgeBevPredictor(name=NAME, weights="random", device="cpu")
    with pytest.raises(ModelError, match="has no calibration"):
        predictor.infer(*sample[1:])
