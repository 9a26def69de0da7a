"""SIGINT and SIGTERM at random moments of start, run, save and stop: exit code 0, no traceback, no half file."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from occdepth_ros.srv import MapFile
from rclpy.executors import SingleThreadedExecutor

from benchmarks.soak.processes import NodeProcess
from benchmarks.soak.result import Result
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.files import load_map

PART = "signals"
SHORT, FULL = 1, 50
"""Runs per moment and signal."""
READY_S = 120.0
DOMAIN = 103
MOMENTS = ("start", "run", "save", "stop")


def run(full: bool) -> list[Result]:
    """Run the node again and again, and end it at random moments."""
    count = FULL if full else SHORT
    rng = random.Random(0)
    results = []
    for moment in MOMENTS:
        problems = []
        total = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            for _ in range(count):
                total += 1
                with tempfile.TemporaryDirectory() as folder:
                    problem = _one(Path(folder), moment, number, rng)
                if problem:
                    problems.append(f"{number.name}: {problem}")
        measured = f"{total - len(problems)} of {total}" + (f" ({problems[0]})" if problems else "")
        results.append(
            Result(PART, f"during {moment}: exit code 0, no traceback, no half file", measured, "all", not problems)
        )
    return results


def _one(folder: Path, moment: str, number: signal.Signals, rng: random.Random) -> str:
    maps = folder / "maps"
    maps.mkdir()
    node = NodeProcess(
        "stereo_occ", folder / "log.txt", DOMAIN, model="stereo-geometry", map_mode="always", warm_up=False
    )
    try:
        if moment == "start":
            # from the first line of the package to a node that is active
            time.sleep(rng.uniform(0.3, 4.0))
        else:
            _wait(lambda: "active:" in node.text() or node.process.poll() is not None, READY_S)
        if moment == "run":
            time.sleep(rng.uniform(0.0, 1.0))
        if moment == "save":
            saver = threading.Thread(target=_save, args=(maps, 1.5), daemon=True)
            saver.start()
            time.sleep(rng.uniform(0.5, 1.5))
        if moment == "stop":
            node.process.send_signal(number)
            time.sleep(rng.uniform(0.0, 0.3))
        code = node.end(number)
        if moment == "save":
            saver.join()
        return _judge(code, node.text(), maps)
    finally:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()


def _judge(code: int, log: str, maps: Path) -> str:
    if code != 0:
        return f"exit code {code}; {log[-200:]!r}"
    if "Traceback" in log or "terminate called" in log:
        return f"traceback: {log[-300:]!r}"
    for file in maps.iterdir():
        if file.name.startswith("."):
            return f"half file {file.name}"
        try:
            load_map(file, OccupancyMap(MapConfig(resolution=VoxelGrid.semantic_kitti().resolution)))
        except OccDepthError as error:
            return f"unreadable file: {error}"
    return ""


def _save(maps: Path, seconds: float) -> None:
    """Call the service that saves the map, until the time has passed."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    client_node = rclpy.create_node("soak_saver", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(client_node)
    client = client_node.create_client(MapFile, "/stereo_occ/map/save_map")
    end = time.monotonic() + seconds
    index = 0
    while time.monotonic() < end:
        if client.wait_for_service(timeout_sec=0.1):
            future = client.call_async(MapFile.Request(path=str(maps / f"{index}.npz")))
            executor.spin_until_future_complete(future, timeout_sec=0.3)
            index += 1
    client_node.destroy_node()
    executor.shutdown()
    rclpy.shutdown(context=context)


def _wait(condition: Callable[[], bool], timeout: float) -> None:
    end = time.monotonic() + timeout
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
