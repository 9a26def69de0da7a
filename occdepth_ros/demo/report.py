"""The report and the tables of the demo, and predictions rebuilt from messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import Image

from occdepth_ros.camera import StereoRig
from occdepth_ros.demo.observer import GRID, INPUTS, OUTPUTS, Observations
from occdepth_ros.evaluation.ground_truth_scores import scores_line
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.msg import SemanticGrid
from occdepth_ros.prediction import OccupancyPrediction

NAMES = ("p50", "p95", "p99", "max")


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p95, p99 and max, rounded to 0.01; None without values."""
    if not values:
        return dict.fromkeys(NAMES)
    return dict(zip(NAMES, np.percentile(values, [50, 95, 99, 100]).round(2).tolist(), strict=True))


def build_report(seen: Observations, *, source: str, model: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `report.json`.

    `latency_ms` is the wall time from sending the first image of a pair to receiving its `~/grid`;
    `latency_ms_by_topic` contains the same for every output.
    """
    return {
        "source": source,
        "model": model,
        "frames": len(seen.paired),
        "dropped": seen.dropped,
        "topics": {
            name: {"count": record.count, "hz": round(record.hz, 2), "bytes": record.bytes}
            for name, record in seen.topics.items()
        },
        "latency_ms": percentiles(seen.latency_ms[GRID]),
        "scores": dict(scores),
        "latency_ms_by_topic": {name: percentiles(values) for name, values in seen.latency_ms.items()},
        "stages_ms": {stage: percentiles(values) for stage, values in seen.stages_ms.items()},
        "diagnostics": seen.diagnostics,
    }


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the tables at the end of a demo, at most 80 columns wide."""
    topics = _table("Topics; ms: from sending a pair to receiving the message", "topic", ("count", "Hz", "MB"))
    for heading in ("p50 ms", "p95 ms"):
        topics.add_column(heading, justify="right")
    for name, row in report["topics"].items():
        late = report["latency_ms_by_topic"].get(name, {})
        style = "red" if row["count"] == 0 else "dim" if name in INPUTS else None
        cells = [str(row["count"]), f"{row['hz']:.1f}", f"{row['bytes'] / 1e6:.1f}"]
        cells += [_number(late.get(key)) for key in ("p50", "p95")]
        topics.add_row(name.replace("/stereo_occ/", "~/"), *cells, style=style)
    stages = _table("Stages in the node, ms", "stage", ("p50", "p95", "max"))
    for name, values in report["stages_ms"].items():
        stages.add_row(name, *(_number(values[key]) for key in ("p50", "p95", "max")))
    console.print(topics)
    console.print(stages)
    latency = report["latency_ms"]
    for line in (
        f"{report['model']} on {report['source']}",
        f"{report['frames']} pairs sent, {report['dropped']} dropped because a newer pair had arrived",
        f"latency from sending a pair to receiving its grid: p50 {_number(latency['p50'])}, "
        f"p95 {_number(latency['p95'])}, p99 {_number(latency['p99'])}, max {_number(latency['max'])} ms",
        *(scores_line(ground_truth, scores) for ground_truth, scores in report["scores"].items()),
    ):
        console.print(line, soft_wrap=True)


def _table(title: str, rows: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(rows, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def prediction_from_messages(grid_message: bytes, depth_message: bytes | None, rig: StereoRig) -> OccupancyPrediction:
    """Rebuild a prediction from the received messages.

    Args:
        grid_message: serialised SemanticGrid.
        depth_message: serialised 32FC1 Image; None = not received.
        rig: cameras; gives the size of the depth image if none was received.
    """
    message = deserialize_message(grid_message, SemanticGrid)
    size = (message.size_x, message.size_y, message.size_z)
    origin = (message.origin.x, message.origin.y, message.origin.z)
    grid = VoxelGrid(origin, size, message.resolution, message.header.frame_id)
    labels, confidence, visibility = (
        np.frombuffer(memoryview(values), np.uint8).reshape(size)
        for values in (message.labels, message.confidence, message.visibility)
    )
    if depth_message is None:
        depth = np.full((rig.left.height, rig.left.width), np.nan, np.float32)
    else:
        image = deserialize_message(depth_message, Image)
        rows = np.frombuffer(memoryview(image.data), np.uint8).reshape(image.height, image.step)
        depth = rows[:, : 4 * image.width].copy().view("<f4").astype(np.float32)
    stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
    return OccupancyPrediction(grid, labels, confidence, visibility, depth, stamp_ns=stamp, model=message.model)


def silent_sentence(silent: Sequence[str]) -> str:
    """Return a sentence that names the topics without a message."""
    count = "1 topic" if len(silent) == 1 else f"{len(silent)} topics"
    side = "the replay" if all(name in INPUTS for name in silent) else "the node"
    hint = " (the node published no prediction)" if set(OUTPUTS) <= set(silent) else ""
    return f"{count} of {side} had no message{hint}: {', '.join(silent)}"
