"""Endurance: replay at 10 Hz into the node with all outputs and the map; growth of memory, latency first and last."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Float64

from benchmarks.soak.growth import WARM_UP, Sampler, measure_growth
from benchmarks.soak.processes import NodeProcess
from benchmarks.soak.result import Result
from occdepth_ros.nodes.stereo_occ.map.grid import MapGrid
from occdepth_ros.nodes.stereo_occ.map.server import map_outputs
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS
from occdepth_ros.sources.factory import open_source
from occdepth_ros.sources.writers.kitti import write_kitti

PART = "endurance"
SHORT_S, FULL_S = 60.0, 3600.0
DOMAIN = 105
READY_S = 180.0
MAX_GROWTH_MB = 1.0
MB_PER_HOUR = 3600 / 1e6
MAX_SLOWER = 0.05
LATENCY = "/stereo_occ/debug/processing_time/total_ms"
WIDTH, HEIGHT = 414, 125
"""Size of the images, a third of those of the sample: two cores that run replay, node and listener reach 10 Hz."""
GRID = {"grid_size": [128, 128, 16], "grid_resolution": 0.4}


class Listener:
    """Subscribes all outputs as bytes, and the time of each pair."""

    def __init__(self, node: Node) -> None:
        self.times: list[tuple[float, float]] = []
        self.count: dict[str, int] = {}
        for spec in (*OUTPUTS, *map_outputs(MapGrid())):
            if spec.message is not None:
                self.count[spec.name] = 0
                node.create_subscription(
                    spec.message, f"/stereo_occ/{spec.name}", self._counting(spec.name), spec.qos, raw=True
                )
        node.create_subscription(Float64, LATENCY, self._timed, 10)

    def _counting(self, name: str) -> Any:
        def receive(message: bytes) -> None:
            self.count[name] += 1

        return receive

    def _timed(self, message: Float64) -> None:
        self.times.append((time.monotonic(), float(message.data)))


def run(full: bool, seconds: float | None = None) -> list[Result]:
    """Run node, replay and listener.

    Args:
        full: an hour instead of a minute.
        seconds: another duration.
    """
    duration = seconds or (FULL_S if full else SHORT_S)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node("soak_listener", context=context)
    listener = Listener(node)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    with tempfile.TemporaryDirectory() as folder:
        sequence = Path(folder) / "sequence"
        _write_small_sample(sequence)
        live = NodeProcess(
            "stereo_occ",
            Path(folder) / "node.log",
            DOMAIN,
            model="stereo-geometry",
            map_mode="always",
            use_sim_time=True,
            **GRID,
            # the sample repeats: with dropped pairs, two predicted pairs in a row may have the same images
            allow_unchanged_images=True,
        )
        sampler = Sampler(live.process.pid)
        replay = NodeProcess("replay", Path(folder) / "replay.log", DOMAIN, source=sequence, loop=True, rate=1.0)
        try:
            end = time.monotonic() + READY_S
            while not listener.times and time.monotonic() < end and live.process.poll() is None:
                executor.spin_once(timeout_sec=0.1)
            sampler.start()
            start = time.monotonic()
            while time.monotonic() < start + duration and live.process.poll() is None:
                executor.spin_once(timeout_sec=0.1)
        finally:
            sampler.end()
            replay.end()
            code = live.end()
        log = live.text()
    node.destroy_node()
    executor.shutdown()
    rclpy.shutdown(context=context)
    return results(listener, sampler, code, log, duration)


def _write_small_sample(folder: Path) -> None:
    source = open_source()
    frames = []
    for index in range(len(source)):
        frame = source[index]
        left, right = (
            np.asarray(cv2.resize(side, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
            for side in (frame.left, frame.right)
        )
        frames.append(replace(frame, left=left, right=right))
    source.rig = source.rig.scaled(WIDTH, HEIGHT)
    write_kitti(folder, source, frames)


def results(listener: Listener, sampler: Sampler, code: int, log: str, duration: float) -> list[Result]:
    """Judge a run.

    Args:
        listener: what was received.
        sampler: memory and CPU time of the node.
        code: exit code of the node.
        log: what it printed.
        duration: length of the run, seconds.
    """
    is_long = duration >= FULL_S / 2
    extent = f"{duration / 60:.0f} min at 10 Hz, all outputs and the map"
    growth = measure_growth(sampler.moments, sampler.memory)
    start = listener.times[0][0] if listener.times else 0.0
    window = min(60.0, duration / 4)
    # the map and its outputs grow in the first minutes: like the memory, the latency is judged after them
    windows = [(start + at, start + at + window) for at in (window / 4, WARM_UP * duration, duration - window)]
    samples = [[ms for at, ms in listener.times if begin <= at < end] for begin, end in windows]
    cold, before, after = (statistics.median(values) if values else math.nan for values in samples)
    cpu = [
        1e3 * sampler.cpu_between(*limits) / len(values) if values else math.nan
        for limits, values in zip(windows, samples, strict=True)
    ]
    silent = sorted(name for name, count in listener.count.items() if not count)
    return [
        Result(PART, f"pairs predicted, {extent}", f"{len(listener.times)}", "> 0", bool(listener.times)),
        Result(
            PART,
            "outputs with messages",
            f"{len(listener.count) - len(silent)} of {len(listener.count)}"
            + (f" (none: {', '.join(silent)})" if silent else ""),
            "all",
            not silent,
        ),
        Result(
            PART,
            "growth of resident memory after the first fifth: median and mean ± twice their errors, lowest, highest",
            f"{growth.median * MB_PER_HOUR:+.2f} ± {2 * growth.error * MB_PER_HOUR:.2f}, "
            f"{growth.mean * MB_PER_HOUR:+.2f} ± {2 * growth.mean_error * MB_PER_HOUR:.2f}, "
            f"{growth.lowest * MB_PER_HOUR:+.1f}, {growth.highest * MB_PER_HOUR:+.1f} MB/h; "
            f"{min(sampler.memory) / 1e6:.0f} to {max(sampler.memory) / 1e6:.0f} MB"
            if growth
            else "too few samples",
            f"median and error < {MAX_GROWTH_MB:g} MB/h",
            growth is not None and growth.bound * MB_PER_HOUR < MAX_GROWTH_MB if is_long else None,
        ),
        Result(
            PART,
            f"latency, median of {window:.0f} s at the start, after the first fifth, and at the end",
            f"{cold:.1f}, {before:.1f} and {after:.1f} ms (the last two: {after / before - 1:+.1%})",
            f"the last two within {MAX_SLOWER:.0%}",
            abs(after / before - 1) <= MAX_SLOWER if is_long else None,
        ),
        Result(
            PART,
            f"CPU time of the node per pair, the same {window:.0f} s",
            f"{cpu[0]:.1f}, {cpu[1]:.1f} and {cpu[2]:.1f} ms (the last two: {cpu[2] / cpu[1] - 1:+.1%})",
            "without waiting for a core",
            None,
        ),
        Result(
            PART,
            "exit code after SIGINT, tracebacks",
            f"{code}, {log.count('Traceback')}",
            "0, 0",
            code == 0 and "Traceback" not in log,
        ),
    ]
