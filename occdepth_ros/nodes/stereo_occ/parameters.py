"""Parameters of the node `stereo_occ`.

The ROS declarations, the validation, `config/stereo_occ.yaml` and docs/parameters.md are generated from `Settings`.
This module does not import ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from occdepth_ros.mapping.config import DYNAMIC_CLASSES
from occdepth_ros.models.registry import DEFAULT_MODEL, FALLBACK_MODEL, MODELS
from occdepth_ros.nodes.parameters import ParameterError, ParameterSet, parameter
from occdepth_ros.outputs.selection import INCLUDES, Include


def _switch(topic: str) -> bool:
    return parameter(True, "Outputs", f"Whether `~/{topic}` is published (when somebody listens).", live=True)


def _rate(topic: str) -> float:
    text = f"Highest rate of `~/{topic}`, Hz; 0 publishes every prediction."
    return parameter(0.0, "Outputs", text, low=0.0, high=1000.0, live=True)


def _include(default: Include, what: str) -> Include:
    text = f"Which occupied voxels enter {what}: seen by the cameras, completed inside their view, or all."
    return parameter(default, "Outputs", text, choices=INCLUDES, live=True)


@dataclass(frozen=True)
class Settings(ParameterSet):
    """All parameters with their values; a field is a parameter.

    Raises:
        ParameterError: values contradict each other.
    """

    autostart: bool = parameter(True, "Life", "Configure and activate at start, without a lifecycle manager.")

    model: str = parameter(DEFAULT_MODEL, "Model", "Which model predicts.", choices=tuple(MODELS))
    weights: str = parameter("", "Model", "Checkpoint file; empty takes the model's own weights.")
    device: str = parameter("auto", "Model", "Where the model runs: `auto`, `cpu`, `cuda` or `cuda:N`.")
    fallback: bool = parameter(
        True, "Model", f"Go on with `{FALLBACK_MODEL}` when the model cannot be loaded or GPU memory is out."
    )
    fallback_retry: float = parameter(
        60.0, "Model", "How often the wished model is tried again during a fallback, s; 0 never.", low=0.0, high=86400.0
    )
    warm_up: bool = parameter(True, "Model", "Predict an empty pair while configuring, so that the first is not slow.")

    grid_frame: str = parameter("velodyne", "Grid", "Frame that the voxel grid is fixed in; outputs carry it.")
    grid_origin: tuple[float, ...] = parameter(
        (0.0, -25.6, -2.0), "Grid", "Lower corner x, y, z of the grid in `grid_frame`, m.", low=-1e4, high=1e4
    )
    grid_size: tuple[int, ...] = parameter((256, 256, 32), "Grid", "Voxels along x, y, z.", low=1, high=4096)
    grid_resolution: float = parameter(0.2, "Grid", "Edge of a voxel, m.", low=1e-3, high=100.0)
    fixed_frame: str = parameter(
        "map",
        "Grid",
        "Frame that does not move, in which TF says where `grid_frame` is: models that merge earlier pairs do so where "
        "TF has it, and see each pair alone where not.",
    )

    extrinsics: str = parameter(
        "auto",
        "Extrinsics",
        "Where the grid's pose in the left camera comes from: `tf`, `parameters` (`camera_from_grid_*`), "
        "or `auto`: TF, and parameters where TF has none.",
        choices=("auto", "tf", "parameters"),
    )
    camera_from_grid_translation: tuple[float, ...] = parameter(
        (0.0, 0.0, 0.0), "Extrinsics", "Origin of `grid_frame` in the left optical frame, m.", low=-1e4, high=1e4
    )
    camera_from_grid_rotation: tuple[float, ...] = parameter(
        (0.5, -0.5, 0.5, 0.5),
        "Extrinsics",
        "Rotation of `grid_frame` in the left optical frame: quaternion x, y, z, w, or roll, pitch, yaw, rad "
        "(default: a level camera looking along x).",
        lengths=(3, 4),
        low=-10.0,
        high=10.0,
    )
    tf_timeout: float = parameter(
        1.0, "Extrinsics", "How long `auto` waits for TF before it takes the parameters, s.", low=0.0, high=3600.0
    )
    tf_age_warning: float = parameter(
        1.0, "Extrinsics", "Age of a changing transform above which it is a warning, s.", low=0.0, high=3600.0
    )
    tf_age_error: float = parameter(
        5.0,
        "Extrinsics",
        "Age of a changing transform above which it is an error, and pairs are not used, s; 0 never.",
        low=0.0,
        high=86400.0,
    )
    measured_extrinsics: bool = parameter(
        False,
        "Extrinsics",
        "Replace height, pitch and roll of the cameras by those above the ground that stereo matching finds, once "
        "measured; heading and horizontal position stay.",
    )

    approximate_sync: bool = parameter(False, "Input", "Pair images whose stamps differ by up to `slop`.")
    slop: float = parameter(
        0.02, "Input", "Largest difference of stamps with `approximate_sync`, s.", low=0.0, high=1.0
    )
    queue_size: int = parameter(10, "Input", "Images per side that wait for their partner.", low=1, high=1000)
    rectify: bool = parameter(False, "Input", "The images are raw: undistort and rectify them by CameraInfo.")
    input_timeout: float = parameter(
        2.0,
        "Input",
        "After this long without a message a stream counts as stopped, s.",
        low=0.1,
        high=3600.0,
        live=True,
    )

    allow_unchanged_images: bool = parameter(
        False,
        "Input",
        "Predict pairs with the same images as the pair before. Off, they are the fault `images_unchanged` of a frozen "
        "camera; simulations without image noise repeat images while nothing moves.",
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
    publish_processing_time: bool = parameter(
        True, "Outputs", "Whether `~/debug/processing_time/*` is published (when somebody listens).", live=True
    )
    octomap_include: Include = _include("seen+completed", "the OctoMaps")  # noqa: RUF009 a word, not a list
    markers_include: Include = _include("seen+completed", "the markers")  # noqa: RUF009 a word, not a list
    points_include: Include = _include("seen+completed", "the cloud")  # noqa: RUF009 a word, not a list
    occupancy_grid_include: Include = _include("seen+completed", "the occupancy grid")  # noqa: RUF009 a word, not a list
    min_confidence: float = parameter(
        0.0,
        "Outputs",
        "Probability below which a voxel counts as unknown (not in `~/grid`).",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_markers: int = parameter(
        50000,
        "Outputs",
        "Highest number of rectangles in `~/markers`; the farthest are dropped.",
        low=1,
        high=10_000_000,
        live=True,
    )
    border_voxels: int = parameter(
        2,
        "Outputs",
        "Completed voxels up to this far from the side faces of the grid are left out of the OctoMaps, `~/markers` and "
        "`~/points` (networks predict thin rims of terrain there), voxels.",
        low=0,
        high=100,
        live=True,
    )
    occupancy_min_height: float = parameter(
        0.3, "Outputs", "Lower edge of the obstacle band of `~/occupancy_grid`, m above the local ground.", live=True
    )
    occupancy_max_height: float = parameter(
        2.0, "Outputs", "Upper edge of the obstacle band of `~/occupancy_grid`, m above the local ground.", live=True
    )

    map_mode: str = parameter(
        "on_demand",
        "Map",
        "When predictions are fused into `~/map/*`: `on_demand` (from the first subscriber or service call on), "
        "`always`, or `off`. Fusion needs TF from `fixed_frame` to `grid_frame`.",
        choices=("on_demand", "always", "off"),
    )
    publish_map: bool = parameter(
        True, "Map", "Whether `~/map/*` topics are published (when somebody listens).", live=True
    )
    map_rate: float = parameter(1.0, "Map", "Highest rate of each `~/map/*` topic, Hz.", low=0.0, high=100.0, live=True)
    map_size: tuple[int, ...] = parameter(
        (512, 512, 64), "Map", "Voxels of the map's window along x, y, z; multiples of 16.", low=16, high=4096
    )
    map_max_mb: int = parameter(
        256,
        "Map",
        "Highest memory of window and stored blocks, MB; oldest blocks go first.",
        low=1,
        high=1 << 20,
    )
    map_max_range: float = parameter(
        0.0,
        "Map",
        "Distance beyond which stored blocks are dropped, m; 0 keeps them.",
        low=0.0,
        high=1e6,
    )
    map_dynamic_s: float = parameter(
        1.5, "Map", "Time after which an unobserved voxel of a dynamic class is unknown, s.", low=0.1, high=3000.0
    )
    map_completed_s: float = parameter(
        20.0, "Map", "Time within which a voxel that was completed, never seen, fades, s.", low=0.1, high=3000.0
    )
    map_static_s: float = parameter(
        0.0,
        "Map",
        "Time after which a seen static voxel is unknown, s; 0 is never.",
        low=0.0,
        high=3000.0,
    )
    map_dynamic_classes: str = parameter(
        ", ".join(sorted(DYNAMIC_CLASSES)), "Map", "Classes whose objects move, separated by commas."
    )
    map_max_step: float = parameter(
        5.0,
        "Map",
        "Largest motion in 0.1 s, m; a larger one resets the map.",
        low=0.1,
        high=1e6,
    )

    occupancy_max_step: float = parameter(
        0.25,
        "Outputs",
        "Difference in height of neighbouring ground above which its edge is lethal in `~/occupancy_grid`, m; at least "
        "one voxel.",
        low=0.01,
        high=100.0,
        live=True,
    )
    occupancy_completed_cost: int = parameter(
        -1,
        "Outputs",
        "Cost in `~/occupancy_grid` of ground that was completed and not seen: -1 unknown, 0 free, up to 99.",
        low=-1,
        high=99,
        live=True,
    )

    def __post_init__(self) -> None:
        if self.occupancy_min_height >= self.occupancy_max_height:
            raise ParameterError(
                f"the band from {self.occupancy_min_height:g} m to {self.occupancy_max_height:g} m is empty",
                where="occupancy_min_height, occupancy_max_height",
                remedy="Set both at once, the lower edge below the upper one.",
            )
        if len(self.camera_from_grid_rotation) == 4 and math.hypot(*self.camera_from_grid_rotation) < 1e-3:
            raise ParameterError(
                "the quaternion is zero", where="camera_from_grid_rotation", remedy="No rotation is 0, 0, 0, 1."
            )


PARAMETERS = Settings.declared()
rule_of = Settings.rule
