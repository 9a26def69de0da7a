"""Tests of the judgement of a long run from latencies and samples of the node's process."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")

from benchmarks.soak.endurance import MAX_SLOWER, results
from benchmarks.soak.growth import WARM_UP
from benchmarks.soak.result import Result

HOUR_S = 3600


def _latency(latency_ms: Callable[[int], float]) -> Result:
    listener: Any = SimpleNamespace(
        times=[(float(second), latency_ms(second)) for second in range(HOUR_S)], count={"grid": 1}
    )
    sampler: Any = SimpleNamespace(moments=[], memory=[], cpu_between=lambda start, end: 1.0)
    return next(each for each in results(listener, sampler, 0, "", HOUR_S) if "latency" in each.what)


def test_latency_is_judged_after_the_warm_up() -> None:
    assert _latency(lambda second: 20.0 if second < WARM_UP * HOUR_S else 24.0).holds
    slow = 24.0 * (1.01 + MAX_SLOWER)
    assert _latency(lambda second: 24.0 if second < HOUR_S / 2 else slow).holds is False


def test_a_node_without_pairs_at_the_end_does_not_hold() -> None:
    assert _latency(lambda second: 24.0 if second < HOUR_S / 2 else float("nan")).holds is False
