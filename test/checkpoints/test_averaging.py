"""The mean of weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from occdepth_ros.checkpoints.averaging import average
from occdepth_ros.checkpoints.packing import header_of
from occdepth_ros.cli import main
from occdepth_ros.errors import CheckpointError


def state(value: float, count: int = 3) -> dict[str, torch.Tensor]:
    return {
        "a.weight": torch.full((2, 3), value),
        "a.half": torch.full((4,), value, dtype=torch.float16),
        "a.num_batches_tracked": torch.tensor(count),
    }


@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.floats(-100, 100, width=16), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_the_mean_is_weighted_by_the_shares(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("mean")
    files = [folder / f"{i}.safetensors" for i in range(len(values))]
    for i, (file, value) in enumerate(zip(files, values, strict=True)):
        save_file(state(value, i), file, {"model": f"m{i}"})
    shares = (torch.rand(len(values), generator=torch.Generator().manual_seed(seed)) + 0.1).tolist()
    assert average(files, folder / "out.safetensors", shares) == {"model": "m0"}
    found = load_file(folder / "out.safetensors")
    expected = sum(v * s for v, s in zip(values, shares, strict=True)) / sum(shares)
    assert found["a.weight"].dtype == torch.float32 and found["a.half"].dtype == torch.float16
    torch.testing.assert_close(found["a.weight"], torch.full((2, 3), expected), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found["a.half"].float(), torch.full((4,), expected), atol=1e-3, rtol=2e-3)
    assert int(found["a.num_batches_tracked"]) == 0


def test_the_command_averages_in_equal_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("a", 1.0), ("b", 3.0)):
        save_file(state(value), tmp_path / f"{name}.safetensors", {"model": name})
    arguments = [str(tmp_path / f"{name}.safetensors") for name in "ab"]
    assert main(["weights", "mean", *arguments, "--out", str(tmp_path / "c.safetensors")]) == 0
    assert "mean of 2 files, model a" in capsys.readouterr().out
    assert float(load_file(tmp_path / "c.safetensors")["a.weight"].mean()) == 2
    assert header_of(tmp_path / "c.safetensors") == {"model": "a"}


def test_files_that_cannot_be_averaged_are_reported_and_leave_no_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    save_file(state(1.0), one)
    save_file({**state(1.0), "b": torch.zeros(2)}, other)
    out = tmp_path / "out.safetensors"
    with pytest.raises(
        CheckpointError, match=r"1 tensors differ in name or shape from those of one.safetensors, such as b"
    ):
        average([one, other], out)
    for sources, shares in (([one], None), ([one, one], [1.0]), ([one, one], [1.0, -1.0])):
        with pytest.raises(CheckpointError, match="cannot be averaged"):
            average(sources, out, shares)
    assert not out.exists()
