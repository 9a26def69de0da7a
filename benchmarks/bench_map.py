"""Fusion of predictions into the map, beside the insertion of the same frames into octomap's OcTree.

`ms` is the processor time of one core for one prediction of 256 x 256 x 32 voxels, the median over a drive of 60 frames
of 1 m with yaw, pitch and roll. OctoMap (C++ through pyoctomap) gets the centres of the occupied voxels that were seen
and casts a ray to each; it neither fuses classes nor keeps completed voxels apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ghosts import LIMIT_S, measure
from benchmarks.scenes import street
from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.prediction import OccupancyPrediction, Visibility

FRAMES = 60
STEP_M = 1.0


def run() -> list[dict[str, Any]]:
    """Measure fusion, reading the map, and insertion into octomap."""
    prediction = street()
    world = OccupancyMap()
    times = drive(lambda p, pose: world.integrate(p, pose), prediction)
    rows: list[dict[str, Any]] = [
        {
            "name": f"fusion, median of {FRAMES} frames",
            "ms": statistics.median(times),
            "p95_ms": float(np.percentile(times, 95)),
            "mb": world.nbytes / 1e6,
        }
    ]
    later = drive(lambda p, pose: world.integrate(p, pose), prediction, first=FRAMES)
    rows.append({"name": f"fusion, frames {FRAMES} to {2 * FRAMES}", "ms": statistics.median(later)})
    fill_store(world)
    full = drive(lambda p, pose: world.integrate(p, pose), prediction, first=2 * FRAMES)
    name = f"fusion, store full as after hours of driving ({world.nbytes / 1e6:.0f} MB)"
    rows.append({"name": name, "ms": statistics.median(full)})
    report = measure()
    share = f"{100 * report.share:.2f} % of {report.left} voxels"
    rows.append({"name": f"ghosts {LIMIT_S:g} s after moving objects left: {share}", "share": report.share})
    start = time.thread_time()
    world.snapshot()
    rows.append({"name": "snapshot of the window", "ms": 1e3 * (time.thread_time() - start)})
    try:
        import pyoctomap
    except ImportError:
        return rows
    tree = pyoctomap.OcTree(prediction.grid.resolution)
    seen = prediction.occupied & (prediction.visibility == int(Visibility.SEEN))
    points = prediction.grid.centers()[seen.ravel()].astype(np.float64)

    def insert(_: OccupancyPrediction, pose: npt.NDArray[np.float64]) -> None:
        world_points = points @ pose[:3, :3].T + pose[:3, 3]
        tree.insertPointCloud(np.ascontiguousarray(world_points), np.ascontiguousarray(pose[:3, 3]))

    other = statistics.median(drive(insert, prediction, count=6))
    rows[0] |= {"other": "octomap (C++), seen points", "other_ms": other, "ratio": other / rows[0]["ms"]}
    return rows


def fill_store(world: OccupancyMap) -> None:
    """Fill the store of a map to its limit with copies of a block far away."""
    payload = max(world.blocks().values(), key=len)
    index = 0
    while world.store.nbytes + len(payload) + 1000 < world.store.max_bytes:
        world.store.put((100_000 + index, 0, 0), payload)
        index += 1


def drive(
    fuse: Callable[[OccupancyPrediction, npt.NDArray[np.float64]], None],
    prediction: OccupancyPrediction,
    *,
    first: int = 0,
    count: int = FRAMES,
) -> list[float]:
    """Processor time of each frame of a drive, milliseconds."""
    times = []
    for i in range(first, first + count):
        frame = replace(prediction, stamp_ns=i * 100_000_000)
        pose = pose_at(i)
        start = time.thread_time()
        fuse(frame, pose)
        times.append(1e3 * (time.thread_time() - start))
    return times


def pose_at(index: int) -> npt.NDArray[np.float64]:
    """A vehicle that turns slowly and nods by up to two degrees."""
    yaw, pitch, roll = 0.01 * index, 0.03 * np.sin(0.3 * index), 0.02 * np.cos(0.2 * index)
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    pose[0, 3] = STEP_M * index
    return pose
