"""Parameters of the node `planner`. This module does not import ROS."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.nodes.parameters import ParameterSet, parameter


@dataclass(frozen=True)
class PlannerSettings(ParameterSet):
    """All parameters with their values; a field is a parameter."""

    robot_frame: str = parameter("base_link", "Frames", "Frame of the robot; TF connects it with the grid's frame.")
    robot_radius: float = parameter(0.9, "Robot", "Distance to lethal and unknown cells, m.", low=0.0, high=100.0)
    goal_distance: float = parameter(
        15.0, "Goal", "Without a goal_pose: goal this far ahead of the robot, m.", low=0.1, high=1e4
    )
    start_radius: float = parameter(
        8.0,
        "Goal",
        "The path starts at the nearest traversable cell within this radius, because the cameras do not see the ground "
        "at the robot, m.",
        low=0.0,
        high=100.0,
    )
    goal_radius: float = parameter(
        5.0, "Goal", "The path ends at the nearest reachable cell within this radius of the goal, m.", low=0.0, high=1e3
    )
    rate: float = parameter(2.0, "Planning", "Highest planning rate, Hz.", low=0.01, high=100.0)
