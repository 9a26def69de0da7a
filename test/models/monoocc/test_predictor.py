"""Predictor of MonoOcc and its checkpoints, in a small size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.checkpoints.conversion import convert
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CheckpointError, GridError, ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.images import normalize
from occdepth_ros.models.monoocc.config import PRESETS
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.predictor import MonoOccPredictor, image_fit
from occdepth_ros.models.monoocc.published import HEAD, LATE, UNUSED
from occdepth_ros.models.monoocc.reference_points import References
from occdepth_ros.models.predictor import StatefulPredictor
from occdepth_ros.models.registry import MODELS
from occdepth_ros.models.trained_height import TRAINED_Z, shifted
from occdepth_ros.prediction import Visibility

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    changes = {"width": 192, "channels": 16, "heads": 2, "points": 2, "hidden": 24, "columns": 32, "grid": GRID}
    with pytest.MonkeyPatch.context() as patch:
        for name, config in list(PRESETS.items()):
            if config.backbone == "internimage-xl":
                patch.delitem(PRESETS, name)
            else:
                patch.setitem(PRESETS, name, replace(config, self_layers=1, **changes))  # type: ignore[arg-type]
        yield


def rig_of(height: int = 64, width: int = 192) -> StereoRig:
    k = np.array([[0.5 * width, 0, width / 2], [0, 0.5 * width, height / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    left = np.hstack([k, np.zeros((3, 1))])
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)


def wall(height: int = 64, width: int = 192) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall 4 m ahead."""
    shift = round(0.5 * width * 0.5 / 4)
    texture = np.random.default_rng(0).integers(0, 256, (height, width + shift, 3), dtype=np.uint8)
    return np.ascontiguousarray(texture[:, :width]), np.ascontiguousarray(texture[:, shift:])


def shaken(name: str) -> MonoOcc:
    torch.manual_seed(1)
    network = MonoOcc(PRESETS[name])
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return network


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """Tensors as a published checkpoint holds them: those that nothing uses included."""
    state = dict(shaken("monoocc-s").state_dict())
    for name in UNUSED:
        state[name + "weight" if name.endswith(".") else name] = torch.ones(3)
    state[HEAD + "open_fc.0.weight"] = torch.ones(2, 2)
    return state


@pytest.fixture(scope="module")
def weights(published: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "monoocc.safetensors"
    save_file(published, path)
    return path


def predictor(weights: Path | str, name: str = "monoocc-s", **more: object) -> MonoOccPredictor:
    return MonoOccPredictor(name=name, weights=weights, device="cpu", **more)  # type: ignore[arg-type]


def test_the_predictor_agrees_with_the_reference_network(weights: Path, published: dict[str, torch.Tensor]) -> None:
    made = predictor(weights, precision="float32")
    made.calibrate(rig_of(), GRID)
    result = made.infer(*wall())
    assert result.labels.shape == GRID.size
    assert set(result.timings_ms) == {
        *("proposals", "preprocess", "images", "cross", "self", "late", "head", "postprocess")
    }
    network = shaken("monoocc-s").eval()
    rig = rig_of()
    references = References.of_cameras(network.config.working_grid(GRID), [(rig.left, rig.left_from_grid)])
    proposed = torch.from_numpy(made.proposals(*wall(), rig, GRID).reshape(-1))
    assert proposed.any()
    with torch.inference_mode():
        logits = network(normalize(torch.from_numpy(wall()[0]))[None], references, proposed)
    assert len(np.unique(result.labels)) > 2
    assert (logits.argmax(0).numpy() == result.labels).mean() > 0.999
    # the wall is matched 4 m ahead, and voxels behind it are hidden
    assert np.nanmedian(result.depth) == pytest.approx(4.0, abs=0.05)
    assert result.visibility[10, 16, 5] == Visibility.SEEN
    assert result.visibility[30, 16, 5] == Visibility.HIDDEN


def test_the_engine_makes_the_model_by_name_with_random_weights() -> None:
    assert MODELS["monoocc-s"].needs_weights
    prediction = Engine(rig_of(), GRID, model="monoocc-edge", weights=Path("random"), device="cpu").predict(*wall())
    assert prediction.model == "monoocc-edge (random weights)"
    assert prediction.labels.shape == GRID.size


def test_networks_with_earlier_images_are_no_live_models() -> None:
    assert "monoocc-edge-teacher" not in MODELS
    with pytest.raises(ModelError, match="no network 'monoocc-edge-teacher'"):
        MonoOccPredictor(name="monoocc-edge-teacher", weights="random", device="cpu")


def test_published_presets_merge_earlier_pairs_by_pose() -> None:
    found = {}
    for name in ("monoocc-s-shipped", "monoocc-edge"):
        predictor = MonoOccPredictor(name=name, weights="random", device="cpu")
        assert isinstance(predictor, StatefulPredictor)
        counts = []
        for x in (0.0, 1.0, None):
            pose = None if x is None else np.eye(4)
            if pose is not None:
                pose[0, 3] = x
            predictor.set_pose(pose)
            counts.append(predictor.proposals(*wall(), rig_of(), GRID).sum())
        found[name] = counts
    alone, merged, forgotten = found["monoocc-s-shipped"]
    assert merged > 1.3 * alone and forgotten == alone
    assert len(set(found["monoocc-edge"])) == 1


def test_half_precision_is_nearly_the_same(weights: Path) -> None:
    labels = []
    for precision in ("float32", "bfloat16"):
        made = predictor(weights, precision=precision)
        made.calibrate(rig_of(), GRID)
        labels.append(made.infer(*wall()).labels)
    assert (labels[0] == labels[1]).mean() > 0.9


def test_flags_follow_from_the_weights(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    untrained = {
        name: torch.zeros_like(t) if name.startswith(LATE) and "sampling_offsets.weight" in name else t
        for name, t in published.items()
    }
    save_file(untrained, tmp_path / "untrained.safetensors")
    assert not predictor(tmp_path / "untrained.safetensors").config.late
    without = {n: t for n, t in published.items() if "sem_decoder" not in n}
    save_file(without, tmp_path / "without.safetensors")
    assert predictor(tmp_path / "without.safetensors").config.late
    assert not predictor(tmp_path / "without.safetensors", "monoocc-s-shipped").config.late


def test_weights_of_other_models_are_reported(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="these are weights of monoocc-s, not of monoocc-edge"):
        predictor(weights, "monoocc-edge")
    state = load_file(weights)
    state["thing"] = torch.ones(1)
    save_file(state, tmp_path / "more.safetensors")
    with pytest.raises(CheckpointError, match="1 unexpected: thing"):
        predictor(tmp_path / "more.safetensors")
    with pytest.raises(CheckpointError, match="needs a weights file"):
        MonoOccPredictor(name="monoocc-s", device="cpu")
    for name in ("monoocc-xxl", "monoocc-teacher"):
        with pytest.raises(ModelError, match="there is no network"):
            predictor("random", name)


def test_another_grid_and_a_missing_calibration_are_refused() -> None:
    made = predictor("random", "monoocc-edge")
    with pytest.raises(ModelError, match="no calibration"):
        made.infer(*wall())
    with pytest.raises(GridError, match="completes"):
        made.calibrate(rig_of(), VoxelGrid.semantic_kitti())


def test_images_of_about_the_trained_width_keep_their_size() -> None:
    config = PRESETS["monoocc-s"]
    assert image_fit(config, rig_of(60, 190)).target == (60, 190)
    assert image_fit(config, rig_of(128, 384)).target == (64, 192)
    made = predictor("random", "monoocc-edge")
    made.calibrate(rig_of(128, 384), GRID)
    result = made.infer(*wall(128, 384))
    assert result.depth.shape == (128, 384)


def test_published_checkpoints_are_converted(published: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"meta": {"epoch": 7}, "state_dict": published, "optimizer": {}}, tmp_path / "epoch_7.pth")
    done = convert(tmp_path / "epoch_7.pth", tmp_path / "out.safetensors")
    assert done.models == ("monoocc-s",)
    kept = load_file(tmp_path / "out.safetensors")
    assert set(kept) == set(shaken("monoocc-s").state_dict())
    assert any("trained" in note for note in done.notes)
    voxformer = {n: t for n, t in published.items() if "sem_decoder" not in n and not n.startswith(LATE)}
    torch.save({"state_dict": voxformer}, tmp_path / "voxformer.pth")
    assert convert(tmp_path / "voxformer.pth", tmp_path / "v.safetensors").models == ("monoocc-s-shipped",)
    broken = {n: t for n, t in published.items() if "img_neck" not in n}
    torch.save({"state_dict": broken}, tmp_path / "broken.pth")
    with pytest.raises(CheckpointError, match="monoocc-s is closest and differs in"):
        convert(tmp_path / "broken.pth", tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


def test_small_networks_predict_at_the_trained_height_and_shift_the_result() -> None:
    low, high = (replace(GRID, origin=(0.0, -3.2, z)) for z in (TRAINED_Z, TRAINED_Z + GRID.resolution))
    found = {}
    for name in ("monoocc-edge", "monoocc-s-shipped"):
        predictor = MonoOccPredictor(name=name, weights="random", device="cpu")
        labels = []
        for grid in (low, high):
            predictor.calibrate(rig_of(), grid)
            labels.append(torch.from_numpy(predictor.infer(*wall()).labels))
        found[name] = bool((shifted(labels[0], 1) == labels[1]).float().mean() > 0.999)
    assert found == {"monoocc-edge": True, "monoocc-s-shipped": False}
