"""Published checkpoints and golden files of MobileStereoNet and the query proposal network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from occdepth_ros.checkpoints.golden.verify import verify_file
from occdepth_ros.checkpoints.other_networks import PROPOSAL_NETWORKS
from occdepth_ros.cli import main
from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.state import read_state

pytestmark = pytest.mark.usefixtures("one_thread")


class TrainingArguments:
    """An object of the training program."""


def published(path: Path, network: nn.Module, *, parallel: bool) -> Path:
    """As MobileStereoNet's authors save: the entry `model`, names of DataParallel, an optimiser and arguments."""
    prefix = "module." if parallel else ""
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 299, "model": state, "optimizer": {"lr": 1e-3}, "args": TrainingArguments()}, path)
    return path


@pytest.mark.parametrize("name", list(PROPOSAL_NETWORKS))
def test_published_checkpoints_are_converted(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    network = PROPOSAL_NETWORKS[name]()
    source = published(tmp_path / "best.ckpt", network, parallel=name.startswith("mobile"))
    target = tmp_path / "out.safetensors"
    assert main(["weights", "convert", str(source), str(target), "--model", name]) == 0
    out = capsys.readouterr().out
    assert f"{source}: {name}, " in out and "left out unexecuted" in out
    written = load_file(target)
    assert all(torch.equal(written[key], tensor) for key, tensor in network.state_dict().items())
    with safe_open(target, "pt") as file:
        assert file.metadata()["model"] == name


def test_checkpoints_without_foreign_objects_are_read_as_they_are(tmp_path: Path) -> None:
    state = PROPOSAL_NETWORKS["qpn"]().state_dict()
    torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "c.pth")
    read = read_state(tmp_path / "c.pth")
    assert read.keys() == state.keys() and all(torch.equal(read[k], v) for k, v in state.items())


def test_checkpoints_of_other_sizes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = PROPOSAL_NETWORKS["qpn"]()
    network.conv1_4 = nn.Conv2d(3, 3, 3)
    source = published(tmp_path / "best.ckpt", network, parallel=False)
    assert main(["weights", "convert", str(source), str(tmp_path / "o.safetensors")]) != 0
    assert "qpn is closest and differs in 4 names or shapes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.golden
@pytest.mark.parametrize(
    ("file", "model", "parts"),
    [
        ("mobilestereonet_2d", "mobilestereonet-2d", ["features 1/4", "disparity"]),
        ("mobilestereonet_3d", "mobilestereonet-3d", ["features 1/4", "disparity"]),
        ("monoocc_qpn", "qpn", ["logits 1/2", "logits 1/4", "logits 1/8", "labels"]),
    ],
)
def test_networks_agree_with_golden_files(golden_dir: Path, file: str, model: str, parts: list[str]) -> None:
    found = verify_file(golden_dir / f"{file}.npz")
    assert found.model == model and [c.part for c in found.checks] == parts
    assert [c for c in found.checks if not c.passed] == []


@pytest.mark.golden
def test_a_wrong_stored_value_fails_verification(golden_dir: Path, tmp_path: Path) -> None:
    with np.load(golden_dir / "mobilestereonet_2d.npz") as stored:
        arrays = dict(stored)
    arrays["disparity"][0, 5, 7] += 0.5
    np.savez(tmp_path / "g.npz", **arrays)
    found = verify_file(tmp_path / "g.npz")
    assert [c.part for c in found.checks if not c.passed] == ["disparity"]


@pytest.mark.golden
@pytest.mark.parametrize(
    "change",
    [
        {"left": None},
        {"left": np.zeros((1, 3, 64, 250), np.float32)},
        {"disparity": np.zeros((1, 3), np.float32)},
        {"feature_l_s2": np.zeros((1, 3, 8, 32), np.float32)},
        {"right": np.full((1, 3, 64, 256), np.nan, np.float32)},
        {"meta": lambda meta: meta | {"shapes": meta["shapes"] | {"preconv11.6.bias": [31]}}},
    ],
)
def test_damaged_golden_files_are_refused(golden_dir: Path, tmp_path: Path, change: dict[str, object]) -> None:
    with np.load(golden_dir / "mobilestereonet_2d.npz") as stored:
        arrays = dict(stored)
    for key, value in change.items():
        if callable(value):
            value = np.frombuffer(json.dumps(value(json.loads(bytes(arrays[key])))).encode(), np.uint8)
        arrays[key] = value
    np.savez(tmp_path / "g.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(CheckpointError, match=r"is inconsistent|fit no configuration"):
        verify_file(tmp_path / "g.npz")
