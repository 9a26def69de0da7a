"""The real-time report of the node: rate, latency, jitter, dropped pairs and load of a run in one line of the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from occdepth_ros.nodes.load import CpuLoad
from occdepth_ros.nodes.stereo_occ.monitoring.timing import Statistics

WINDOW = 6000
"""Maximum number of pairs in a report: the latest 10 minutes at 10 Hz."""
PLAUSIBLE_LATENCY_MS = 60_000.0
"""Maximum plausible latency, milliseconds. Above it, stamps and node use different clocks (a recording without
use_sim_time)."""


def latency_text(p50: float, *others: float) -> str:
    """Return the latencies in ms as text, or a note that there are none or that the stamps are from another clock."""
    if math.isnan(p50):
        return "none"
    if not -PLAUSIBLE_LATENCY_MS < p50 < PLAUSIBLE_LATENCY_MS:
        return "stamps and node use different clocks"
    return " ".join(f"{value:.1f}" for value in (p50, *others))


class RealTimeReport:
    """Collects the pairs of a run and writes one line about them.

    Args:
        dropped: returns the number of pairs that a newer pair replaced, since the activation.
        gpu_load: returns the load of the GPU, percent; None without one.
    """

    def __init__(self, dropped: Callable[[], int], gpu_load: Callable[[], float | None]) -> None:
        self._latencies = Statistics(WINDOW, math.inf)
        self._dropped = dropped
        self._gpu_load = gpu_load
        self._cpu = CpuLoad()
        self._dropped_before = 0
        self._began = time.monotonic()

    def add(self, latency_ms: float) -> None:
        """Record a published pair and its latency from stamp to publication."""
        self._latencies.add(latency_ms)

    def start(self) -> None:
        """Begin a run and reset the number of dropped pairs."""
        self._latencies.clear()
        self._dropped_before = 0
        self._cpu.percent()
        self._began = time.monotonic()

    def due(self, period_s: float) -> bool:
        """Return whether the run has lasted a period; False for a period of 0."""
        return 0 < period_s <= time.monotonic() - self._began

    def finish(self) -> str:
        """Return the line of this run and begin the next one; empty if no pair was published."""
        pairs, seconds = self._latencies.span()
        dropped = self._dropped()
        lost, self._dropped_before = dropped - self._dropped_before, dropped
        cpu, gpu = self._cpu.percent(), self._gpu_load()
        rate = self._latencies.rate()
        latency = latency_text(*self._latencies.percentiles(50, 95, 99, 100))
        mean, top = self._latencies.jitter()
        self._latencies.clear()
        self._began = time.monotonic()
        if not pairs:
            return ""
        return (
            f"real time: {pairs} pairs in {seconds:.1f} s, {rate:.2f} Hz; latency ms p50 p95 p99 max: {latency}; "
            f"jitter ms mean max: {mean:.1f} {top:.1f}; {lost} pairs dropped; CPU {cpu:.0f} % of one core"
            + ("" if gpu is None else f"; GPU {gpu:.0f} %")
        )
