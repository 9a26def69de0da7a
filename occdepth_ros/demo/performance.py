"""Real-time figures of a replay, with the field names of ros2_benchmark's JSON.

The names are those of `BasicPerformanceMetrics`, `ResourceMetrics` and `BenchmarkMetadata` of
NVIDIA-ISAAC-ROS/ros2_benchmark. As in its results, fields of a fixed input rate are in an object of their own
("10.0fps"), and those of the highest rate are at the top. `LATENCY_P50`, `LATENCY_P95`, `LATENCY_P99` and
`MEAN_NODE_CPU_UTILIZATION` have no counterpart there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from occdepth_ros.demo.observer import Observations
from occdepth_ros.nodes.load import frame_jitter_ms

BASIC, RESOURCE, METADATA = "BasicPerformanceMetrics.", "ResourceMetrics.", "BenchmarkMetadata."
MAX_MISSED = 0.05
"""Largest share of missed frames with which a rate counts as sustained."""
ROWS = (
    ("pairs sent, Hz", BASIC + "MEAN_PLAYBACK_FRAME_RATE"),
    ("grids received, Hz", BASIC + "MEAN_FRAME_RATE"),
    ("pairs sent", BASIC + "NUM_FRAMES_SENT"),
    ("pairs without a grid", BASIC + "NUM_MISSED_FRAMES"),
    ("latency p50, ms", BASIC + "LATENCY_P50"),
    ("latency p95, ms", BASIC + "LATENCY_P95"),
    ("latency p99, ms", BASIC + "LATENCY_P99"),
    ("latency max, ms", BASIC + "MAX_LATENCY"),
    ("jitter mean, ms", BASIC + "MEAN_JITTER"),
    ("jitter max, ms", BASIC + "MAX_JITTER"),
    ("CPU of the node, % of one core", RESOURCE + "MEAN_NODE_CPU_UTILIZATION"),
    ("CPU of the machine, %", RESOURCE + "MEAN_OVERALL_CPU_UTILIZATION"),
    ("GPU, %", RESOURCE + "MEAN_DEVICE_UTILIZATION"),
)
"""Rows of the printed table and their fields."""

Fields = dict[str, float]


@dataclass(frozen=True)
class RealTime:
    """Figures of one replay.

    Args:
        fields: values by name; a field that could not be measured is absent.
    """

    fields: Fields

    @classmethod
    def of(cls, seen: Observations, load: Mapping[str, Sequence[float]]) -> RealTime:
        """Compute the figures from the observations and from samples of the load.

        Args:
            seen: observations of one replay.
            load: samples, percent, by `ResourceMetrics` field without "MEAN_" and "MAX_".
        """
        sent = {stamp: seen.published_ns[stamp] for stamp in sorted(seen.paired, key=seen.published_ns.__getitem__)}
        fields = basic_metrics(sent, {stamp: at for stamp, at in seen.answered.items() if stamp in sent})
        for name, samples in load.items():
            finite = [value for value in samples if np.isfinite(value)]
            if finite:
                fields[f"{RESOURCE}MEAN_{name}"] = float(np.mean(finite))
                fields[f"{RESOURCE}MAX_{name}"] = max(finite)
        return cls({name: round(value, 3) for name, value in fields.items()})

    @property
    def holds(self) -> bool:
        """Whether at most `MAX_MISSED` of the pairs had no grid."""
        sent = self.fields[BASIC + "NUM_FRAMES_SENT"]
        return sent > 0 and self.fields[BASIC + "NUM_MISSED_FRAMES"] <= MAX_MISSED * sent

    @property
    def sent_hz(self) -> float:
        """Rate at which the pairs were sent, Hz; 0 for fewer than two."""
        return self.fields.get(BASIC + "MEAN_PLAYBACK_FRAME_RATE", 0.0)


def basic_metrics(sent_ns: Mapping[int, int], received_ns: Mapping[int, int]) -> Fields:
    """Return the `BasicPerformanceMetrics` of one replay.

    Args:
        sent_ns: time at which each pair was sent, by stamp, in the order of sending.
        received_ns: time at which the grid was received, by stamp, for the pairs that have one.

    Returns:
        fields for which there are enough pairs and grids: two for rates, three for jitter.
    """
    fields: Fields = {
        BASIC + "NUM_FRAMES_SENT": len(sent_ns),
        BASIC + "NUM_MISSED_FRAMES": len(sent_ns.keys() - received_ns.keys()),
    }
    sent = np.array(sorted(sent_ns.values()), np.float64) * 1e-6
    received = np.array(sorted(received_ns.values()), np.float64) * 1e-6
    if len(sent) > 1 and sent[-1] > sent[0]:
        fields[BASIC + "MEAN_PLAYBACK_FRAME_RATE"] = 1e3 * (len(sent) - 1) / (sent[-1] - sent[0])
    if len(received) > 1 and received[-1] > received[0]:
        fields[BASIC + "RECEIVED_DURATION"] = received[-1] - received[0]
        fields[BASIC + "MEAN_FRAME_RATE"] = 1e3 * (len(received) - 1) / (received[-1] - received[0])
    latencies = [1e-6 * (received_ns[stamp] - at) for stamp, at in sent_ns.items() if stamp in received_ns]
    if latencies:
        fields[BASIC + "FIRST_SENT_RECEIVED_LATENCY"] = received[0] - sent[0]
        fields[BASIC + "LAST_SENT_RECEIVED_LATENCY"] = received[-1] - sent[-1]
        fields[BASIC + "FIRST_INPUT_LATENCY"], fields[BASIC + "LAST_INPUT_LATENCY"] = latencies[0], latencies[-1]
        fields[BASIC + "MIN_LATENCY"], fields[BASIC + "MAX_LATENCY"] = min(latencies), max(latencies)
        fields[BASIC + "MEAN_LATENCY"] = float(np.mean(latencies))
        for percent, value in zip((50, 95, 99), np.percentile(latencies, (50, 95, 99)), strict=True):
            fields[f"{BASIC}LATENCY_P{percent}"] = float(value)
    jitter = frame_jitter_ms((received * 1e-3).tolist())
    if len(jitter):
        fields[BASIC + "MIN_JITTER"], fields[BASIC + "MAX_JITTER"] = float(jitter.min()), float(jitter.max())
        fields[BASIC + "MEAN_JITTER"], fields[BASIC + "STD_DEV_JITTER"] = float(jitter.mean()), float(jitter.std())
    return fields


def table(runs: Mapping[str, RealTime]) -> Table:
    """Return a table with one column per run, at most 80 characters wide for three runs."""
    made = Table(title="Real time", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    made.add_column("figure", no_wrap=True)
    for heading in runs:
        made.add_column(heading, justify="right")
    for label, name in ROWS:
        values = [run.fields.get(name) for run in runs.values()]
        if any(value is not None for value in values):
            made.add_row(label, *("" if value is None else f"{value:.1f}".removesuffix(".0") for value in values))
    return made
