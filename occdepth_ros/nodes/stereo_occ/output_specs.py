"""The output topics: name, type, quality of service, parameters and encoder of each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.msg import SemanticGrid
from occdepth_ros.nodes.foxglove import encode_foxglove_voxels
from occdepth_ros.nodes.qos import LATCHED, RESULT
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.outputs.image import encode_camera_info, encode_depth, encode_rgb
from occdepth_ros.outputs.label_info import encode_label_info
from occdepth_ros.outputs.markers import encode_markers
from occdepth_ros.outputs.obstacle_distance import encode_obstacle_distance
from occdepth_ros.outputs.occupancy_grid import CostRules, encode_occupancy_grid
from occdepth_ros.outputs.octomap import encode_octomap_binary, encode_octomap_full, encode_planning_scene_world
from occdepth_ros.outputs.points import encode_point_confidence, encode_point_labels, encode_points
from occdepth_ros.outputs.selection import Include, Selection
from occdepth_ros.outputs.semantic_grid import encode_semantic_grid
from occdepth_ros.outputs.voxel_grid import colored_cells, encode_nav2_voxel_grid
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization.panels import colored_depth, draw_legend


class Parameters(TypedDict):
    """Names of the parameters of an output, see `OutputSpec`."""

    switched_by: str
    limited_by: tuple[str, ...]


def message_type(package: str, name: str) -> type[Any] | None:
    """Return a message type of an optional package; None if it is not installed."""
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        return None
    return found


@dataclass(frozen=True)
class Result:
    """One prediction, with the frame and the cameras of its messages.

    Args:
        prediction: the occupancy.
        camera_frame: optical frame of the left camera.
        rig: cameras of the prediction; None for a map, which merges several predictions.
        window: the whole window of a map, of which the prediction covers the part with evidence; None for a prediction.
    """

    prediction: OccupancyPrediction
    camera_frame: str
    rig: StereoRig | None = None
    window: VoxelGrid | None = None

    @property
    def grid_frame(self) -> str:
        """Frame of the voxel grid."""
        return self.prediction.grid.frame_id

    def border(self, settings: Settings) -> int:
        """Return the width of the omitted border, voxels; 0 for a map."""
        return settings.border_voxels if self.rig is not None else 0


Encoder = Callable[[Result, Settings], bytes | None]
"""Returns one serialised message; None if there is nothing to publish."""


@dataclass(frozen=True)
class OutputSpec:
    """One output topic.

    Args:
        name: topic below `~/`.
        message: message type; None if its package is not installed.
        qos: quality of service.
        encode: returns the serialised message.
        is_constant: whether the message depends only on the class table; it is then published once.
        switched_by: name of the parameter that enables the topic; default `publish_<name>`.
        limited_by: names of the parameters with the maximum rate, of which the first that is not 0 applies; default
            `<name>_rate`.
    """

    name: str
    message: type[Any] | None
    qos: QoSProfile
    encode: Encoder
    is_constant: bool = False
    switched_by: str = ""
    limited_by: tuple[str, ...] = ()

    def is_enabled(self, settings: Settings) -> bool:
        """Return whether the parameters enable the topic."""
        return bool(getattr(settings, self.switched_by or f"publish_{self.name}"))

    def rate(self, settings: Settings) -> float:
        """Return the maximum rate, Hz; 0 = unlimited."""
        rates = (getattr(settings, name) for name in self.limited_by or (f"{self.name}_rate",))
        return next((rate for rate in rates if rate), 0.0)


def selection_of(include: Include, result: Result, settings: Settings) -> Selection:
    """Return the voxels of an output by its parameter `*_include` and the parameters of all outputs."""
    return Selection(include, settings.min_confidence, result.border(settings))


def octree_selection(result: Result, settings: Settings) -> Selection:
    """Return the voxels of the OctoMaps and of `~/voxel_grid`."""
    selection = selection_of(settings.octomap_include, result, settings)
    return replace(selection, completed_free=settings.octomap_completed_free)


def cost_map_inputs(settings: Settings) -> tuple[Selection, CostRules]:
    """Return the voxels and the rules of `~/occupancy_grid` and `~/map/occupancy_grid`."""
    rules = CostRules(
        settings.occupancy_min_height,
        settings.occupancy_max_height,
        settings.occupancy_max_step,
        settings.occupancy_completed_cost,
        settings.occupancy_confidence_cost,
    )
    return Selection(settings.occupancy_grid_include, settings.min_confidence), rules


def _octomap_binary(result: Result, settings: Settings) -> bytes:
    selection = octree_selection(result, settings)
    return encode_octomap_binary(result.prediction, result.grid_frame, selection)


def _octomap_full(result: Result, settings: Settings) -> bytes:
    selection = octree_selection(result, settings)
    return encode_octomap_full(result.prediction, result.grid_frame, selection)


def _markers(result: Result, settings: Settings) -> bytes:
    return encode_markers(
        result.prediction,
        result.grid_frame,
        selection_of(settings.markers_include, result, settings),
        settings.max_markers,
        rig=result.rig,
        style=settings.markers_style,
    )


def _points(result: Result, settings: Settings) -> bytes:
    selection = selection_of(settings.points_include, result, settings)
    return encode_points(result.prediction, result.grid_frame, selection)


def _occupancy_grid(result: Result, settings: Settings) -> bytes:
    return encode_occupancy_grid(result.prediction, result.grid_frame, *cost_map_inputs(settings))


def _point_labels(result: Result, settings: Settings) -> bytes:
    selection = selection_of(settings.points_include, result, settings)
    return encode_point_labels(result.prediction, result.grid_frame, selection)


def _point_confidence(result: Result, settings: Settings) -> bytes:
    selection = selection_of(settings.points_include, result, settings)
    return encode_point_confidence(result.prediction, result.grid_frame, selection)


def _label_info(result: Result, settings: Settings) -> bytes:
    return encode_label_info(result.prediction, result.grid_frame, settings.min_confidence)


def _cloud(include: Include, *, ground: bool) -> Encoder:
    """Return an encoder of a cloud in the left camera's frame, so that rays to its points start at its origin."""

    def encode(result: Result, settings: Settings) -> bytes:
        assert result.rig is not None
        return encode_points(
            result.prediction,
            result.camera_frame,
            selection_of(include, result, settings),
            ground=ground,
            frame_from_grid=result.rig.left_from_grid,
        )

    return encode


def _planning_scene_world(result: Result, settings: Settings) -> bytes:
    selection = replace(octree_selection(result, settings), completed_free=False)
    return encode_planning_scene_world(result.prediction, result.grid_frame, selection)


def _obstacle_distance(result: Result, settings: Settings) -> bytes:
    return encode_obstacle_distance(
        result.prediction,
        settings.min_confidence,
        half_height=settings.obstacle_distance_height,
        min_distance=settings.obstacle_distance_min,
        max_distance=settings.obstacle_distance_max,
    )


def _legend(result: Result, settings: Settings) -> bytes:
    classes = result.prediction.classes
    image = draw_legend(classes, np.arange(len(classes)), LEGEND_WIDTH)
    return encode_rgb(image, result.prediction.stamp_ns, result.camera_frame)


def _depth_color(result: Result, settings: Settings) -> bytes:
    return encode_rgb(colored_depth(result.prediction.depth), result.prediction.stamp_ns, result.camera_frame)


def _camera_info(result: Result, settings: Settings) -> bytes:
    assert result.rig is not None
    return encode_camera_info(result.rig, result.prediction.stamp_ns, result.camera_frame)


def _voxel_grid(result: Result, settings: Settings) -> bytes:
    selection = octree_selection(result, settings)
    return encode_nav2_voxel_grid(result.prediction, result.grid_frame, selection)


def _foxglove_voxels(result: Result, settings: Settings) -> bytes:
    assert FOXGLOVE_VOXELS is not None and FOXGLOVE_FIELD is not None
    selection = selection_of(settings.points_include, result, settings)
    cells = colored_cells(result.prediction, selection)
    stamp_ns = result.prediction.stamp_ns
    return encode_foxglove_voxels(FOXGLOVE_VOXELS, FOXGLOVE_FIELD, cells, stamp_ns, result.grid_frame)


def available(*specs: OutputSpec) -> tuple[OutputSpec, ...]:
    """Return the outputs whose message type is installed."""
    return tuple(spec for spec in specs if spec.message is not None)


LABEL_INFO = message_type("vision_msgs", "LabelInfo")
PLANNING_SCENE_WORLD = message_type("moveit_msgs", "PlanningSceneWorld")
OBSTACLE_DISTANCE = message_type("px4_msgs", "ObstacleDistance")
VOXEL_GRID = message_type("nav2_msgs", "VoxelGrid")
FOXGLOVE_VOXELS = message_type("foxglove_msgs", "VoxelGrid")
FOXGLOVE_FIELD = message_type("foxglove_msgs", "PackedElementField")
BESIDE_POINTS: Parameters = {"switched_by": "publish_points", "limited_by": ("points_rate",)}
PLANNERS: Parameters = {"switched_by": "publish_planners", "limited_by": ("planners_rate",)}
LEGEND_WIDTH = 460
"""Width of `~/legend`, pixels; legible in a panel of RViz."""

# in the order of publication: those that are encoded fastest first, so that they do not wait for the others
OUTPUTS = (
    OutputSpec("grid", SemanticGrid, RESULT, lambda r, _: encode_semantic_grid(r.prediction, r.grid_frame)),
    OutputSpec("depth", Image, RESULT, lambda r, _: encode_depth(r.prediction, r.camera_frame)),
    # next to the depth image, because RViz's DepthCloud subscribes to this name
    OutputSpec("camera_info", CameraInfo, RESULT, _camera_info),
    OutputSpec("octomap_binary", Octomap, LATCHED, _octomap_binary),
    OutputSpec("points", PointCloud2, RESULT, _points),
    OutputSpec("octomap_full", Octomap, LATCHED, _octomap_full),
    OutputSpec("markers", MarkerArray, LATCHED, _markers),
    OutputSpec("occupancy_grid", OccupancyGrid, LATCHED, _occupancy_grid),
    OutputSpec("depth_color", Image, RESULT, _depth_color),
    OutputSpec("legend", Image, LATCHED, _legend, is_constant=True),
    *available(
        OutputSpec("voxel_grid", VOXEL_GRID, RESULT, _voxel_grid),
        OutputSpec("foxglove_voxels", FOXGLOVE_VOXELS, RESULT, _foxglove_voxels),
        # next to ~/points and at its rate: value i belongs to point i
        OutputSpec("point_labels", Image, RESULT, _point_labels, **BESIDE_POINTS),
        OutputSpec("point_confidence", Image, RESULT, _point_confidence, **BESIDE_POINTS),
        OutputSpec("label_info", LABEL_INFO, LATCHED, _label_info, is_constant=True, **BESIDE_POINTS),
        OutputSpec("points_mark", PointCloud2, RESULT, _cloud("seen+completed", ground=False), **PLANNERS),
        OutputSpec("points_clear", PointCloud2, RESULT, _cloud("seen", ground=True), **PLANNERS),
        OutputSpec("points_stop", PointCloud2, RESULT, _cloud("seen", ground=False), **PLANNERS),
        OutputSpec("planning_scene_world", PLANNING_SCENE_WORLD, RESULT, _planning_scene_world, **PLANNERS),
        OutputSpec("obstacle_distance", OBSTACLE_DISTANCE, RESULT, _obstacle_distance, **PLANNERS),
    ),
)
