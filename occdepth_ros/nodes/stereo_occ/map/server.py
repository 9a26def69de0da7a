"""Map of the node: topics `~/map/*`, the services of octomap_server, and services to save and load the map."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from rclpy.lifecycle import LifecyclePublisher
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from std_srvs.srv import Empty

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import OccDepthError
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.distance import DEFAULT_MAX_M, distance_field
from occdepth_ros.mapping.files import load_map, save_map
from occdepth_ros.mapping.fusion import REANCHORED
from occdepth_ros.nodes.conversions import time_message
from occdepth_ros.nodes.faults import Component, FaultBoard, describe
from occdepth_ros.nodes.qos import CHANGES, LATCHED
from occdepth_ros.nodes.stereo_occ.map.grid import MapGrid
from occdepth_ros.nodes.stereo_occ.output_specs import (
    OUTPUTS,
    Encoder,
    OutputSpec,
    Result,
    available,
    message_type,
    octree_selection,
)
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.publishers import OutputSet
from occdepth_ros.nodes.stereo_occ.worker import Worker
from occdepth_ros.outputs.octomap import encode_octomap_binary, encode_octomap_full
from occdepth_ros.outputs.selection import Selection, selected_labels
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.srv import DistanceField, MapFile

NAMES = ("octomap_binary", "octomap_full", "markers", "points", "planning_scene_world")
"""Outputs of a prediction that are published for the map as well."""
FAULT_LASTS = 10.0
"""Duration of a reset of the map in the diagnostics, seconds."""


def map_outputs(grid: MapGrid) -> tuple[OutputSpec, ...]:
    """Return the topics of the map; `grid` encodes the costs."""

    def spec(name: str, message: type[Any] | None, qos: QoSProfile, encode: Encoder) -> OutputSpec:
        rates = (f"map_{name}_rate", "map_rate")
        return OutputSpec(f"map/{name}", message, qos, encode, switched_by="publish_map", limited_by=rates)

    shared = (spec(s.name, s.message, s.qos, s.encode) for s in OUTPUTS if s.name in NAMES)
    full = spec("occupancy_grid", OccupancyGrid, LATCHED, grid.full)
    updates = spec("occupancy_grid_updates", message_type("map_msgs", "OccupancyGridUpdate"), CHANGES, grid.update)
    return (*shared, full, *available(updates))


@dataclass(frozen=True)
class PlacedPrediction:
    """A prediction and the pose of its grid's frame in the fixed frame, `[4, 4]`."""

    prediction: OccupancyPrediction
    map_from_grid: Matrix


def map_config(settings: Settings) -> MapConfig:
    """Return the configuration of the map from the parameters of the node.

    Raises:
        GridError: the size of the window is not a multiple of the block size, or exceeds `map_max_mb`.
    """
    names = frozenset(name.strip() for name in settings.map_dynamic_classes.split(",") if name.strip())
    return MapConfig(
        resolution=settings.grid_resolution,
        size=(settings.map_size[0], settings.map_size[1], settings.map_size[2]),
        dynamic_s=settings.map_dynamic_s,
        completed_s=settings.map_completed_s,
        static_s=settings.map_static_s,
        dynamic_classes=names,
        max_bytes=settings.map_max_mb << 20,
        max_range=settings.map_max_range,
        max_step=settings.map_max_step,
        on_jump=settings.map_on_jump,
    )


class MapServer:
    """Fuses predictions in a separate thread, publishes the map, and provides the services.

    Args:
        node: node of the services.
        settings: the parameters; replaced by assignment when they change.
        create: creates a lifecycle publisher from type, topic and quality of service.
        failed: called with the topic and the exception of its encoder.
        faults: receives "map_reset", "map_pose" and "map" faults.

    Raises:
        GridError: the parameters of the map contradict each other.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        create: Callable[..., LifecyclePublisher],
        failed: Callable[[str, Exception], None],
        faults: FaultBoard,
    ) -> None:
        self.settings = settings
        self.world = OccupancyMap(map_config(settings))
        grid = MapGrid()
        self.outputs = OutputSet(create, failed, map_outputs(grid))
        publishers = {o.spec.name: o.publisher for o in self.outputs.outputs}
        grid.grid_subscribers = publishers["map/occupancy_grid"].get_subscription_count
        if "map/occupancy_grid_updates" in publishers:
            grid.update_subscribers = publishers["map/occupancy_grid_updates"].get_subscription_count
        self.fused = 0
        self._faults = faults
        self._requested = settings.map_mode == "always"
        self._lock = threading.Lock()
        self._version = 0
        self._latest: tuple[int, Result] | None = None
        self._worker: Worker[PlacedPrediction] = Worker(self._fuse, self._publish, self._note_failure)
        self._node = node
        self._services = [
            node.create_service(GetOctomap, "~/map/octomap_binary", self._binary),
            node.create_service(GetOctomap, "~/map/octomap_full", self._full),
            node.create_service(BoundingBoxQuery, "~/map/clear_bbox", self._clear_box),
            node.create_service(Empty, "~/map/reset", self._reset),
            node.create_service(MapFile, "~/map/save_map", self._save),
            node.create_service(MapFile, "~/map/load_map", self._load),
            node.create_service(DistanceField, "~/map/distance_field", self._distances),
        ]

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def stop(self) -> None:
        """Stop the thread; the map is kept."""
        self._worker.stop()

    def close(self) -> None:
        """Stop the thread and remove the services."""
        self.stop()
        for service in self._services:
            self._node.destroy_service(service)

    def offer(self, prediction: OccupancyPrediction, map_from_grid: Callable[[], Matrix | None]) -> None:
        """Queue a prediction for fusion; its pose is looked up only if the map is in use.

        A queued prediction that has not been processed is replaced.
        """
        if not self._requested:
            self._requested = self.outputs.has_subscribers(self.settings)
        if not self._requested:
            return
        try:
            pose = map_from_grid()
        except Exception as error:  # the results of the pair are published already
            self._note_failure(error)
            return
        if pose is None:
            text = (
                f"TF has no transform from {self.settings.fixed_frame!r} to {self.settings.grid_frame!r} at the time "
                "of the images, so the map is not updated. Publish odometry to TF, or set map_mode to off."
            )
            self._faults.put("map_pose", Component.OUTPUT, text, is_error=False)
            return
        self._faults.clear("map_pose")
        self._worker.slot.put(PlacedPrediction(prediction, pose))

    def _fuse(self, item: PlacedPrediction) -> None:
        # networks predict false terrain at the side faces, which the map would accumulate along the path
        labels = selected_labels(item.prediction, Selection("all", border=self.settings.border_voxels))
        with self._lock:
            self.world.integrate(replace(item.prediction, labels=labels), item.map_from_grid)
            self._version += 1
            events, self.world.events = self.world.events, []
        self.fused += 1
        for event in events:
            text = f"the map was {event if event.startswith(REANCHORED) else f'reset: {event}'}."
            self._faults.put("map_reset", Component.OUTPUT, text, is_error=False, lasts=FAULT_LASTS)

    def _publish(self) -> None:
        if self.outputs.is_due(self.settings) and (result := self._result()) is not None:
            self.outputs.publish(result, self.settings)

    def _result(self) -> Result | None:
        """Return the map as a result; it is read again only if it changed. None before the first prediction."""
        with self._lock:
            if self._latest is None or self._latest[0] != self._version:
                snapshot, window = self.world.snapshot(), self.world.window()
                if snapshot is None or window is None:
                    return None
                frame = self.settings.fixed_frame
                snapshot = replace(snapshot, grid=replace(snapshot.grid, frame_id=frame))
                self._latest = self._version, Result(snapshot, frame, window=replace(window, frame_id=frame))
            return self._latest[1]

    def _note_failure(self, error: Exception) -> None:
        text = str(error) if isinstance(error, OccDepthError) else describe(error)
        self._faults.put("map", Component.OUTPUT, f"the prediction was not fused: {text}", lasts=FAULT_LASTS)

    def _binary(self, request: Any, response: Any) -> Any:
        return self._octomap(response, encode_octomap_binary)

    def _full(self, request: Any, response: Any) -> Any:
        return self._octomap(response, encode_octomap_full)

    def _octomap(self, response: Any, encode: Callable[..., bytes]) -> Any:
        self._requested = True
        if (result := self._result()) is not None:
            selection = octree_selection(result, self.settings)
            content = encode(result.prediction, self.settings.fixed_frame, selection)
            response.map = deserialize_message(content, Octomap)
        return response

    def _clear_box(self, request: Any, response: Any) -> Any:
        low = (request.min.x, request.min.y, request.min.z)
        high = (request.max.x, request.max.y, request.max.z)
        with self._lock:
            self.world.clear_box(low, high)
            self._version += 1
        return response

    def _reset(self, request: Any, response: Any) -> Any:
        with self._lock:
            self.world.reset()
            self._version += 1
        self.outputs.clear()
        return response

    def _save(self, request: Any, response: Any) -> Any:
        return self._with_file(request, response, save_map, "saved")

    def _load(self, request: Any, response: Any) -> Any:
        self._requested = True
        return self._with_file(request, response, load_map, "loaded")

    def _with_file(self, request: Any, response: Any, act: Callable[[Path, OccupancyMap], None], done: str) -> Any:
        try:
            with self._lock:
                act(Path(request.path).expanduser(), self.world)
                self._version += 1
            response.success, response.message = True, f"{done} {request.path}"
        except OccDepthError as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # an exception in a service would end the node
            response.success, response.message = False, f"{request.path}: {describe(error)}"
        return response

    def _distances(self, request: Any, response: Any) -> Any:
        self._requested = True
        result = self._result()
        if result is None:
            response.message = "the map is empty; no prediction was fused"
            return response
        low = (request.min.x, request.min.y, request.min.z)
        high = (request.max.x, request.max.y, request.max.z)
        try:
            field = distance_field(
                result.prediction,
                low,
                high,
                request.max_distance or DEFAULT_MAX_M,
                unknown_is_occupied=request.unknown_is_occupied,
            )
        except OccDepthError as error:
            response.message = str(error)
            return response
        response.success = True
        response.header.frame_id = result.grid_frame
        response.header.stamp = time_message(result.prediction.stamp_ns)
        response.origin.x, response.origin.y, response.origin.z = field.origin
        response.resolution = field.resolution
        response.size_x, response.size_y, response.size_z = field.distances.shape
        response.distances = array("f", field.distances.tobytes())
        return response
