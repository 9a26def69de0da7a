"""Fusion of predictions into the map, compared with the insertion of the same frames into octomap's OcTree.

`ms` is the processor time of one core for one prediction of 256 x 256 x 32 voxels, the median over a drive of 60 frames
of 1 m with yaw, pitch and roll. `min_ms` is the minimum, which processes on the core's second thread disturb least, and
`wall_ms` the median of the wall time. Compilation, seconds at a machine's first call, is not included. OctoMap (C++
through pyoctomap) gets the centres of the occupied voxels that were seen and casts a ray to each; it neither fuses
classes nor keeps completed voxels apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.ghosts import LIMIT_S, measure
from benchmarks.scenes import street
from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.rotation import from_roll_pitch_yaw

FRAMES = 60
STEP_M = 1.0
HOURS_S = 7200


class Times(NamedTuple):
    """Times of one call, milliseconds."""

    cpu_ms: float
    wall_ms: float


def run() -> list[dict[str, Any]]:
    """Measure fusion, reading the map, and insertion into octomap."""
    prediction = street()
    world = OccupancyMap()
    # compiles, or loads the compiled functions
    world.integrate(prediction, pose_at(0))
    world.snapshot()
    world.reset()
    rows = [row(f"fusion, median of {FRAMES} frames", drive(world.integrate, prediction)) | {"mb": world.nbytes / 1e6}]
    for degrees in (10, 90):
        tilted = drive(OccupancyMap().integrate, prediction, count=10, tilt=np.deg2rad(degrees))
        rows.append(row(f"fusion, tilted by {degrees} degrees", tilted))
    rows += hours(prediction)
    report = measure()
    share = f"{100 * report.share:.2f} % of {report.left} voxels"
    rows.append({"name": f"ghosts {LIMIT_S:g} s after moving objects left: {share}", "share": report.share})
    rows.append(row("snapshot of the window", [timed(world.snapshot) for _ in range(7)]))
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

    other = row("", drive(insert, prediction, count=6))
    rows[0] |= {"other": "octomap (C++), seen points", "other_ms": other["ms"], "other_min_ms": other["min_ms"]}
    rows[0]["ratio"] = other["min_ms"] / rows[0]["min_ms"]
    return rows


def row(name: str, times: list[Times]) -> dict[str, Any]:
    """Return the row of the table for one step."""
    cpu, wall = [t.cpu_ms for t in times], [t.wall_ms for t in times]
    return {
        "name": name,
        "ms": statistics.median(cpu),
        "min_ms": min(cpu),
        "p95_ms": float(np.percentile(cpu, 95)),
        "wall_ms": statistics.median(wall),
    }


def hours(prediction: OccupancyPrediction) -> list[dict[str, Any]]:
    """Return the times of the first minute of a drive and of the last minute of its second hour.

    The two minutes are driven in turns, frame by frame, so that the load of the machine affects both alike. The second
    map has driven for two hours by its stamps with a prediction every 10 s and 4 m before, and its
    store is full.
    """
    old, new = OccupancyMap(), OccupancyMap()
    # the two hours before are driven with a strip of the prediction, which takes a sixteenth of the time
    grid = prediction.grid
    low = grid.size[1] // 2 - 8
    part = np.s_[:, low : low + 16]
    origin = (grid.origin[0], grid.origin[1] + low * grid.resolution, grid.origin[2])
    strip = replace(
        prediction,
        grid=replace(grid, origin=origin, size=(grid.size[0], 16, grid.size[2])),
        labels=prediction.labels[part],
        confidence=prediction.confidence[part],
        visibility=prediction.visibility[part],
    )
    for second in range(0, HOURS_S, 10):
        pose = pose_at(second)
        pose[0, 3] = 0.4 * second
        old.integrate(replace(strip, stamp_ns=second * 1_000_000_000), pose)
    fill_store(old)
    times: tuple[list[Times], list[Times]] = ([], [])
    start = pose[0, 3]
    for i in range(FRAMES):
        for world, found, first_ns, x in ((new, times[0], 0, 0.0), (old, times[1], HOURS_S * 1_000_000_000, start)):
            at = pose_at(i)
            at[0, 3] += x
            frame = replace(prediction, stamp_ns=first_ns + i * 100_000_000)
            found.append(timed(lambda: world.integrate(frame, at)))  # noqa: B023
    first, last = row("fusion, first minute", times[0]), row("fusion, last minute of the second hour", times[1])
    last |= {"mb": old.nbytes / 1e6, "share": last["min_ms"] / first["min_ms"]}
    return [first, last]


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
    tilt: float = 0.0,
) -> list[Times]:
    """Fuse the frames of a drive and return the times of each; `tilt` is an additional pitch, radians."""
    times = []
    cos, sin = np.cos(tilt), np.sin(tilt)
    tilted = np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1]])
    for i in range(first, first + count):
        frame = replace(prediction, stamp_ns=i * 100_000_000)
        pose = pose_at(i) @ tilted
        times.append(timed(lambda: fuse(frame, pose)))  # noqa: B023
    return times


def timed(call: Callable[[], object]) -> Times:
    """Return the processor and wall time of one call."""
    wall, cpu = time.perf_counter(), time.thread_time()
    call()
    return Times(1e3 * (time.thread_time() - cpu), 1e3 * (time.perf_counter() - wall))


def pose_at(index: int) -> npt.NDArray[np.float64]:
    """Return the pose of a vehicle that turns slowly and pitches by up to two degrees."""
    yaw, pitch, roll = 0.01 * index, 0.03 * np.sin(0.3 * index), 0.02 * np.cos(0.2 * index)
    pose = np.eye(4)
    pose[:3, :3] = from_roll_pitch_yaw(roll, pitch, yaw)
    pose[0, 3] = STEP_M * index
    return pose
