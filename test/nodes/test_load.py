"""Load of processors from /proc, and frame-to-frame jitter."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from occdepth_ros.nodes import load
from occdepth_ros.nodes.load import CpuLoad, OverallCpuLoad, frame_jitter_ms

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")


def test_jitter_is_the_change_between_successive_intervals() -> None:
    assert frame_jitter_ms([0.0, 0.1, 0.2, 0.35]).tolist() == pytest.approx([0.0, 50.0], abs=1e-6)
    assert len(frame_jitter_ms([0.0, 0.1])) == 0


def test_the_load_of_this_process_grows_with_its_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"monotonic": 10.0, "process_time": 1.0}
    for name in clock:
        monkeypatch.setattr(f"{load.__name__}.time.{name}", lambda name=name: clock[name])
    cpu = CpuLoad()
    clock.update(monotonic=12.0, process_time=4.0)
    assert cpu.percent() == pytest.approx(150.0)
    clock.update(monotonic=13.0)
    assert cpu.percent() == pytest.approx(0.0)


@needs_proc
def test_the_load_of_another_process_is_unknown_after_its_end() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    cpu = CpuLoad(process.pid)
    assert cpu.percent() >= 0
    process.communicate(b"\n")
    assert math.isnan(cpu.percent())


def test_the_load_of_all_processors_is_the_share_of_busy_ticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(load, "STAT", stat)
    stat.write_text("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n")
    overall = OverallCpuLoad()
    # 60 of 100 further ticks are busy; waiting for the disk is idle time
    stat.write_text("cpu  140 0 70 830 60 0 0 0 0 0\n")
    assert overall.percent() == pytest.approx(60.0)
    assert math.isnan(overall.percent())
    stat.write_text("damaged")
    assert math.isnan(overall.percent())
