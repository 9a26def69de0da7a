"""Parameters of the node `stereo_occ`.

The ROS declarations, the validation, `config/stereo_occ.yaml` and docs/parameters.md are generated from `Settings`.
This module does not import ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from occdepth_ros.models.registry import DEFAULT_MODEL, FALLBACK_MODEL, MODELS
from occdepth_ros.nodes.parameters import ParameterError, parameter
from occdepth_ros.nodes.stereo_occ.map_parameters import MapSettings
from occdepth_ros.nodes.stereo_occ.planner_parameters import PlannerOutputSettings
from occdepth_ros.outputs.markers import MARKERS_STYLES
from occdepth_ros.outputs.selection import BORDER_VOXELS, INCLUDES, Include


def _switch(topic: str) -> bool:
    return parameter(True, "Outputs", f"Whether `~/{topic}` is published while it has subscribers.", live=True)


def _rate(topic: str) -> float:
    text = f"Maximum rate of `~/{topic}`, Hz; 0 publishes every prediction."
    return parameter(0.0, "Outputs", text, low=0.0, high=1000.0, live=True)


def _include(default: Include, what: str) -> Include:
    text = f"Occupied voxels in {what}: seen by the cameras, completed within their field of view, or all."
    return parameter(default, "Outputs", text, choices=INCLUDES, live=True)


@dataclass(frozen=True)
class Settings(MapSettings, PlannerOutputSettings):
    """Values of all parameters; each field is a parameter.

    Raises:
        ParameterError: values contradict each other.
    """

    autostart: bool = parameter(
        True, "Life", "Whether the node configures and activates itself at start, without a lifecycle manager."
    )

    model: str = parameter(DEFAULT_MODEL, "Model", "Name of the model.", choices=tuple(MODELS))
    weights: str = parameter("", "Model", "Checkpoint file; if empty, the default weights of the model are used.")
    device: str = parameter("auto", "Model", "Device of the model: `auto`, `cpu`, `cuda` or `cuda:N`.")
    fallback: bool = parameter(
        True,
        "Model",
        f"Whether the node uses `{FALLBACK_MODEL}` if the model cannot be loaded or the GPU is out of memory.",
    )
    fallback_retry: float = parameter(
        60.0,
        "Model",
        "Period of the attempts to load the requested model again during a fallback, s; 0 disables them.",
        low=0.0,
        high=86400.0,
    )
    warm_up: bool = parameter(
        True,
        "Model",
        "Whether an empty pair is predicted and encoded during configuration, so that the first pair is not slow.",
    )

    grid_frame: str = parameter(
        "velodyne", "Grid", "Frame in which the voxel grid is fixed; frame_id of the voxel outputs."
    )
    grid_origin: tuple[float, ...] = parameter(
        (0.0, -25.6, -2.0), "Grid", "Minimum corner x, y, z of the grid in `grid_frame`, m.", low=-1e4, high=1e4
    )
    grid_size: tuple[int, ...] = parameter((256, 256, 32), "Grid", "Number of voxels along x, y, z.", low=1, high=4096)
    grid_resolution: float = parameter(0.2, "Grid", "Edge length of a voxel, m.", low=1e-3, high=100.0)
    fixed_frame: str = parameter(
        "map",
        "Grid",
        "Fixed frame for poses of `grid_frame` from TF. Models that merge earlier pairs need this transform; without "
        "it, they predict each pair separately.",
    )

    extrinsics: str = parameter(
        "auto",
        "Extrinsics",
        "Source of the pose of the grid in the left camera: `tf`, `parameters` (`camera_from_grid_*`), or `auto` (TF, "
        "and the parameters if TF has no transform).",
        choices=("auto", "tf", "parameters"),
    )
    camera_from_grid_translation: tuple[float, ...] = parameter(
        (0.0, 0.0, 0.0), "Extrinsics", "Origin of `grid_frame` in the left optical frame, m.", low=-1e4, high=1e4
    )
    camera_from_grid_rotation: tuple[float, ...] = parameter(
        (0.5, -0.5, 0.5, 0.5),
        "Extrinsics",
        "Rotation of `grid_frame` in the left optical frame: quaternion x, y, z, w, or roll, pitch, yaw, rad. The "
        "default is a level camera whose optical axis is parallel to x.",
        lengths=(3, 4),
        low=-10.0,
        high=10.0,
    )
    tf_timeout: float = parameter(
        1.0, "Extrinsics", "Time to wait for TF before `auto` uses the parameters, s.", low=0.0, high=3600.0
    )
    tf_age_warning: float = parameter(
        1.0, "Extrinsics", "Age of a dynamic transform above which a warning is reported, s.", low=0.0, high=3600.0
    )
    tf_age_error: float = parameter(
        5.0,
        "Extrinsics",
        "Age of a dynamic transform above which an error is reported and pairs are not predicted, s; 0 disables it.",
        low=0.0,
        high=86400.0,
    )
    measured_extrinsics: bool = parameter(
        False,
        "Extrinsics",
        "Whether height, pitch and roll of the cameras are replaced by values measured from the ground plane by stereo "
        "matching, as soon as they are available. Heading and horizontal position are kept.",
    )

    approximate_sync: bool = parameter(False, "Input", "Whether images whose stamps differ by up to `slop` are paired.")
    slop: float = parameter(
        0.02, "Input", "Maximum difference of the stamps of a pair with `approximate_sync`, s.", low=0.0, high=1.0
    )
    queue_size: int = parameter(
        10, "Input", "Maximum number of images per side that wait for the image of the other side.", low=1, high=1000
    )
    rectify: bool = parameter(
        False, "Input", "Whether the images are raw; they are then undistorted and rectified with CameraInfo."
    )
    auto_select: bool = parameter(
        False,
        "Input",
        "Whether the node subscribes to the only live stereo pair if no image topic that it subscribes to has a "
        "publisher. If false, or if several pairs are live, it reports them with the arguments that select one.",
    )
    reliable_on_loss: bool = parameter(
        True,
        "Input",
        "Whether the node subscribes reliably to images that get lost, if their publishers are reliable: the "
        "middleware then sends lost fragments again, which takes longer. If false, best effort is kept.",
    )
    input_timeout: float = parameter(
        2.0,
        "Input",
        "Time without a message after which a stream is reported as stopped, s.",
        low=0.1,
        high=3600.0,
        live=True,
    )

    allow_unchanged_images: bool = parameter(
        False,
        "Input",
        "Whether pairs with the same images as the previous pair are predicted. If false, they are reported as the "
        "fault `images_unchanged` (a frozen camera). Simulations without image noise repeat images of static scenes.",
        live=True,
    )

    publish_octomap_binary: bool = _switch("octomap_binary")
    octomap_binary_rate: float = _rate("octomap_binary")
    publish_octomap_full: bool = _switch("octomap_full")
    octomap_full_rate: float = _rate("octomap_full")
    publish_markers: bool = _switch("markers")
    markers_rate: float = _rate("markers")
    publish_points: bool = _switch("points")
    points_rate: float = _rate("points")
    publish_grid: bool = _switch("grid")
    grid_rate: float = _rate("grid")
    publish_occupancy_grid: bool = _switch("occupancy_grid")
    occupancy_grid_rate: float = _rate("occupancy_grid")
    publish_depth: bool = _switch("depth")
    depth_rate: float = _rate("depth")
    publish_depth_color: bool = _switch("depth_color")
    depth_color_rate: float = _rate("depth_color")
    publish_camera_info: bool = _switch("camera_info")
    camera_info_rate: float = _rate("camera_info")
    publish_legend: bool = _switch("legend")
    legend_rate: float = _rate("legend")
    publish_voxel_grid: bool = _switch("voxel_grid")
    voxel_grid_rate: float = _rate("voxel_grid")
    publish_foxglove_voxels: bool = _switch("foxglove_voxels")
    foxglove_voxels_rate: float = _rate("foxglove_voxels")
    publish_processing_time: bool = parameter(
        True, "Outputs", "Whether `~/debug/processing_time/*` is published while it has subscribers.", live=True
    )
    report_period: float = parameter(
        0.0,
        "Outputs",
        "Period of the log line with rate, latency, jitter, dropped pairs and load, s; 0 writes it only at "
        "deactivation.",
        low=0.0,
        high=86400.0,
        live=True,
    )
    octomap_include: Include = _include("seen+completed", "the OctoMaps and `~/voxel_grid`")  # noqa: RUF009 a word, not a list
    octomap_completed_free: bool = parameter(
        False,
        "Outputs",
        "Whether free space that was completed and not seen is free in the OctoMaps and `~/voxel_grid` "
        "(`octomap_include` other than `seen`); if false, it is unknown. No measurement supports this space: planners "
        "must not rely on it.",
        live=True,
    )
    markers_include: Include = _include("seen+completed", "the markers")  # noqa: RUF009 a word, not a list
    points_include: Include = _include("seen+completed", "the cloud and `~/foxglove_voxels`")  # noqa: RUF009 a word, not a list
    occupancy_grid_include: Include = _include("seen+completed", "the occupancy grid")  # noqa: RUF009 a word, not a list
    min_confidence: float = parameter(
        0.0,
        "Outputs",
        "Probability below which a voxel is published as unknown; does not apply to `~/grid`.",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_markers: int = parameter(
        50000,
        "Outputs",
        "Maximum number of boxes or rectangles in `~/markers`; the farthest are omitted.",
        low=1,
        high=10_000_000,
        live=True,
    )
    markers_style: str = parameter(
        "boxes",
        "Outputs",
        "Form of the voxels in `~/markers`: `boxes` merges voxels into CUBE_LISTs (about 1 MB), `triangles` merges "
        "exposed faces into shaded TRIANGLE_LISTs (about 12 MB), whose colours RViz shows unchanged.",
        choices=MARKERS_STYLES,
        live=True,
    )
    border_voxels: int = parameter(
        BORDER_VOXELS,
        "Outputs",
        "Distance from the side faces of the grid within which completed voxels are omitted from the OctoMaps, "
        "`~/markers`, `~/points` and the voxel grids, voxels. Networks predict false terrain at these faces.",
        low=0,
        high=100,
        live=True,
    )
    occupancy_min_height: float = parameter(
        0.3, "Outputs", "Minimum height of obstacles in `~/occupancy_grid`, m above the local ground.", live=True
    )
    occupancy_max_height: float = parameter(
        2.0, "Outputs", "Maximum height of obstacles in `~/occupancy_grid`, m above the local ground.", live=True
    )

    occupancy_max_step: float = parameter(
        0.25,
        "Outputs",
        "Height difference of neighbouring ground cells above which their edge is lethal in `~/occupancy_grid`, m; "
        "at least one voxel.",
        low=0.01,
        high=100.0,
        live=True,
    )
    occupancy_completed_cost: int = parameter(
        -1,
        "Outputs",
        "Cost in `~/occupancy_grid` of ground that was completed and not seen: -1 (unknown), or 0 (free) to 99.",
        low=-1,
        high=99,
        live=True,
    )
    occupancy_confidence_cost: bool = parameter(
        False,
        "Outputs",
        "Whether an obstacle in `~/occupancy_grid` costs 99 times its probability instead of 100 (lethal). Steps of "
        "the ground stay lethal.",
        live=True,
    )

    def __post_init__(self) -> None:
        if self.occupancy_min_height >= self.occupancy_max_height:
            raise ParameterError(
                f"the height range from {self.occupancy_min_height:g} m to {self.occupancy_max_height:g} m is empty",
                where="occupancy_min_height, occupancy_max_height",
                remedy="Set both in one call, the minimum below the maximum.",
            )
        if len(self.camera_from_grid_rotation) == 4 and math.hypot(*self.camera_from_grid_rotation) < 1e-3:
            raise ParameterError(
                "the quaternion is zero", where="camera_from_grid_rotation", remedy="The identity is 0, 0, 0, 1."
            )


PARAMETERS = Settings.declared()
rule_of = Settings.rule
