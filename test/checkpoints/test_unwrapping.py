"""Entries of training checkpoints and prefixes of wrappers are resolved and reported; legacy files are read."""

from __future__ import annotations

import collections
import io
import logging
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from occdepth_ros.checkpoints.conversion import convert
from occdepth_ros.checkpoints.other_networks import NETWORKS_BY_NAME
from occdepth_ros.checkpoints.unpickling import read_training_checkpoint
from occdepth_ros.cli import main
from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.comparison.lmscnet.config import LmscNetConfig
from occdepth_ros.models.comparison.lmscnet.network import LmscNet
from occdepth_ros.models.loading.recognition import shapes_of
from occdepth_ros.models.loading.state import read_state
from occdepth_ros.models.loading.unwrapping import PREFIXES, unwrapped
from occdepth_ros.models.monoocc.config import PRESETS as MONOOCC
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.occdepth.recognition import occdepth_shapes

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "bn.num_batches_tracked": torch.tensor(3)}


def equal(state: dict[str, torch.Tensor]) -> bool:
    return state.keys() == STATE.keys() and all(torch.equal(state[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("prefix", [*PREFIXES, "module.model.", "_orig_mod.module.", "model._orig_mod."])
def test_prefixes_that_all_names_share_are_removed_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    save_file({prefix + name: tensor for name, tensor in STATE.items()}, tmp_path / "w.safetensors")
    with caplog.at_level(logging.WARNING):
        assert equal(read_state(tmp_path / "w.safetensors"))
    assert "w.safetensors" in caplog.text
    assert all(repr(part + ".") in caplog.text for part in prefix.split(".")[:-1])


def test_a_prefix_of_a_part_of_the_names_stays(tmp_path: Path) -> None:
    save_file(STATE | {"module.extra": torch.ones(1)}, tmp_path / "w.safetensors")
    assert read_state(tmp_path / "w.safetensors").keys() == STATE.keys() | {"module.extra"}


def test_compiled_parts_and_averaged_models_are_unwrapped() -> None:
    network = nn.Sequential(collections.OrderedDict(conv=nn.Linear(3, 2), bn=nn.BatchNorm1d(2)))
    names = set(network.state_dict())
    averaged = torch.optim.swa_utils.AveragedModel(network).state_dict()
    assert set(unwrapped(averaged)[0]) == names
    part: Any = torch.compile(network[0])
    network[0] = part
    assert any("_orig_mod" in name for name in network.state_dict())
    assert set(unwrapped(network.state_dict())[0]) == names


def test_names_that_would_become_equal_stay_as_they_are() -> None:
    state = {"a._orig_mod.b": 1, "a.b": 2}
    assert unwrapped(state) == (state, [])


@pytest.mark.parametrize(
    "content",
    [
        {"model_state_dict": STATE, "epoch": 3},
        {"ema": STATE, "optimizer": {"lr": 1.0}},
        {"model": {"state_dict": STATE}},
        {"loss": torch.tensor(1.0), "state_dict": STATE, "ema": {"other": torch.ones(1)}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_networks_entry_of_a_checkpoint_is_used_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: dict[str, object], zipped: bool
) -> None:
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    with caplog.at_level(logging.WARNING):
        assert equal(read_state(tmp_path / "w.pt"))
    assert "weights taken from the entry" in caplog.text
    done = read_training_checkpoint(tmp_path / "w.pt")
    assert equal(done.state) and "weights taken from the entry" in done.notes[0]


def legacy(path: Path, content: object) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def test_tensors_of_a_legacy_file_come_back_as_they_were(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    saved = {
        "view": base[1:3, ::2].T, "parameter": nn.Parameter(base), "half": base.half(), "brain": base.bfloat16(),
        "count": torch.tensor(5), "empty": torch.empty(0, 3), "flags": base > 3,
    }  # fmt: skip
    # storages that belong to foreign objects alone lie between the others
    content = {"hyper_parameters": Path("x"), "optimizer": [torch.ones(7)], "state_dict": saved, "epoch": 4}
    read = read_training_checkpoint(legacy(tmp_path / "w.ckpt", content))
    assert read.state.keys() == saved.keys()
    assert all(torch.equal(read.state[k], saved[k].detach()) and read.state[k].dtype == saved[k].dtype for k in saved)
    assert read.facts == {"epoch": 4} and any(name.endswith("Path") for name in read.foreign)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_no_code_in_a_legacy_file_is_executed(tmp_path: Path) -> None:
    path = legacy(tmp_path / "w.ckpt", {"state_dict": STATE, "hyper_parameters": Malicious(tmp_path / "executed")})
    assert equal(read_training_checkpoint(path).state)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("index", [1 << 20, (1 << 32) - 1])
def test_a_memo_index_beyond_the_pickle_is_refused(tmp_path: Path, index: int) -> None:
    # CPython would allocate and fill 16 bytes for each index
    raw = legacy(tmp_path / "w.ckpt", {"a": torch.ones(4)}).read_bytes()
    bomb = b"K\x01r" + struct.pack("<I", index) + b"0"
    (tmp_path / "w.ckpt").write_bytes(raw[:2] + bomb + raw[2:])
    with pytest.raises(CheckpointError, match=f"memo index {index}"):
        read_training_checkpoint(tmp_path / "w.ckpt")


def test_a_legacy_file_whose_storages_reach_beyond_it_is_refused(tmp_path: Path) -> None:
    raw = legacy(tmp_path / "w.ckpt", {"a": torch.ones(4)}).read_bytes()
    (tmp_path / "w.ckpt").write_bytes(raw[:-4])
    with pytest.raises(CheckpointError, match="beyond the file"):
        read_training_checkpoint(tmp_path / "w.ckpt")
    (tmp_path / "w.ckpt").write_bytes(raw[:-24] + struct.pack("<q", 5) + raw[-16:])
    with pytest.raises(CheckpointError, match="5 elements instead of 4"):
        read_training_checkpoint(tmp_path / "w.ckpt")


def test_other_pickles_and_tar_archives_are_reported(tmp_path: Path) -> None:
    (tmp_path / "w.ckpt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match=r"not one of torch\.save"):
        read_training_checkpoint(tmp_path / "w.ckpt")
    with tarfile.open(tmp_path / "w.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    with pytest.raises(CheckpointError, match=r"torch before 0\.2"):
        read_training_checkpoint(tmp_path / "w.tar")


def test_no_message_leads_back_to_a_command_that_refuses_the_file(tmp_path: Path) -> None:
    state = LmscNet(LmscNetConfig()).state_dict()
    wrapped = {f"model.{name}": tensor for name, tensor in state.items()}
    for path in (tmp_path / "zip.ckpt", tmp_path / "legacy.ckpt"):
        torch.save({"state_dict": wrapped, "path": Path("x")}, path, _use_new_zipfile_serialization="zip" in path.name)
        with pytest.raises(CheckpointError, match="occdepth weights convert FILE"):
            read_state(path)
        target = path.with_suffix(".safetensors")
        assert main(["weights", "convert", str(path), str(target)]) == 0
        assert read_state(target).keys() == state.keys()
        with pytest.raises(CheckpointError, match="needs no conversion"):
            convert(target, tmp_path / "again.safetensors")


def test_no_network_of_the_package_has_names_that_would_be_unwrapped() -> None:
    networks = {name: shapes_of(make) for name, make in NETWORKS_BY_NAME.items()}
    networks |= occdepth_shapes() | {name: shapes_of(MonoOcc, config) for name, config in MONOOCC.items()}
    assert len(networks) > 20
    for name, shapes in networks.items():
        assert unwrapped(shapes) == (shapes, []), name
