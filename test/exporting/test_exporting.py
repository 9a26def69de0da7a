"""Exported models: agreement with the networks, metadata, the engine, and refused files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.networks.exports import GRID, IMAGE, Exported, edge_export, occdepth_export, pair, rig_of, small_preset
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import StereoRig
from occdepth_ros.cli import main
from occdepth_ros.engine import Engine
from occdepth_ros.errors import CalibrationError, CheckpointError, GridError, ModelError
from occdepth_ros.exporting import writing
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.agreement import compare
from occdepth_ros.exporting.edge import dense_histogram
from occdepth_ros.exporting.images import FixedFit
from occdepth_ros.exporting.loading import load_exported
from occdepth_ros.exporting.runtime import CPU, CUDA, TENSORRT, providers
from occdepth_ros.exporting.sampling import FixedSampler
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.depth import depth_histogram
from occdepth_ros.models.images import ImageFit
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor

SIZE, EDGE_SIZE = (90, 250), (180, 620)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[None]:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is absent: pip install onnx onnxscript onnxruntime")
    with small_preset("occdepth-b3"):
        yield


@pytest.fixture(scope="module")
def b3(libraries: None, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return occdepth_export(tmp_path_factory.mktemp("b3"), "occdepth-b3", *SIZE)


@pytest.fixture(scope="module")
def edge(libraries: None, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return edge_export(tmp_path_factory.mktemp("edge"), *EDGE_SIZE)


def test_both_exported_networks_agree_with_pytorch(b3: Exported, edge: Exported) -> None:
    for made, size in ((b3, SIZE), (edge, EDGE_SIZE)):
        exported = load_exported(name=made.about.model, weights=made.path, device="cpu")
        found = compare(exported, made.weights, [pair(*size), pair(*size, seed=1)])
        assert found.holds and found.labels >= 0.999
        assert found.confidence >= 0.999
        assert found.kinds > 3
        assert found.depth < 1e-2
        assert found.provider == CPU


def test_the_engine_runs_an_exported_file(b3: Exported) -> None:
    left, right = pair(*SIZE)
    network = Engine(b3.about.rig, GRID, model="occdepth-b3", weights=b3.weights, device="cpu").predict(left, right)
    # the rig comes with the file, as the node needs it before a camera has spoken
    engine = Engine(None, GRID, model="occdepth-b3", weights=b3.path, device="cpu")
    assert engine.rig.fingerprint == b3.about.rig.fingerprint
    result = engine.predict(left, right, stamp_ns=5)
    assert (result.model, result.stamp_ns) == ("occdepth-b3 (exported)", 5)
    assert (result.labels == network.labels).mean() >= 0.999
    assert (result.visibility == network.visibility).mean() >= 0.999
    assert result.depth.shape == SIZE
    assert (np.isnan(result.depth) == np.isnan(network.depth)).mean() > 0.999
    assert np.nanmax(np.abs(result.depth - network.depth)) < 1e-2
    assert set(result.timings_ms) == {"preprocess", "network", "postprocess", "free_space", "total"}
    again = engine.predict(left, right)
    assert (again.labels == result.labels).mean() > 0.999
    np.testing.assert_allclose(again.confidence, result.confidence, atol=1)


@pytest.mark.ros
def test_the_node_loads_a_file_before_the_first_camera_info(b3: Exported) -> None:
    from occdepth_ros.nodes.faults import FaultBoard
    from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
    from occdepth_ros.nodes.stereo_occ.parameters import Settings

    place = {"grid_origin": GRID.origin, "grid_size": GRID.size, "grid_frame": "base_link"}
    settings = Settings(model="occdepth-b3", weights=str(b3.path), device="cpu", fallback=False, **place)  # type: ignore[arg-type]
    faults = FaultBoard()
    host = ModelHost(settings, faults)
    host.load()
    assert host.name == "occdepth-b3 (exported)" and not host.on_fallback and faults.present() == []
    left, right = pair(*SIZE)
    found = host.predict(b3.about.rig.referenced_to_left("camera"), left, right, 7)
    assert found.grid.frame_id == "base_link" and len(np.unique(found.labels)) > 3
    with pytest.raises(CalibrationError, match="Export the model for this calibration"):
        host.predict(rig_of(*SIZE, shift=0.5), left, right, 8)


def test_a_model_without_a_file_needs_a_rig() -> None:
    with pytest.raises(CalibrationError, match="does not define a rig"):
        Engine(None, GRID, model="stereo-geometry")


def test_only_the_exported_calibration_is_accepted(b3: Exported) -> None:
    predictor = load_exported(weights=b3.path, device="cpu")
    rig = b3.about.rig
    predictor.calibrate(rig.referenced_to_left("camera"), replace(GRID, frame_id="base_link"))
    nudged = rig.reference_from_grid.copy()
    nudged[:3, 3] += 1e-4
    predictor.calibrate(StereoRig(rig.left, rig.right, nudged), GRID)
    for other, what in (
        (rig_of(*SIZE, shift=0.01), "another calibration"),
        (rig_of(91, 250), "250x90"),
        (StereoRig(rig.left.cropped(250, 90, 1), rig.right.cropped(250, 90, 1), rig.reference_from_grid), "pixels"),
    ):
        with pytest.raises(CalibrationError, match=what):
            predictor.calibrate(other, GRID)
    with pytest.raises(GridError, match=r"not \(0.0"):
        predictor.calibrate(rig, replace(GRID, origin=(0.0, 0.0, 0.0)))
    with pytest.raises(GridError, match="voxels"):
        predictor.calibrate(rig, replace(GRID, size=(32, 32, 32)))


def test_inference_before_calibration_is_refused(b3: Exported) -> None:
    with pytest.raises(ModelError, match="calibrate"):
        load_exported(weights=b3.path, device="cpu").infer(*pair(*SIZE))


def test_a_file_of_another_model_is_refused(b3: Exported) -> None:
    with pytest.raises(CheckpointError, match="exported occdepth-b3, not occdepth-edge-sfa"):
        Engine(None, GRID, model="occdepth-edge-sfa", weights=b3.path)


def test_exported_files_hold_no_data_of_the_machine(b3: Exported, edge: Exported) -> None:
    for made in (b3, edge):
        content = made.path.read_bytes()
        assert str(Path(__file__).resolve().parents[2]).encode() not in content
        assert b"stack_trace" not in content


def test_every_model_of_a_stereo_rig_can_be_exported() -> None:
    assert {
        "occdepth-edge",
        "occdepth-edge-sfa",
        "occdepth-b3",
        "occdepth-b7",
        "occdepth-b7-flosp",
        "occdepth-mono",
    } <= set(writing.MODELS)
    with pytest.raises(ModelError, match="stereo-geometry"):
        writing.export(Path("x.onnx"), "stereo-geometry", rig_of(*SIZE), GRID)


@settings(max_examples=30)
@given(st.tuples(*[st.floats(-100, 100)] * 3), st.floats(-3, 3), st.text(max_size=8))
def test_metadata_survive_a_round_trip(origin: tuple[float, float, float], shift: float, frame: str) -> None:
    about = About("occdepth-b3", rig_of(*SIZE, shift), replace(GRID, origin=origin, frame_id=frame), weights="w")
    back = About.from_json(about.to_json(), "here")
    assert back.grid == about.grid and back.rig.fingerprint == about.rig.fingerprint
    assert (back.model, back.version, back.weights) == (about.model, about.version, "w")
    assert back.inputs == about.inputs and back.outputs == about.outputs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "format 3"),
        ({"model": "occdepth-b9"}, "unknown model"),
        ({"model": ["a"]}, "cannot be used"),
        ({"grid": {"origin": [0, 0, 0], "size": [64, 64, 16], "resolution": 0.2, "frame_id": ""}}, "cannot be used"),
        ({"grid": None}, "cannot be used"),
        ({"rig": {}}, "cannot be used"),
        ({"network_picture": {"height": 370, "width": 1220}}, "another image size"),
    ],
)
def test_malformed_metadata_is_refused(change: dict[str, object], message: str) -> None:
    good = json.loads(About("occdepth-b3", rig_of(*SIZE), GRID).to_json())
    with pytest.raises(CheckpointError, match=message):
        About.from_json(json.dumps(good | change), "here")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000])
def test_invalid_metadata_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="cannot be used"):
        About.from_json(text, "here")


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.tuples(*[st.integers(1, 9)] * 3))
def test_fixed_sampling_equals_grid_sample(seed: int, shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    volumes = torch.rand(2, *shape, generator=generator)
    places = 3 * torch.rand(40, 3, generator=generator) - 1.5
    places[0], places[1] = -2.0, 10.0
    expected = F.grid_sample(volumes[None], places[None, None, None], align_corners=False)[0, :, 0, 0]
    torch.testing.assert_close(FixedSampler(places, shape)(volumes), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(64, 192), (66, 198), (60, 190), (90, 250), (40, 100), (200, 300)])
def test_fixed_fit_equals_image_fit(size: tuple[int, int]) -> None:
    fit = ImageFit.between(size, IMAGE)
    images = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    torch.testing.assert_close(FixedFit(fit)(images), fit.apply(images), atol=1e-4, rtol=0)


def test_dense_histograms_equal_scattered_ones() -> None:
    depth = torch.rand(16, 24) * 70 - 5
    edges = torch.linspace(2, 60, 9)
    depth[0, :9] = edges  # bounds belong to the bin below
    for a, b in zip(dense_histogram(depth, edges, 8), depth_histogram(depth, edges, 8), strict=True):
        torch.testing.assert_close(a, b)


def test_devices_are_execution_providers() -> None:
    everything = [TENSORRT, CUDA, CPU]
    assert [name for name, _ in providers("cpu", everything)] == [CPU]
    assert [name for name, _ in providers("cuda:1", everything)] == [CUDA, CPU]
    assert providers("cuda:1", everything)[0][1]["device_id"] == "1"
    assert [name for name, _ in providers("tensorrt", everything)] == [TENSORRT, CUDA, CPU]
    assert [name for name, _ in providers("auto", [CPU])] == [CPU]
    for device in ("cuda", "tensorrt:0"):
        with pytest.raises(ModelError, match="onnxruntime-gpu"):
            providers(device, [CPU])
    for device in ("abacus", "cuda:x", "cuda:-1"):
        with pytest.raises(ModelError, match="is no device"):
            providers(device, everything)


def test_the_command_checks_before_it_writes(
    b3: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(path: Path, *_: object) -> About:
        shutil.copy(b3.path, path)
        return b3.about

    class Source:
        rig, grid_frame = b3.about.rig, "velodyne"

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> object:
            left, right = pair(*SIZE, seed=index)
            return type("Frame", (), {"left": left, "right": right})

    monkeypatch.setattr(writing, "export", fake)
    monkeypatch.setattr("occdepth_ros.commands.export.open_chosen_source", lambda arguments: Source())
    out = tmp_path / "out.onnx"
    command = ["export", "--model", "occdepth-b3", str(out)]
    assert main([*command, "--weights", str(b3.weights), "--frames", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] and report["check"]["labels"] >= 0.999 and report["check"]["frames"] == 2
    assert report["bytes"] == out.stat().st_size
    assert out.read_bytes() == b3.path.read_bytes()
    out.unlink()
    # other weights: another network
    assert main([*command, "--weights", "random"]) == 1
    assert "nothing written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main([*command, "--weights", str(b3.weights), "--frames", "0"]) == 0
    assert "in  left" in capsys.readouterr().out


def test_impossible_commands_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> str:
        assert main(["export", *arguments]) == 2
        assert list(tmp_path.iterdir()) == []
        return capsys.readouterr().err

    assert "does not end in .onnx" in refused(str(tmp_path / "out.pt"))
    assert "Choose one of" in refused("--model", "stereo-geometry", str(tmp_path / "a.onnx"))
    assert "needs a weights file" in refused("--model", "occdepth-mono", str(tmp_path / "a.onnx"))
    assert "multiples of 16" in refused("--grid-size", "100", "100", "32", str(tmp_path / "a.onnx"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install onnx onnxscript onnxruntime" in refused(str(tmp_path / "a.onnx"))
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "TensorRT" in refused("--tensorrt", str(tmp_path / "a.onnx"))


def test_without_the_runtime_the_error_names_it(b3: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnx"):
        with monkeypatch.context() as patch, pytest.raises(ModelError, match="pip install"):
            patch.setitem(sys.modules, name, None)
            load_exported(weights=b3.path)


def test_an_exported_model_predicts_a_shifted_grid_like_the_network(b3: Exported) -> None:
    # the file's grid starts at x = 1 m, where the preset's own would start at 0
    network = OccDepthPredictor(name="occdepth-b3", weights=b3.weights, device="cpu")
    network.calibrate(b3.about.rig, replace(GRID, origin=(0.0, -3.2, -1.0)))
    elsewhere = network.infer(*pair(*SIZE))
    exported = load_exported(weights=b3.path, device="cpu")
    exported.calibrate(b3.about.rig, GRID)
    assert (exported.infer(*pair(*SIZE)).visibility != elsewhere.visibility).mean() > 0.01
    assert VoxelGrid.semantic_kitti().size != GRID.size
