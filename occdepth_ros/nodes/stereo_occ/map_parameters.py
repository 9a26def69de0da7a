"""Parameters of the map of the node `stereo_occ`. This module does not import ROS."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.mapping.config import DYNAMIC_CLASSES, ON_JUMP
from occdepth_ros.nodes.parameters import ParameterSet, parameter


def _rate(topic: str) -> float:
    text = f"Maximum rate of `~/map/{topic}`, Hz; 0 uses `map_rate`."
    return parameter(0.0, "Map", text, low=0.0, high=100.0, live=True)


@dataclass(frozen=True)
class MapSettings(ParameterSet):
    """Values of the parameters of the map; each field is a parameter."""

    map_mode: str = parameter(
        "on_demand",
        "Map",
        "When predictions are fused into `~/map/*`: `on_demand` (after the first subscription or service call), "
        "`always`, or `off`. Fusion requires the transform from `fixed_frame` to `grid_frame` in TF.",
        choices=("on_demand", "always", "off"),
    )
    publish_map: bool = parameter(
        True, "Map", "Whether the topics `~/map/*` are published while they have subscribers.", live=True
    )
    map_rate: float = parameter(
        1.0,
        "Map",
        "Maximum rate of each `~/map/*` topic without a rate of its own, Hz; 0 publishes every fused prediction.",
        low=0.0,
        high=100.0,
        live=True,
    )
    map_octomap_binary_rate: float = _rate("octomap_binary")
    map_octomap_full_rate: float = _rate("octomap_full")
    map_markers_rate: float = _rate("markers")
    map_points_rate: float = _rate("points")
    map_occupancy_grid_rate: float = _rate("occupancy_grid")
    map_occupancy_grid_updates_rate: float = _rate("occupancy_grid_updates")
    map_planning_scene_world_rate: float = _rate("planning_scene_world")
    map_size: tuple[int, ...] = parameter(
        (512, 512, 64), "Map", "Number of voxels of the map window along x, y, z; multiples of 16.", low=16, high=4096
    )
    map_max_mb: int = parameter(
        256,
        "Map",
        "Maximum memory of the window and the stored blocks, MB; the oldest blocks are dropped first.",
        low=1,
        high=1 << 20,
    )
    map_max_range: float = parameter(
        0.0,
        "Map",
        "Distance beyond which stored blocks are dropped, m; 0 keeps all blocks.",
        low=0.0,
        high=1e6,
    )
    map_dynamic_s: float = parameter(
        1.5, "Map", "Time after which an unobserved voxel of a dynamic class becomes unknown, s.", low=0.1, high=3000.0
    )
    map_completed_s: float = parameter(
        20.0,
        "Map",
        "Time within which a voxel that was completed and never seen becomes unknown, s.",
        low=0.1,
        high=3000.0,
    )
    map_static_s: float = parameter(
        0.0,
        "Map",
        "Time after which a seen voxel of a static class becomes unknown, s; 0 disables this.",
        low=0.0,
        high=3000.0,
    )
    map_dynamic_classes: str = parameter(
        ", ".join(sorted(DYNAMIC_CLASSES)), "Map", "Dynamic classes, separated by commas."
    )
    map_max_step: float = parameter(
        5.0,
        "Map",
        "Maximum motion in 0.1 s, m; a larger motion is a jump of the odometry, see `map_on_jump`.",
        low=0.1,
        high=1e6,
    )
    map_on_jump: str = parameter(
        "reset",
        "Map",
        "What a jump of the odometry does: `reset` removes the map; `reanchor` moves its window with the vehicle, "
        "which keeps the surroundings after a loop closure, and removes the stored blocks.",
        choices=ON_JUMP,
    )
