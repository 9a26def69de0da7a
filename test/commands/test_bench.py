"""`occdepth bench`: agreement of both paths, and the composition of the reported times."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.networks.weights import shipped_weights

from benchmarks.bench_network import rows
from occdepth_ros.cli import main
from occdepth_ros.commands import bench
from occdepth_ros.commands.bench import table
from occdepth_ros.evaluation.reference_agreement import Comparison, overlapped_ms
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.config import PRESETS as MONOOCC
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.runtime.timing import StageClock, counting_cpu_time

STAGES = ("preprocess", "encoder", "decoder2d", "sfa", "oad", "net3d", "head", "postprocess")
EDGE_STAGES = ("matching", "preprocess", "images", "oad", "sfa", "net3d", "head", "postprocess")
SMALL_GRID = VoxelGrid((0.0, -3.2, -1.6), (32, 32, 16), 0.2, "velodyne")


def made(**changes: Any) -> Comparison:
    reference = dict.fromkeys(STAGES, 10.0)
    optimized = dict.fromkeys(STAGES, 4.0)
    return replace(Comparison("occdepth-b3", "cpu", 1, reference, optimized, 0.9995, 2000.0, 1500.0), **changes)


def test_reference_and_optimized_path_agree_and_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(PRESETS["occdepth-b3"], grid=SMALL_GRID, image=(94, 306))
    monkeypatch.setitem(PRESETS, "occdepth-b3", small)
    monkeypatch.setattr(VoxelGrid, "semantic_kitti", lambda frame_id="velodyne": replace(SMALL_GRID, frame_id=frame_id))
    path = tmp_path / "bench.json"
    assert main(["bench", "--model", "occdepth-b3", "--device", "cpu", "--json", str(path)]) == 0
    (record,) = json.loads(path.read_text())
    # a wrong order of views, scales or stages would change far more labels than rounding
    assert record["label_agreement"] >= 0.999
    assert list(record["stages"]) == list(STAGES)
    assert record["reference_ms"] == pytest.approx(sum(s["reference_ms"] for s in record["stages"].values()))
    assert record["speedup"] == pytest.approx(record["reference_ms"] / record["optimized_ms"])
    assert record["cpu_speedup"] == pytest.approx(record["reference_cpu_ms"] / record["optimized_cpu_ms"])
    assert record["reference_cpu_ms"] > 0
    assert "decoder2d" in capsys.readouterr().out


def test_the_next_pair_begins_before_one_is_completed() -> None:
    done: list[str] = []

    class Staged:
        def begin(self, left: Any, right: Any) -> Any:
            done.append(f"begin {left}")
            return lambda: done.append(f"complete {left}")

    pairs: Any = [(1, 1), (2, 2), (3, 3)]
    assert overlapped_ms(Staged(), pairs) >= 0
    assert done == ["begin 1", "begin 2", "complete 1", "begin 3", "complete 2", "complete 3"]
    assert "a pair, overlapping" in [*table(made(overlapped_ms=3.0)).columns[0].cells]
    assert "a pair, overlapping" not in [*table(made()).columns[0].cells]


def test_the_shipped_network_agrees_with_itself_in_float32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped_weights("occdepth-edge-sfa")
    monkeypatch.setattr(VoxelGrid, "semantic_kitti", lambda frame_id="velodyne": replace(SMALL_GRID, frame_id=frame_id))
    path = tmp_path / "bench.json"
    assert main(["bench", "--model", "occdepth-edge-sfa", "--device", "cpu", "--json", str(path)]) == 0
    (record,) = json.loads(path.read_text())
    assert record["model"] == "occdepth-edge-sfa" and record["label_agreement"] >= 0.98
    assert list(record["stages"]) == list(EDGE_STAGES)
    assert "matching" in capsys.readouterr().out


def test_monoocc_agrees_with_its_reference_form(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(MONOOCC["monoocc-edge"], grid=SMALL_GRID, width=192, columns=16 * 8)
    monkeypatch.setitem(MONOOCC, "monoocc-edge", small)
    monkeypatch.setattr(VoxelGrid, "semantic_kitti", lambda frame_id="velodyne": replace(SMALL_GRID, frame_id=frame_id))
    path = tmp_path / "bench.json"
    options = ["--device", "cpu", "--precision", "float32", "--cpu-time", "--json", str(path)]
    assert main(["bench", "--model", "monoocc-edge", "--weights", "random", *options]) == 0
    (record,) = json.loads(path.read_text())
    assert record["label_agreement"] >= 0.999
    assert list(record["stages"]) == ["proposals", "preprocess", "network", "postprocess"]
    assert not StageClock.cpu_time
    assert "network" in capsys.readouterr().out


def test_cpu_time_counts_the_work_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = iter((10.0, 10.25))
    monkeypatch.setattr(time, "process_time", lambda: next(worked))
    with counting_cpu_time():
        clock = StageClock(torch.device("cpu"))
        clock.lap("work")
    assert clock.milliseconds() == {"work": 250.0}
    assert not StageClock.cpu_time


def test_ratios_and_sums() -> None:
    record = made().record()
    assert (record["reference_ms"], record["optimized_ms"], record["speedup"]) == (80.0, 32.0, 2.5)
    assert record["cpu_speedup"] is None
    assert made(reference_cpu_ms=90.0, optimized_cpu_ms=30.0).record()["cpu_speedup"] == 3.0
    last = rows(made().record())[-1]
    assert (last["speedup"], last["label_agreement"], last["peak_mb"]) == (2.5, 0.9995, 1500.0)
    assert rows(made().record(), "mixed")[-1]["stage"] == "occdepth-b3, mixed, on cpu"


def test_unknown_values_are_left_out() -> None:
    assert (
        bench.table(made(reference_cpu_ms=90.0, optimized_cpu_ms=30.0)).row_count == bench.table(made()).row_count + 1
    )
    assert bench.table(made()).row_count == bench.table(made(peak_mb=None)).row_count + 1


@pytest.mark.parametrize("frames", ["0", "-1", "many"])
def test_frames_are_a_positive_number(frames: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--frames", frames])
    assert "--frames" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--precision", "mixed"), ("--compile",)])
def test_unsupported_options_are_refused(option: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", "occdepth-edge", *option]) == 2
    assert option[0].strip("-") in capsys.readouterr().err
