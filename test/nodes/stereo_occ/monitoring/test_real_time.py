"""The real-time report of the node and the statistics behind it, with a simulated clock."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")

from occdepth_ros.nodes.stereo_occ.monitoring import real_time, timing
from occdepth_ros.nodes.stereo_occ.monitoring.real_time import RealTimeReport, latency_text
from occdepth_ros.nodes.stereo_occ.monitoring.timing import Statistics

pytestmark = pytest.mark.ros


class SimulatedTime:
    """A steady clock that the test moves; the process uses half a core."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(f"{timing.__name__}.time.monotonic", lambda: self.now)
        monkeypatch.setattr(f"{timing.__name__}.time.process_time", lambda: self.now / 2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedTime:
    return SimulatedTime(monkeypatch)


def test_statistics_forget_events_beyond_the_horizon(clock: SimulatedTime) -> None:
    statistics = Statistics(horizon=1.0)
    for at, value in ((100.0, 7.0), (100.9, 1.0), (101.0, 3.0), (101.3, 5.0)):
        clock.now = at
        statistics.add(value)
    assert statistics.percentiles(0, 100) == [1.0, 5.0]
    assert statistics.span() == pytest.approx((3, 0.4))
    assert statistics.rate() == pytest.approx(2 / 0.4)
    mean, top = statistics.jitter()
    assert mean == top == pytest.approx(200.0)
    statistics.clear()
    assert statistics.span() == (0, 0.0) and all(map(math.isnan, statistics.jitter()))


def test_a_run_is_reported_in_one_line(clock: SimulatedTime) -> None:
    dropped = 0
    report = RealTimeReport(lambda: dropped, lambda: 40.0)
    report.start()
    for i in range(11):
        clock.now = 200.0 + 0.1 * i
        report.add(30.0 + i)
    dropped = 2
    line = report.finish()
    assert "11 pairs in 1.0 s, 10.00 Hz" in line
    assert "p50 p95 p99 max: 35.0 39.5 39.9 40.0" in line
    assert "jitter ms mean max: 0.0 0.0" in line
    assert "2 pairs dropped" in line and "CPU 50 % of one core" in line and "GPU 40 %" in line
    assert report.finish() == "", "the next run has no pair yet"
    for _ in range(3):
        clock.now += 0.5
        report.add(20.0)
    dropped = 5
    assert "3 pairs dropped" in report.finish(), "pairs are counted from the last report"


def test_a_report_is_due_after_its_period_and_never_for_a_period_of_zero(clock: SimulatedTime) -> None:
    report = RealTimeReport(lambda: 0, lambda: None)
    report.start()
    clock.now += 9.0
    assert not report.due(10.0)
    clock.now += 1.0
    assert report.due(10.0) and not report.due(0.0)
    report.finish()
    assert not report.due(10.0)


def test_latencies_of_another_clock_are_named() -> None:
    assert latency_text(1e9, 2e9) == "stamps and node use different clocks"
    assert latency_text(math.nan, math.nan) == "none"
    assert latency_text(1.0, 2.04) == "1.0 2.0"


def test_a_report_without_gpu_has_no_load_of_it(clock: SimulatedTime) -> None:
    report = RealTimeReport(lambda: 0, lambda: None)
    report.start()
    report.add(1.0)
    assert "GPU" not in report.finish()
    assert real_time.WINDOW > 0
