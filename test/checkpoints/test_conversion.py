"""Conversion of training checkpoints to safetensors; no code in them is executed."""

from __future__ import annotations

import collections
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from occdepth_ros.checkpoints.conversion import convert
from occdepth_ros.checkpoints.unpickling import read_training_checkpoint
from occdepth_ros.cli import main
from occdepth_ros.errors import CheckpointError, OutputError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.recognition import recognise


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    grid = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)
    with pytest.MonkeyPatch.context() as patch:
        for name, config in PRESETS.items():
            patch.setitem(PRESETS, name, replace(config, grid=grid, feature=config.feature // 4, backbone="b3"))
        yield


class Callback:
    """A class that only the training program has; removed from its module before reading."""

    def __init__(self) -> None:
        self.best = torch.ones(3)
        self.items = [1, 2]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return OccDepth(PRESETS["occdepth-mono"]).state_dict()


def lightning(state: dict[str, Any], path: Path, **more: object) -> Path:
    """A file as PyTorch-Lightning 1.4 writes it: weights, optimiser moments, callbacks, pickled configuration."""
    module: Any = types.ModuleType("missing_training_code")
    module.Callback = Callback
    moments = {i: {"step": 7, "exp_avg": torch.rand_like(v.float())} for i, v in enumerate(list(state.values())[:5])}
    content = {
        "epoch": 29,
        "global_step": 115020,
        "pytorch-lightning_version": "1.4.9",
        "state_dict": collections.OrderedDict(state),
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 2e-4, "params": [0, 1]}]}],
        "callbacks": {Callback: {"best_model_score": torch.tensor(12.8)}, "other": Callback()},
        "hyper_parameters": {"config": Callback(), "path": Path("x"), "sizes": {1, 2}},
        **more,
    }
    Callback.__module__ = "missing_training_code"
    sys.modules["missing_training_code"] = module
    try:
        torch.save(content, path)
    finally:
        del sys.modules["missing_training_code"]
        Callback.__module__ = __name__
    return path


def test_a_training_checkpoint_becomes_a_weights_file(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = lightning(state, tmp_path / "official.ckpt"), tmp_path / "out.safetensors"
    assert main(["weights", "convert", str(source), str(target)]) == 0
    out = capsys.readouterr().out
    for text in ("occdepth-mono", "1167 tensors", "epoch: 29", "1.4.9", "missing_training_code.Callback"):
        assert text in out
    written = load_file(target)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[k], state[k]) and written[k].dtype == state[k].dtype for k in state)
    with safe_open(target, "pt") as file:
        assert file.metadata()["model"] == "occdepth-mono"
    assert [p.name for p in tmp_path.iterdir()] in (
        ["official.ckpt", "out.safetensors"],
        ["out.safetensors", "official.ckpt"],
    )


def test_views_and_parameters_come_back_as_they_were(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    saved = {
        "view": base[1:3, ::2].T,
        "parameter": torch.nn.Parameter(base),
        "half": base.half(),
        "brain": base.bfloat16(),
        "count": torch.tensor(5),
        "empty": torch.empty(0, 3),
        "flags": base > 3,
    }
    torch.save({"state_dict": saved}, tmp_path / "w.ckpt")
    read = read_training_checkpoint(tmp_path / "w.ckpt").state
    assert read.keys() == saved.keys()
    assert all(torch.equal(read[k], saved[k].detach()) and read[k].dtype == saved[k].dtype for k in saved)


class Malicious:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def test_no_code_is_executed(state: dict[str, Any], tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    attacks = [
        Malicious(os.mkdir, str(mark)),
        Malicious(os.system, f"mkdir {mark}"),
        Malicious(eval, f"__import__('os').mkdir({str(mark)!r})"),
        Malicious(getattr, Malicious(__import__, "os"), "mkdir"),
    ]
    source = lightning(state, tmp_path / "evil.ckpt", attacks=attacks)
    done = convert(source, tmp_path / "out.safetensors")
    assert not mark.exists()
    assert {"eval", "getattr", "__import__", "mkdir", "system"} <= {n.split(".")[-1] for n in done.checkpoint.foreign}
    # in place of a tensor it is refused rather than dropped
    for attack in attacks:
        lightning({**state, "net_rgb.evil": attack}, source)
        with pytest.raises(CheckpointError, match="something else than named tensors"):
            convert(source, tmp_path / "second.safetensors")
    assert not mark.exists()
    assert not (tmp_path / "second.safetensors").exists()


def archive(path: Path, opcodes: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", opcodes)
        for name, content in entries.items():
            file.writestr(f"archive/data/{name}", content)
    return path


class Storage:
    def __init__(self, key: str, count: int) -> None:
        self.pid = "storage", torch.FloatStorage, key, "cpu", count


class StoragePickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return obj.pid if isinstance(obj, Storage) else None


def pickled(content: object) -> bytes:
    import io

    buffer = io.BytesIO()
    StoragePickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (3, 3), (3, 1)),  # nine numbers of four
        (3, (2,), (1,)),
        (-1, (2,), (1,)),
        (0, (10**12,), (0,)),  # expands to terabytes
        (0, (2, 2), (1,)),
        (0, ("4",), (1,)),
    ],
)
def test_tensors_beyond_their_storage_are_refused(
    tmp_path: Path, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    rebuilt = Malicious(torch._utils._rebuild_tensor_v2, Storage("0", 4), offset, size, stride, False, {})
    path = archive(tmp_path / "w.ckpt", pickled({"state_dict": {"w": rebuilt}}), **{"0": bytes(16)})
    with pytest.raises(CheckpointError, match="damaged"):
        read_training_checkpoint(path)


def test_storages_of_another_length_are_refused(tmp_path: Path) -> None:
    rebuilt = Malicious(torch._utils._rebuild_tensor_v2, Storage("0", 4), 0, (4,), (1,), False, {})
    good = archive(tmp_path / "w.ckpt", pickled({"state_dict": {"w": rebuilt}}), **{"0": bytes(16)})
    assert torch.equal(read_training_checkpoint(good).state["w"], torch.zeros(4))
    for content in (bytes(12), bytes(20), b""):
        with pytest.raises(CheckpointError, match="bytes instead of 16"):
            read_training_checkpoint(
                archive(tmp_path / "w.ckpt", pickled({"state_dict": {"w": rebuilt}}), **{"0": content})
            )


@pytest.mark.parametrize("zipped", [True, False])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_checkpoints_load_or_are_refused_by_name(tmp_path: Path, zipped: bool, data: st.DataObject) -> None:
    content = {"epoch": 1, "state_dict": {"a": torch.arange(6.0), "b": torch.ones(2)}, "other": Path("x")}
    path = tmp_path / "w.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        state = read_training_checkpoint(path).state
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(value, torch.Tensor) for value in state.values())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opcodes=st.binary(max_size=60))
def test_random_pickles_are_refused(tmp_path: Path, opcodes: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_training_checkpoint(archive(tmp_path / "w.ckpt", opcodes))


def test_a_pickle_cannot_change_the_classes_that_it_names(tmp_path: Path) -> None:
    # names a foreign class and a tensor builder and sets attributes of both (opcode BUILD with slot state)
    set_call = b"}X\x08\x00\x00\x00__call__K\x01s\x86b"
    opcodes = b"\x80\x02cforeign\nThing\nN" + set_call + b"0ctorch._utils\n_rebuild_tensor_v2\nN" + set_call + b"."
    with pytest.raises(CheckpointError):
        read_training_checkpoint(archive(tmp_path / "w.ckpt", opcodes))
    torch.save({"state_dict": {"a": torch.ones(2)}, "thing": Path("x")}, tmp_path / "good.ckpt")
    assert torch.equal(read_training_checkpoint(tmp_path / "good.ckpt").state["a"], torch.ones(2))


def test_other_configurations_are_reported(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    source = lightning({k: v for k, v in state.items() if "ssc_head.bn1" not in k}, tmp_path / "w.ckpt")
    with pytest.raises(CheckpointError, match="occdepth-mono is closest and differs in 15 names"):
        convert(source, tmp_path / "out.safetensors")
    lightning(state, source)
    with pytest.raises(CheckpointError, match="this is occdepth-mono, not occdepth-b3"):
        convert(source, tmp_path / "out.safetensors", model="occdepth-b3")
    lightning({**state, "net_rgb.decoder.conv2.bias": torch.full((1536,), float("nan"))}, source)
    with pytest.raises(CheckpointError, match="NaN"):
        convert(source, tmp_path / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.ckpt"]


def test_every_preset_is_recognised() -> None:
    for name, config in PRESETS.items():
        with torch.device("meta"):
            found = recognise(OccDepth(config).state_dict())
        # averaging two views has no parameters: the two cannot be distinguished
        pairs = {"monoscene", "monoscene-stereo"}, {"monoscene-small", "monoscene-stereo-small"}
        assert set(found) == next((twins for twins in pairs if name in twins), {name})


def test_missing_files_and_unwritable_targets_are_reported(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        convert(tmp_path / "missing.ckpt", tmp_path / "out.safetensors")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint"):
        convert(tmp_path / "text.ckpt", tmp_path / "out.safetensors")
    source = lightning(state, tmp_path / "w.ckpt")
    with pytest.raises(OutputError, match="cannot write"):
        convert(source, tmp_path / "text.ckpt" / "out.safetensors")
