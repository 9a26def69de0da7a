"""Replays that the demo measures, and the load that it samples meanwhile, without nodes."""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")

from rich.console import Console

from occdepth_ros.demo import load
from occdepth_ros.demo.__main__ import parse
from occdepth_ros.demo.observer import Observations
from occdepth_ros.demo.performance import BASIC, METADATA, RESOURCE, RealTime
from occdepth_ros.demo.playback import Playback
from occdepth_ros.demo.session import Session
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost

pytestmark = pytest.mark.ros
NAMES = ("NAME", "TEST_DATETIME", "DEVICE_ARCH", "DEVICE_OS", "INPUT_DATA_PATH")
"""Members of ros2_benchmark's BenchmarkMetadata (8dbb302)."""


class Source:
    """A sequence at 5 Hz."""

    name = "drive"
    grid_frame = "velodyne"

    def __len__(self) -> int:
        return 40

    def period_s(self) -> float:
        return 0.2


def playback(capacity_hz: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Playback, list[tuple[int, float]]]:
    """A playback whose node answers up to `capacity_hz`; the second value fills with pairs and rates of its replays."""
    options = argparse.Namespace(count=None, rate=1.0, peak=True, plan=False, source=None, model="m")
    observer: Any = SimpleNamespace(restart=lambda: None, seen=Observations())
    node: Any = None
    made = Playback(Source(), options, Console(), Path("out"), observer, node)  # type: ignore[arg-type]
    replays: list[tuple[int, float]] = []

    def replay(others: object, pairs: int, speed: float, settled: object) -> RealTime:
        hz = speed / made.period_s
        replays.append((pairs, hz))
        missed = 0 if hz <= capacity_hz else pairs // 2
        return RealTime(
            {
                BASIC + "NUM_FRAMES_SENT": pairs,
                BASIC + "NUM_MISSED_FRAMES": missed,
                BASIC + "MEAN_PLAYBACK_FRAME_RATE": hz,
            }
        )

    monkeypatch.setattr(made, "_replay", replay)
    return made, replays


def seen_with(total_ms: float) -> Observations:
    seen = Observations()
    seen.stages_ms["total"] = [total_ms] * 3
    return seen


def test_the_rates_are_ten_hertz_and_then_around_the_inverse_of_the_processing_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, replays = playback(22.0, monkeypatch)
    made._measure_rates(None, seen_with(50.0))  # type: ignore[arg-type]
    fixed, highest = made.runs
    assert fixed == "10 Hz" and replays[0] == pytest.approx((80, 10.0))
    assert replays[1][1] == pytest.approx(20.0)
    assert highest.startswith("highest: ") and 20.0 <= made.runs[highest].sent_hz <= 22.0
    assert all(20 <= pairs <= 300 for pairs, _ in replays)


def test_a_slow_node_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = playback(0.0, monkeypatch)
    made._measure_rates(None, seen_with(50.0))  # type: ignore[arg-type]
    assert list(made.runs) == ["10 Hz", "highest: none holds"] and not made.runs["highest: none holds"].fields


def test_ten_hertz_is_the_highest_rate_if_only_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = playback(10.0, monkeypatch)
    made._measure_rates(None, seen_with(0.001))  # type: ignore[arg-type]
    assert made.runs["highest: 10 Hz"] is made.runs["10 Hz"]


def test_fields_have_the_form_of_results_of_ros2_benchmark() -> None:
    session: Any = SimpleNamespace(model="m", source=Source())
    run = RealTime({BASIC + "NUM_FRAMES_SENT": 3.0})
    fields = Session._real_time_fields(session, {"5 Hz": run, "10 Hz": run, "highest: 12 Hz": run})
    sent = {BASIC + "NUM_FRAMES_SENT": 3.0}
    metadata = fields.pop("metadata")
    assert fields == {"5.0fps": sent, "10.0fps": sent, **sent}
    assert metadata[METADATA + "INPUT_DATA_PATH"] == "drive" and metadata["model"] == "m"
    assert {name for name in metadata if name.startswith(METADATA)} <= {METADATA + name for name in NAMES}


def test_load_of_node_machine_and_gpu_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 30\necho 70\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(load, "PERIOD_S", 0.01)
    with load.LoadSampler(os.getpid()) as sampler:
        while not sampler.samples.get("DEVICE_UTILIZATION"):
            time.sleep(0.01)
    assert sampler.samples["DEVICE_UTILIZATION"][0] == 70.0, "the busiest GPU"
    assert sampler.samples["NODE_CPU_UTILIZATION"][0] >= 0
    run = RealTime.of(Observations(), sampler.samples)
    assert run.fields[RESOURCE + "MEAN_DEVICE_UTILIZATION"] == 70.0


def test_a_gpu_tool_that_fails_gives_no_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho broken driver\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert math.isnan(load.gpu_percent())


def test_the_node_has_no_gpu_load_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occdepth_ros.nodes.stereo_occ.model_host._torch_with_gpu", lambda: None)
    assert ModelHost.gpu_load() is None

    def broken() -> float:
        raise ModuleNotFoundError("pynvml")

    gpu = SimpleNamespace(cuda=SimpleNamespace(utilization=broken))
    monkeypatch.setattr("occdepth_ros.nodes.stereo_occ.model_host._torch_with_gpu", lambda: gpu)
    assert ModelHost.gpu_load() is None
    gpu.cuda.utilization = lambda: 55
    assert ModelHost.gpu_load() == 55.0


def test_the_origin_of_the_grid_on_the_command_line_reaches_the_node() -> None:
    nothing: Any = None
    for words, expected in ((["--grid-origin", "0", "-25.6", "-0.4"], ["grid_origin:=[0.0, -25.6, -0.4]"]), ([], [])):
        made = Playback(Source(), parse(words), Console(), Path("out"), nothing, nothing)  # type: ignore[arg-type]
        assert [word for word in made._node_arguments() if word.startswith("grid_origin")] == expected
