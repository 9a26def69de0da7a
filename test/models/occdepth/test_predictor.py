"""Predictor of OccDepth, in a small size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CheckpointError, GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.images import normalize
from occdepth_ros.models.occdepth.config import PRESETS, OccDepthConfig
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.oad import expected_depth
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor, load_network
from occdepth_ros.models.readout import VisibilityTable, labels_and_confidence
from occdepth_ros.models.registry import MODELS
from occdepth_ros.prediction import Visibility

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
SIZE = (64, 192)
STAGES = {"preprocess", "encoder", "decoder2d", "sfa", "oad", "net3d", "head", "postprocess"}


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[OccDepthConfig]:
    config = replace(PRESETS["occdepth-b3"], feature=8, grid=GRID, image=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "occdepth-b3", config)
        patch.setitem(PRESETS, "occdepth-b7-flosp", replace(config, name="flosp", depth=None))
        yield config


pytestmark = pytest.mark.usefixtures("one_thread")


def rig_of(height: int = 64, width: int = 192, shift: float = 0.0) -> StereoRig:
    k = np.array([[0.5 * width, 0, width / 2], [0, 0.5 * width, height / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, shift], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    left = np.hstack([k, np.zeros((3, 1))])
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)


def pair(height: int = 64, width: int = 192, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return left, right


@pytest.fixture(scope="module")
def weights(tiny: OccDepthConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights whose logits differ from voxel to voxel: a freshly initialised network predicts one label everywhere."""
    torch.manual_seed(1)
    network = OccDepth(tiny)
    with torch.no_grad():
        network.get_parameter("net_3d_decoder.ssc_head.conv_classes.weight").mul_(30)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def predictor(weights: Path) -> OccDepthPredictor:
    return OccDepthPredictor(name="occdepth-b3", weights=weights, device="cpu")


def test_engine_predicts_the_labels_of_the_reference_network(weights: Path, tiny: OccDepthConfig) -> None:
    rig, (left, right) = rig_of(), pair()
    result = Engine(rig, GRID, model="occdepth-b3", weights=weights, device="cpu").predict(left, right, stamp_ns=5)
    assert (result.model, result.stamp_ns) == ("occdepth-b3", 5)
    assert set(result.timings_ms) == STAGES | {"free_space", "total"}
    assert all(ms >= 0 for ms in result.timings_ms.values())

    reference = OccDepth(tiny).eval()
    reference.load_state_dict(load_file(weights))
    geometry = SceneGeometry.of_rig(tiny, rig, GRID)
    with torch.inference_mode():
        out = reference(normalize(torch.from_numpy(np.stack([left, right])))[None], geometry)
    probability = out.completion.logits[0].softmax(dim=0)
    assert len(np.unique(result.labels)) > 3
    expected = probability.argmax(dim=0).numpy()
    # free voxels without matches around their pixel become unknown
    kept = (result.labels != UNKNOWN) | (expected != EMPTY)
    assert kept.any() and (expected == result.labels)[kept].mean() >= 0.999
    confidence = (probability.max(dim=0).values * 255).numpy()
    assert np.abs(confidence - result.confidence)[kept].max() <= 1.5
    assert result.depth.shape == SIZE
    assert result.depth.dtype == np.float32
    assert ((result.depth >= 2) & (result.depth <= 54)).all()


def test_the_same_images_give_the_same_prediction(predictor: OccDepthPredictor) -> None:
    predictor.calibrate(rig_of(), GRID)
    first, second = predictor.infer(*pair()), predictor.infer(*pair())
    for name in ("labels", "visibility"):
        assert (getattr(first, name) == getattr(second, name)).mean() > 0.999
    np.testing.assert_allclose(first.depth, second.depth, rtol=1e-4)
    assert not np.array_equal(first.labels, predictor.infer(*pair(seed=1)).labels)


def test_random_weights_are_seeded_and_marked_in_the_name() -> None:
    one = load_network("occdepth-b3", Path("random"))
    state = torch.random.get_rng_state()
    two = load_network("occdepth-b3", "random")
    assert torch.equal(state, torch.random.get_rng_state())
    assert "random" in OccDepthPredictor(name="occdepth-b3", weights="random", device="cpu").name
    a, b = one.state_dict(), two.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_tables_follow_the_calibration_and_are_kept(predictor: OccDepthPredictor) -> None:
    predictor.calibrate(rig_of(), GRID)
    first = predictor._current
    straight = predictor.infer(*pair())
    predictor.calibrate(rig_of(shift=1.0), GRID)
    assert not np.array_equal(straight.visibility, predictor.infer(*pair()).visibility)
    predictor.calibrate(rig_of(), GRID)
    assert predictor._current is first


def test_a_grid_placed_with_its_camera_gives_the_same_prediction(predictor: OccDepthPredictor) -> None:
    predictor.calibrate(rig_of(), GRID)
    here = predictor.infer(*pair())
    offset = np.eye(4)
    offset[:3, 3] = [-8.0, 4.0, -2.0]
    base = rig_of()
    moved = StereoRig(base.left, base.right, base.reference_from_grid @ offset)
    predictor.calibrate(moved, VoxelGrid((8.0, -7.2, 1.0), GRID.size, 0.2, "map"))
    there = predictor.infer(*pair())
    assert (here.labels == there.labels).mean() > 0.999
    assert (here.visibility == there.visibility).mean() > 0.999


@pytest.mark.parametrize("size", [(66, 198), (62, 186), (240, 320)])
def test_images_of_other_sizes_work(predictor: OccDepthPredictor, size: tuple[int, int]) -> None:
    predictor.calibrate(rig_of(*size), GRID)
    result = predictor.infer(*pair(*size))
    assert result.depth.shape == size
    assert set(np.unique(result.visibility)) <= {0, 1, 2}
    assert (result.visibility != Visibility.OUTSIDE).mean() > 0.2


def test_without_depth_module_no_voxel_is_seen() -> None:
    predictor = OccDepthPredictor(name="occdepth-b7-flosp", weights="random", device="cpu")
    predictor.calibrate(rig_of(), GRID)
    result = predictor.infer(*pair())
    assert np.isnan(result.depth).all()
    assert set(np.unique(result.visibility)) == {Visibility.OUTSIDE, Visibility.HIDDEN}


def test_bfloat16_keeps_most_labels(predictor: OccDepthPredictor, weights: Path) -> None:
    half = OccDepthPredictor(name="occdepth-b3", weights=weights, device="cpu", precision="bfloat16")
    results = []
    for each in (predictor, half):
        each.calibrate(rig_of(), GRID)
        results.append(each.infer(*pair()))
    assert (results[0].labels == results[1].labels).mean() > 0.9


def test_a_grid_that_the_network_cannot_predict_is_refused(weights: Path) -> None:
    with pytest.raises(GridError, match="origin is arbitrary"):
        Engine(rig_of(), VoxelGrid.semantic_kitti(), model="occdepth-b3", weights=weights, device="cpu")


def test_missing_and_wrong_weights_are_reported(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="stereo-geometry"):
        OccDepthPredictor(name="occdepth-b3", device="cpu")
    with pytest.raises(CheckpointError, match=r"nowhere\.pt"):
        OccDepthPredictor(name="occdepth-b3", weights=tmp_path / "nowhere.pt", device="cpu")
    with pytest.raises(CheckpointError, match="these are weights of occdepth-b3"):
        OccDepthPredictor(name="occdepth-b7-flosp", weights=weights, device="cpu")


def test_devices_and_models_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ModelError, match="no network"):
        OccDepthPredictor(name="occdepth-b99", weights="random")
    for device in ("abacus", "mps", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(ModelError, match="device"):
            OccDepthPredictor(name="occdepth-b3", weights="random", device=device)


def test_missing_calibration_and_lack_of_memory_are_reported(
    predictor: OccDepthPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "_current", None)
    with pytest.raises(ModelError, match="calibrate"):
        predictor.infer(*pair())
    predictor.calibrate(rig_of(), GRID)

    def exhausted(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predictor.network, "lift", exhausted)
    with pytest.raises(ModelError, match="does not fit in the memory"):
        predictor.infer(*pair())


@pytest.mark.parametrize("innermost", [False, True])
def test_labels_and_confidence_are_the_softmax(innermost: bool) -> None:
    logits = torch.randn(5, 40, 30, 20) * 3
    if innermost:
        logits = logits.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    labels, confidence = labels_and_confidence(logits)
    best = logits.softmax(dim=0).max(dim=0)
    # two classes of nearly equal probability may change places
    assert (labels == best.indices).float().mean() > 0.999
    assert (confidence.float() - best.values * 255).abs().max() <= 0.5 + 1e-3


def test_expected_depth_of_certain_pixels(tiny: OccDepthConfig) -> None:
    depth = torch.zeros(1, 2, 104, 8, 24)
    depth[0, 0, 20] = 1  # bin 20 covers 12.0 to 12.5 m
    assert torch.allclose(expected_depth(depth, tiny), torch.tensor(12.25))
    assert expected_depth(None, tiny).isnan().all()


def test_visibility_ends_at_the_surface() -> None:
    rig = rig_of()
    table = VisibilityTable.of_camera(GRID, rig.left, rig.left_from_grid)
    surface = torch.full(SIZE, 4.0)
    surface[:, :96] = float("nan")
    visibility = table.classify(surface).numpy()
    x, y, z = np.meshgrid(*(GRID.axis_centers(i) for i in range(3)), indexing="ij")
    u, v = np.rint(96 - 96 * y / x), np.rint(32 - 96 * z / x)
    inside = (u >= 0) & (u < 192) & (v >= 0) & (v < 64)
    # projections on the border of the image may be rounded to either side
    assert ((visibility != Visibility.OUTSIDE) == inside).mean() > 0.98
    seen = inside & (u >= 96) & (x <= 4.0 + 0.2 * 3**0.5 / 2)
    assert ((visibility == Visibility.SEEN) == seen).mean() > 0.98


def test_every_registered_network_is_a_preset_that_works_on_images_alone() -> None:
    names = [name for name, entry in MODELS.items() if entry.load() is OccDepthPredictor]
    assert len(names) >= 6
    assert all(PRESETS[name].virtual_bf is None for name in names)
