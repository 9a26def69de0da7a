"""Every OccDepth preset as a module for the exporter, and TensorRT without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.networks.exports import GRID, IMAGE, pair, rig_of, small_preset
from safetensors.torch import save_file

from occdepth_ros.errors import ModelError, OutputError
from occdepth_ros.exporting import tensorrt
from occdepth_ros.exporting.about import About
from occdepth_ros.exporting.reading import ExportedFile
from occdepth_ros.exporting.writing import MODELS, exportable
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.predictor import OccDepthPredictor

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", [name for name in MODELS if name in PRESETS])
def test_the_traced_module_agrees_with_the_predictor(name: str, tmp_path: Path) -> None:
    with small_preset(name):
        torch.manual_seed(1)
        network = OccDepth(PRESETS[name])
        with torch.no_grad():
            network.get_parameter("net_3d_decoder.ssc_head.conv_classes.weight").mul_(30)
        weights = tmp_path / "small.safetensors"
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, weights)
        about = About(name, rig_of(90, 250), GRID)
        images = pair(90, 250)
        module = exportable(about, weights).eval()
        with torch.no_grad():
            found = module(*(torch.from_numpy(p) for p in images[: len(about.inputs)]))
        assert len(found) == len(about.outputs)
        for value, (kind, shape) in zip(found, about.outputs.values(), strict=True):
            assert (str(value.dtype).removeprefix("torch."), tuple(value.shape)) == (kind, shape)
        predictor = OccDepthPredictor(name=name, weights=weights, device="cpu", precision="float32")
        predictor.calibrate(about.rig, GRID)
        expected = predictor.infer(*images)
        assert len(np.unique(expected.labels)) > 3
        assert (found[0].numpy() == expected.labels).mean() >= 0.999
        assert (np.abs(found[1].numpy().astype(int) - expected.confidence) <= 2).mean() >= 0.999
        if len(found) > 2:
            assert found[2].shape == IMAGE
            back = about.fit.restore(found[2]).numpy()
            assert np.nanmax(np.abs(back - expected.depth)) < 1e-2


class FakeTensorRt:
    """The calls that building an engine makes, with an outcome that a test chooses."""

    NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)

    def __init__(self, *, parses: bool = True, plan: bytes | None = b"plan") -> None:
        self.parses, self.plan = parses, plan
        self.Logger: Any = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})

    def Builder(self, logger: object) -> object:
        return SimpleNamespace(
            create_network=lambda flags: flags,
            create_builder_config=lambda: "config",
            build_serialized_network=lambda network, config: self.plan,
        )

    def OnnxParser(self, network: int, logger: object) -> object:
        assert network == 1
        errors = [] if self.parses else ["node 7 is unknown"]
        return SimpleNamespace(
            parse=lambda content: self.parses, num_errors=len(errors), get_error=lambda index: errors[index]
        )


def test_an_engine_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = About("occdepth-b3", rig_of(90, 250), GRID)
    monkeypatch.setattr(tensorrt, "read_exported", lambda path: ExportedFile(about, b"graph"))
    source, target = tmp_path / "a.onnx", tmp_path / "out" / "a.engine"
    for fake, message in (
        (FakeTensorRt(parses=False), "node 7 is unknown"),
        (FakeTensorRt(plan=None), "cannot build an engine"),
    ):
        monkeypatch.setitem(sys.modules, "tensorrt", fake)
        with pytest.raises(ModelError, match=message):
            tensorrt.build(source, target)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt())
    assert tensorrt.build(source, target).read_bytes() == b"plan"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        tensorrt.build(source, tmp_path / "file" / "a.engine")


def test_missing_tensorrt_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ModelError, match="Install NVIDIA's TensorRT"):
        tensorrt.load()
