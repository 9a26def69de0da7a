"""`occdepth view`: images, depth, voxels, map, trajectory, path and timings in the viewer rerun."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from occdepth_ros.camera import Matrix
from occdepth_ros.commands.options.frames import select_frames
from occdepth_ros.commands.options.grid import add_grid_arguments, chosen_grid
from occdepth_ros.commands.options.source import (
    add_source_arguments,
    checked_rig,
    open_chosen_source,
    print_damaged,
)
from occdepth_ros.commands.predicting import predicted
from occdepth_ros.engine import Engine
from occdepth_ros.errors import OccDepthError
from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.models.registry import DEFAULT_MODEL, MODELS
from occdepth_ros.outputs.occupancy_grid import traversability
from occdepth_ros.planning.route import RouteLimits, plan_route
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import StereoSource
from occdepth_ros.sources.readable import readable_frames
from occdepth_ros.visualization.viewer_log import ViewerLog, import_rerun, opened_log, wait_for_interrupt

SUMMARY = "show images, depth, voxels, map, path and timings in a browser, of a recording or of a running node"
MAP_EVERY = 5
"""Number of predictions between two updates of map and path in the viewer."""
GOAL_M = 15.0
"""Distance of the goal of the path ahead of the vehicle, metres."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add_source_arguments(parser)
    add("--live", action="store_true", help="show a running node instead of a recording; needs ROS 2")
    add("--node", metavar="NAME", default="/stereo_occ", help="live: name of the node (default: %(default)s)")
    add("--save", type=Path, metavar="FILE.rrd", help="write a recording of rerun instead of opening a viewer")
    add("--native", action="store_true", help="open rerun's own window instead of a browser")
    add(
        "--port",
        type=int,
        default=9090,
        metavar="N",
        help="port of the page for browsers, which also uses the next one (default: %(default)s)",
    )
    add("--model", choices=list(MODELS), metavar="NAME", default=DEFAULT_MODEL, help="model (default: %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="checkpoint of the model")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--start", type=int, default=0, metavar="N", help="first frame (default: %(default)s)")
    add("--count", type=int, metavar="N", help="number of frames (default: all)")
    add_grid_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: rerun or ROS is not installed, or source, model, range or file cannot be used.
    """
    import_rerun()
    if arguments.live:
        return _run_live(arguments)
    source = open_chosen_source(arguments)
    frames = select_frames(len(source), arguments.start, arguments.count, source.name)
    grid = chosen_grid(arguments, source.grid_frame)
    rig = checked_rig(source, grid, frames, use_measured=arguments.measured_pose)
    engine = Engine(rig, grid, model=arguments.model, weights=arguments.weights, device=arguments.device)
    with opened_log(arguments.save, native=arguments.native, port=arguments.port) as log:
        show(source, engine, frames, log)
        if arguments.save is None and not arguments.native:
            wait_for_interrupt()
    if arguments.save is not None:
        Console().print(f"{len(frames)} frames in {arguments.save}: rerun {arguments.save}", soft_wrap=True)
    return 0


def show(source: StereoSource, engine: Engine, frames: Sequence[int], log: ViewerLog) -> None:
    """Predict the frames in order and log each; frames with a pose also enter a map."""
    world = OccupancyMap()
    shown = track(frames, description=engine.predictor.name, console=Console(stderr=True))
    read = readable_frames(source, shown, print_damaged)
    for count, (_, frame, prediction) in enumerate(predicted(engine, read), 1):
        pose = frame.world_from_grid
        log.at(frame.stamp_ns)
        if count == 1:
            log.legend(prediction.classes)
        if count == 1 or frame.rig is not None:
            log.rig(frame.rig or engine.rig)
        log.image("left", frame.left)
        log.image("right", frame.right)
        log.depth(prediction.depth)
        log.voxels(prediction)
        log.timings(prediction.timings_ms)
        if pose is None:
            continue
        log.pose(pose)
        world.integrate(prediction, pose)
        if count % MAP_EVERY == 0 or count == len(frames):
            snapshot = world.snapshot()
            assert snapshot is not None
            log.map(snapshot)
            log.path(path_ahead(snapshot, pose))


def path_ahead(snapshot: OccupancyPrediction, map_from_vehicle: Matrix) -> npt.NDArray[np.float64]:
    """Plan to a goal ahead of the vehicle on the costs of a map.

    Args:
        snapshot: the map.
        map_from_vehicle: pose of the vehicle, `[4, 4]`.

    Returns:
        points of the path on the ground, `[N, 3]` metres in the map's frame; empty if no path was found.
    """
    grid = snapshot.grid
    costs = traversability(snapshot)
    robot = map_from_vehicle[:2, 3]
    goal = robot + GOAL_M * map_from_vehicle[:2, 0]
    cells = plan_route(costs, grid.origin[:2], grid.resolution, robot, goal, RouteLimits())
    index = np.array(cells, np.int64).reshape(-1, 2)
    ground = snapshot.classes.is_ground[snapshot.labels[index[:, 0], index[:, 1]]]
    top = grid.size[2] - ground[:, ::-1].argmax(axis=1)
    points = np.asarray(grid.origin) + grid.resolution * np.column_stack([index + 0.5, top + 0.5])
    return np.asarray(points[ground.any(axis=1)])


def _run_live(arguments: argparse.Namespace) -> int:
    if util.find_spec("rclpy") is None:
        raise OccDepthError(
            "rclpy is not installed", where="--live", remedy="Source a ROS 2 installation, or run `make env`."
        )
    parameters = {"node": arguments.node, "native": str(arguments.native).lower(), "port": arguments.port}
    if arguments.save is not None:
        parameters["save"] = arguments.save
    values = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return int(import_module("occdepth_ros.nodes.viewer.node").main(["--ros-args", *values]))
