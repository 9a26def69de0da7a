"""Real-time figures of a replay: names of ros2_benchmark, values, and the search for the highest rate."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")

from rich.console import Console

from occdepth_ros.demo.observer import Observations
from occdepth_ros.demo.peak import MAX_TRIALS, RESOLUTION, highest_rate
from occdepth_ros.demo.performance import BASIC, RESOURCE, RealTime, basic_metrics, table

MS = 1_000_000
pytestmark = pytest.mark.ros


def test_rates_latency_jitter_and_missed_frames_of_a_known_replay() -> None:
    sent = {stamp: 100 * MS * stamp for stamp in range(5)}
    late = {0: 30, 1: 30, 2: 50, 4: 30}
    fields = basic_metrics(sent, {stamp: sent[stamp] + ms * MS for stamp, ms in late.items()})
    assert fields[BASIC + "NUM_FRAMES_SENT"] == 5 and fields[BASIC + "NUM_MISSED_FRAMES"] == 1
    assert fields[BASIC + "MEAN_PLAYBACK_FRAME_RATE"] == pytest.approx(10.0)
    assert fields[BASIC + "MEAN_FRAME_RATE"] == pytest.approx(3 / 0.4)
    assert fields[BASIC + "MEAN_LATENCY"] == pytest.approx(35.0)
    assert fields[BASIC + "LATENCY_P50"] == pytest.approx(30.0)
    assert fields[BASIC + "MAX_LATENCY"] == pytest.approx(50.0)
    # intervals of 100, 120 and 180 ms
    assert fields[BASIC + "MIN_JITTER"] == pytest.approx(20.0)
    assert fields[BASIC + "MAX_JITTER"] == pytest.approx(60.0)
    assert fields[BASIC + "MEAN_JITTER"] == pytest.approx(40.0)


@given(delays=st.lists(st.one_of(st.none(), st.integers(0, 10**10)), max_size=30), period=st.integers(MS, 10**9))
def test_figures_of_any_replay_are_finite_and_consistent(delays: list[int | None], period: int) -> None:
    sent = {stamp: period * stamp for stamp in range(len(delays))}
    received = {stamp: sent[stamp] + delay for stamp, delay in enumerate(delays) if delay is not None}
    fields = basic_metrics(sent, received)
    assert all(math.isfinite(value) for value in fields.values())
    assert fields[BASIC + "NUM_MISSED_FRAMES"] + len(received) == fields[BASIC + "NUM_FRAMES_SENT"] == len(delays)
    if received:
        names = ("MIN_LATENCY", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "MAX_LATENCY")
        values = [fields[BASIC + name] for name in names]
        assert all(a <= b + 1e-6 for a, b in pairwise(values))


def observed(delays_ms: list[float | None], hz: float) -> Observations:
    """Observations of a replay; None = no grid."""
    seen = Observations()
    for i, delay in enumerate(delays_ms):
        seen.published_ns[i] = round(1e9 * i / hz)
        seen.paired.add(i)
        if delay is not None:
            seen.answered[i] = seen.published_ns[i] + round(delay * MS)
    return seen


def test_a_rate_holds_with_at_most_five_percent_of_the_frames_missed() -> None:
    assert RealTime.of(observed([20.0] * 19 + [None], 10.0), {}).holds
    assert not RealTime.of(observed([20.0] * 18 + [None] * 2, 10.0), {}).holds
    assert not RealTime.of(observed([], 10.0), {}).holds


def test_a_grid_of_an_earlier_replay_is_not_counted() -> None:
    seen = observed([20.0, None], 10.0)
    seen.answered[-5] = 10
    assert RealTime.of(seen, {}).fields[BASIC + "NUM_MISSED_FRAMES"] == 1


def test_load_is_summarized_without_samples_that_failed() -> None:
    load = {"NODE_CPU_UTILIZATION": [50.0, math.nan, 100.0], "DEVICE_UTILIZATION": [math.nan]}
    run = RealTime.of(observed([20.0, 30.0], 10.0), load)
    assert run.fields[RESOURCE + "MEAN_NODE_CPU_UTILIZATION"] == pytest.approx(75.0)
    assert run.fields[RESOURCE + "MAX_NODE_CPU_UTILIZATION"] == pytest.approx(100.0)
    assert not [name for name in run.fields if "DEVICE" in name]


def test_the_table_has_a_column_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = RealTime.of(observed([20.0, 30.0, 40.0], 10.0), {"OVERALL_CPU_UTILIZATION": [40.0]})
    console = Console(width=80)
    console.print(table({"9.6 Hz": run, "10 Hz": run, "highest: none holds": RealTime({})}))
    text = capsys.readouterr().out
    assert "latency p99, ms" in text and "9.6 Hz" in text and "GPU" not in text
    assert max(map(len, text.splitlines())) <= 80


@given(capacity=st.floats(0.2, 200.0), first=st.floats(0.5, 100.0))
def test_the_search_returns_a_rate_that_holds(capacity: float, first: float) -> None:
    tried: list[float] = []

    def trial(hz: float) -> RealTime:
        tried.append(hz)
        return RealTime.of(observed([1.0] * 20 if hz <= capacity else [1.0] * 10 + [None] * 10, hz), {})

    best = highest_rate(trial, first)
    assert len(tried) <= MAX_TRIALS
    held = [hz for hz in tried if hz <= capacity]
    assert (best is None) == (not held)
    if best is not None:
        assert best.sent_hz == pytest.approx(max(held), rel=1e-3, abs=6e-4)
    if capacity / 1.5 <= first <= capacity / 0.6:
        assert best is not None and best.sent_hz > capacity / RESOLUTION / 1.01


def test_the_search_ends_where_the_replay_is_the_limit() -> None:
    tried: list[float] = []

    def trial(hz: float) -> RealTime:
        tried.append(hz)
        return RealTime.of(observed([1.0] * 20, min(hz, 30.0)), {})

    best = highest_rate(trial, 20.0)
    assert best is not None and best.sent_hz == pytest.approx(30.0, rel=1e-3)
    assert tried[-1] > 30.0 and len(tried) < MAX_TRIALS
