"""`occdepth weights verify` and `pack`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from occdepth_ros.checkpoints.golden.occdepth_file import read_golden
from occdepth_ros.checkpoints.packing import halved
from occdepth_ros.cli import main
from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.edge.predictor import load_network

pytestmark = pytest.mark.usefixtures("one_thread")


def rewritten(source: Path, target: Path, **changes: object) -> Path:
    with np.load(source) as stored:
        arrays = {key: stored[key] for key in stored.files}
    for key, change in changes.items():
        arrays[key] = change(arrays[key]) if callable(change) else change
    np.savez(target, **{k: v for k, v in arrays.items() if v is not None})
    return target


def with_meta(**changes: object) -> object:
    def change(stored: np.ndarray) -> np.ndarray:
        meta = json.loads(bytes(stored)) | changes
        return np.frombuffer(json.dumps(meta).encode(), np.uint8)

    return change


@pytest.mark.golden
def test_verify_prints_a_table_and_succeeds(golden_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify", str(golden_dir / "occdepth_b3.npz")]) == 0
    out = capsys.readouterr().out
    for part in ("2-D 1/1 left", "2-D 1/16 right", "SFA 1/8", "OAD weight", "3-D input", "depth", "logits", "labels"):
        assert part in out
    assert "all parts agree" in out


@pytest.mark.golden
def test_one_wrong_part_is_found_and_fails(
    golden_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[3, 2, 1] += 0.01 * np.ptp(array)
        return array

    file = rewritten(golden_dir / "occdepth_mono.npz", tmp_path / "g.npz", sfa_4=off)
    assert main(["weights", "verify", str(file), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == "occdepth-mono"
    assert not report["passed"]
    assert [part["part"] for part in report["parts"] if not part["passed"]] == ["SFA 1/4"]


@pytest.mark.golden
def test_wrong_labels_fail(golden_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shuffled(labels: np.ndarray) -> np.ndarray:
        labels = labels.copy()
        labels[:2] = 19 - labels[:2]
        return labels

    file = rewritten(golden_dir / "occdepth_mono.npz", tmp_path / "g.npz", labels=shuffled)
    assert main(["weights", "verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert "BEYOND" in out
    assert "1 of 13 parts" in out


@pytest.mark.golden
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"meta": None}, "no outputs of a network"),
        ({"meta": with_meta(config="resnet.yaml")}, "'resnet.yaml', is not supported"),
        ({"meta": with_meta(shapes={"a": [2]})}, "not for this network"),
        ({"meta": with_meta(shapes={"a": [-2]})}, "is inconsistent"),
        ({"meta": with_meta(small={"H": "x"})}, "is inconsistent"),
        ({"meta": np.zeros(4, np.uint8)}, "is inconsistent"),
        ({"image": np.zeros((1, 3, 5, 5), np.float32)}, "image has the shape"),
        ({"labels": np.zeros((3, 3), np.uint8)}, "labels has the shape"),
        ({"x3d": np.zeros((24, 7, 7, 7), np.float32)}, "no regular excerpt"),
        ({"cam_k": np.full((1, 3, 3), np.nan)}, "NaN or infinity"),
        ({"logits": None}, "is inconsistent"),
    ],
)
def test_inconsistent_golden_files_are_refused(
    golden_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], text: str
) -> None:
    file = rewritten(golden_dir / "occdepth_mono.npz", tmp_path / "g.npz", **changes)
    assert main(["weights", "verify", str(file)]) == 2
    err = capsys.readouterr().err
    assert text in err
    assert str(file) in err


@pytest.mark.golden
def test_a_missing_dataset_is_reported(golden_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = golden_dir / "occdepth_b3_full.npz"
    assert main(["weights", "verify", str(file), "--dataset", str(tmp_path)]) == 2
    assert "--dataset" in capsys.readouterr().err
    folder = tmp_path / "sequences" / "00" / "image_2"
    folder.mkdir(parents=True)
    (folder / "000000.png").write_bytes(b"no image")
    assert main(["weights", "verify", str(file), "--dataset", str(tmp_path)]) == 2
    assert "000000.png" in capsys.readouterr().err


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_by_name(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "g.npz"
    np.savez_compressed(path, meta=np.frombuffer(b'{"config": "flospdepth_2080ti.yaml"}', np.uint8), x=np.arange(50.0))
    path.write_bytes(data.draw(damaged(path.read_bytes(), cut=False)))
    with pytest.raises(CheckpointError, match=r"g\.npz"):
        read_golden(path)


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "single.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", meta=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "whole.npz", meta=np.arange(10000))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("absent.npz", "text.npz", "single.npy", "objects.npz", "cut.npz"):
        assert main(["weights", "verify", str(tmp_path / name)]) == 2, name
        assert name in capsys.readouterr().err
    assert main(["weights", "verify", str(tmp_path)]) == 2


def test_pack_writes_half_precision_and_a_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = load_network("occdepth-edge-sfa", "random").state_dict()
    named, bare, out = tmp_path / "named.safetensors", tmp_path / "bare.pt", tmp_path / "new" / "out.safetensors"
    save_file(state, named, metadata={"model": "occdepth-edge-sfa"})
    torch.save(state, bare)
    assert main(["weights", "pack", str(named), str(out)]) == 0
    first, printed = out.read_bytes(), capsys.readouterr().out
    assert hashlib.sha256(first).hexdigest() in printed and f"{len(first)} bytes" in printed
    assert len(first) < 0.55 * named.stat().st_size
    with safe_open(out, "pt") as file:
        assert file.metadata() == {
            "model": "occdepth-edge-sfa",
            "licence": "Apache-2.0",
            "recipe": "occdepth-edge-sfa.yaml",
        }
    packed = load_file(out)
    assert set(packed) == set(state)
    for name, tensor in packed.items():
        assert tensor.dtype == (torch.float16 if state[name].dim() > 1 else state[name].dtype), name
        torch.testing.assert_close(tensor.to(state[name].dtype), state[name], rtol=1e-3, atol=1e-4)
    # the name is required if the source does not contain it, and equal weights give equal bytes
    assert main(["weights", "pack", str(bare), str(out)]) == 2
    assert "--model" in capsys.readouterr().err and out.read_bytes() == first
    assert main(["weights", "pack", str(bare), str(out), "--model", "occdepth-edge-sfa"]) == 0
    assert out.read_bytes() == first
    assert main(["weights", "pack", str(bare), str(out), "--model", "occdepth-edge-sfa", "--recipe", "a.yaml"]) == 0
    with safe_open(out, "pt") as file:
        about = file.metadata()
    assert about["licence"] == "Apache-2.0" and about["recipe"] == "a.yaml"


def test_pack_refuses_weights_of_other_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, foreign, metadata={"model": "occdepth-edge-sfa"})
    assert main(["weights", "pack", str(foreign), str(tmp_path / "out.safetensors")]) == 2
    assert "not for this network" in capsys.readouterr().err
    save_file({"a": torch.zeros(3)}, foreign, metadata={"model": "monoscene"})
    assert main(["weights", "pack", str(foreign), str(tmp_path / "out.safetensors")]) == 2
    assert "'monoscene', which does not ship" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [foreign]


def test_values_beyond_half_precision_stay_single() -> None:
    assert halved(torch.ones(2, 2)).dtype == torch.float16
    assert halved(torch.full((2, 2), 7e4)).dtype == torch.float32
    assert halved(torch.ones(3)).dtype == torch.float32
    assert halved(torch.ones(3), vectors=True).dtype == torch.float16
    assert halved(torch.full((3,), 7e4), vectors=True).dtype == torch.float32
    assert halved(torch.ones(3, dtype=torch.float64)).dtype == torch.float32
    assert halved(torch.ones(3, dtype=torch.int64)).dtype == torch.int64
