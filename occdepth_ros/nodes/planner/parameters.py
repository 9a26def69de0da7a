"""Parameters of the node `planner`. This module does not import ROS."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.nodes.parameters import ParameterSet, parameter


@dataclass(frozen=True)
class PlannerSettings(ParameterSet):
    """Values of all parameters; each field is a parameter."""

    robot_frame: str = parameter(
        "base_link", "Frames", "Frame of the robot; TF must connect it to the frame of the grid."
    )
    robot_radius: float = parameter(
        0.9, "Robot", "Minimum distance of the path to lethal and unknown cells, m.", low=0.0, high=100.0
    )
    goal_distance: float = parameter(
        15.0,
        "Goal",
        "Distance of the default goal ahead of the robot, used until a `goal_pose` is received, m.",
        low=0.1,
        high=1e4,
    )
    start_radius: float = parameter(
        8.0,
        "Goal",
        "Radius around the robot in which the path starts, at the nearest traversable cell, m. The cameras do not see "
        "the ground at the robot.",
        low=0.0,
        high=100.0,
    )
    goal_radius: float = parameter(
        5.0,
        "Goal",
        "Radius around the goal in which the path ends, at the nearest traversable cell, m.",
        low=0.0,
        high=1e3,
    )
    rate: float = parameter(2.0, "Planning", "Maximum planning rate, Hz.", low=0.01, high=100.0)
