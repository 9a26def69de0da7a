"""Weights files: no code is executed, and weights that do not fit are refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from helpers.damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from occdepth_ros.checkpoints.golden.filling import fill_state, fill_tensor
from occdepth_ros.errors import CheckpointError
from occdepth_ros.models.loading.state import load_strict, read_state

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "bn.num_batches_tracked": torch.tensor(3)}


def write(path: Path, state: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".old":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(state, path)
    return path


FORMATS = ("w.safetensors", "w.pt", "w.old")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_back_equal(tmp_path: Path, name: str) -> None:
    state = read_state(write(tmp_path / name, STATE))
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) and state[key].dtype == STATE[key].dtype for key in STATE)


def test_the_state_dict_of_a_training_checkpoint_is_taken(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": STATE, "lr_schedulers": []}, tmp_path / "w.ckpt")
    assert read_state(tmp_path / "w.ckpt").keys() == STATE.keys()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_file_is_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    whole = write(tmp_path / name, STATE).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    # a name that is cut within reads as the name of an unknown object
    with pytest.raises(CheckpointError, match=r"damaged|not a weights file|Python objects|empty"):
        read_state(cut)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_scratched_file_loads_or_is_refused_by_name(tmp_path: Path, name: str, data: st.DataObject) -> None:
    scratched = tmp_path / "scratched"
    scratched.write_bytes(data.draw(damaged(write(tmp_path / name, STATE).read_bytes(), cut=False)))
    try:
        state = read_state(scratched)
    except CheckpointError as error:
        assert str(scratched) in str(error)
    else:
        assert all(isinstance(value, torch.Tensor) for value in state.values())


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_object_is_refused_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    content = {"state_dict": STATE, "hyper_parameters": Malicious(tmp_path / "executed")}
    torch.save(content, tmp_path / "w.ckpt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"Python objects besides tensors \(\w+\.mkdir\)"):
        read_state(tmp_path / "w.ckpt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Malicious(tmp_path / "executed")))
    with pytest.raises(CheckpointError):
        read_state(tmp_path / "plain.pkl")
    assert not (tmp_path / "executed").exists()


def test_other_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state(tmp_path / "missing.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state(tmp_path)
    for content in (b"hello", b"\x89PNG\r\n\x1a\n" + bytes(100)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(CheckpointError, match="not a weights file"):
            read_state(tmp_path / "other")
    for wrong in ([1, 2], {}, {"a": 1}, {1: torch.zeros(2)}):
        torch.save(wrong, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="does not hold named tensors"):
            read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(tmp_path: Path, value: float) -> None:
    save_file(STATE | {"bad.bias": torch.tensor([1.0, value])}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"NaN or infinity: bad\.bias"):
        read_state(tmp_path / "w.safetensors")


def test_strict_loading_names_the_differences() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    good = {key: torch.full_like(value, 7) for key, value in net.state_dict().items()}
    load_strict(net, good, where="w")
    assert all((value == 7).all() for value in net.state_dict().values())
    bad = {k: v for k, v in good.items() if "running" not in k} | {"extra": torch.zeros(1), "0.bias": torch.zeros(5)}
    with pytest.raises(CheckpointError) as caught:
        load_strict(net, {k: v + 1 for k, v in bad.items()}, where="w.pt")
    text = str(caught.value)
    assert "w.pt" in text
    assert "2 missing: 1.running_mean, 1.running_var" in text
    assert "1 unexpected: extra" in text
    assert "1 of another shape: 0.bias [5] instead of [2]" in text
    assert all((value == 7).all() for value in net.state_dict().values()), "half-loaded"


def test_strict_loading_shows_only_the_first_names() -> None:
    with pytest.raises(CheckpointError) as caught:
        load_strict(nn.Linear(1, 1), {f"w{i}": torch.zeros(1) for i in range(1000)}, where="w")
    assert "1000 unexpected: w0, w1, w2, ..." in str(caught.value)
    assert len(str(caught.value)) < 400


def test_filling_depends_on_name_shape_and_seed_only() -> None:
    shapes = {"a.weight": (4, 3, 3), "b.weight": (4,), "b.running_var": (4,), "b.num_batches_tracked": ()}
    first, second = fill_state(shapes), fill_state(dict(reversed(shapes.items())))
    assert all(torch.equal(first[name], second[name]) for name in shapes)
    assert not torch.equal(first["a.weight"], fill_tensor("a.weight", (4, 3, 3), seed=1))
    assert first["b.num_batches_tracked"].dtype == torch.int64
    assert ((first["b.running_var"] >= 0.75) & (first["b.running_var"] <= 1.25)).all()


@pytest.mark.parametrize(
    ("name", "shape", "mean", "deviation"),
    [
        ("conv.weight", (200, 50), 0.0, (1.6 / 50) ** 0.5),
        ("bn.weight", (10_000,), 1.0, 0.1),
        ("bn.bias", (10_000,), 0.0, 0.1),
        ("bn.running_mean", (10_000,), 0.0, 0.1),
        ("layer.gamma", (10_000,), 0.5, 0.1),
        ("pos_embed", (100, 100), 0.0, 0.5),
        ("attn.sampling_offsets.bias", (10_000,), 0.0, 2.0),
        ("dcn.offset.bias", (10_000,), 0.0, 0.5),
    ],
)
def test_filling_scales_by_the_kind_of_tensor(name: str, shape: tuple[int, ...], mean: float, deviation: float) -> None:
    values = fill_tensor(name, shape)
    assert float(values.mean()) == pytest.approx(mean, abs=0.05 * deviation)
    assert float(values.std()) == pytest.approx(deviation, rel=0.05)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pt"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected_text"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b'\n<HTML lang="en">', "web page"),
        (b'{"error":"Repository not found"}', "text message of a server"),
        (b"\x1f\x8b" + bytes(90), "gzip"),
        (tarred(), "tar archive"),
        (b"\x89HDF\r\n" + bytes(90), "HDF5"),
        (b"\x08\x07\x12\x07pytorch" + bytes(90), "ONNX"),
        (zipped(readme=b"text"), "zip archive that torch.save did not write"),
        (zipped(net__data__pkl=b"", net__constants_pkl=b"1", net__code__a=b""), "zip archive"),
        (struct.pack("<Q", 99_000_000) + b"{" + bytes(60), "the header has 99000000 bytes, the file 69"),
        (struct.pack("<Q", 2**63) + b"{" + bytes(60), "not a weights file"),
    ],
)
def test_files_that_are_not_weights_are_recognised(tmp_path: Path, content: bytes, expected_text: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=expected_text):
        read_state(path)


def test_a_program_is_not_run_and_no_message_advises_to_load_unsafely(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    path.write_bytes(zipped(**{"net__data.pkl": b"", "net__constants.pkl": b"1", "net__code__net.py": b"x"}))
    with pytest.raises(CheckpointError, match="TorchScript") as caught:
        read_state(path)
    assert "weights_only" not in str(caught.value)
    torch.save({"a": torch.zeros(2)}, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="damaged or truncated") as caught:
        read_state(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_other_float_types_are_converted(dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(2, 1)
    load_strict(layer, {"weight": torch.ones(1, 2, dtype=dtype), "bias": torch.zeros(1, dtype=dtype)}, where="file")
    assert layer.weight.dtype == torch.float32
    assert layer.weight.tolist() == [[1.0, 1.0]]


def test_integers_in_place_of_weights_are_refused() -> None:
    layer = torch.nn.Linear(2, 1)
    with pytest.raises(CheckpointError, match="1 of another type: weight int32 instead of float32"):
        load_strict(layer, {"weight": torch.ones(1, 2, dtype=torch.int32), "bias": torch.zeros(1)}, where="file")
