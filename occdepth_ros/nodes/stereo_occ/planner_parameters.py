"""Parameters of the outputs for planners of the node `stereo_occ`. This module does not import ROS."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.nodes.parameters import ParameterSet, parameter


@dataclass(frozen=True)
class PlannerOutputSettings(ParameterSet):
    """Values of the parameters of the outputs for planners; each field is a parameter."""

    publish_planners: bool = parameter(
        True,
        "Planners",
        "Whether `~/points_mark`, `~/points_clear`, `~/points_stop`, `~/planning_scene_world` and "
        "`~/obstacle_distance` are published while they have subscribers.",
        live=True,
    )
    planners_rate: float = parameter(
        0.0,
        "Planners",
        "Maximum rate of each of these topics, Hz; 0 publishes every prediction.",
        low=0.0,
        high=1000.0,
        live=True,
    )
    obstacle_distance_height: float = parameter(
        0.5,
        "Planners",
        "Voxels up to this distance above and below the origin of `grid_frame` count in `~/obstacle_distance`, m.",
        low=0.01,
        high=100.0,
        live=True,
    )
    obstacle_distance_min: float = parameter(
        1.0,
        "Planners",
        "Minimum range of `~/obstacle_distance`, m. A sector without obstacles counts as free only if it was seen free "
        "between the minimum and the maximum range.",
        low=0.0,
        high=100.0,
        live=True,
    )
    obstacle_distance_max: float = parameter(
        12.0, "Planners", "Maximum range of `~/obstacle_distance`, m.", low=1.0, high=600.0, live=True
    )
