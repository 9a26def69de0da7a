"""Faults in the log: at their start, periodically, and when they end."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")

from occdepth_ros.nodes.faults import Component, Fault
from occdepth_ros.nodes.stereo_occ.monitoring import fault_log
from occdepth_ros.nodes.stereo_occ.monitoring.fault_log import LOG_PERIOD, FaultLog

pytestmark = pytest.mark.ros


class Lines:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, severity: str) -> Any:
        return lambda text: self.lines.append((severity, text))


def fault(name: str, *, is_error: bool = True) -> Fault:
    return Fault(name, Component.INPUT, f"text of {name}", is_error, 0.0)


def test_a_fault_is_logged_when_it_appears_periodically_and_when_it_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(f"{fault_log.__name__}.time.monotonic", lambda: now)
    out = Lines()
    log = FaultLog(out)
    assert log.update([fault("image_size"), fault("frame_id", is_error=False)])
    assert not log.update([fault("image_size"), fault("frame_id", is_error=False)])
    assert out.lines == [("error", "image_size: text of image_size"), ("warning", "frame_id: text of frame_id")]
    now += LOG_PERIOD
    assert not log.update([fault("image_size"), fault("frame_id", is_error=False)])
    assert len(out.lines) == 4
    assert log.update([fault("frame_id", is_error=False)])
    assert out.lines[4:] == [("info", "image_size: cleared")]
    log.update([fault("image_size")])
    assert out.lines[-1] == ("info", "frame_id: cleared") and out.lines[-2][0] == "error"
