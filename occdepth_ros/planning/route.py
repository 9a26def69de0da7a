"""A route on a costmap, in metres, from the traversable cell nearest to the robot to the cell nearest to the goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.planning.astar import nearest, shortest_path, traversable

Point = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RouteLimits:
    """Distances of a route.

    Args:
        robot_radius: minimum distance of the route to lethal and unknown cells, metres.
        start_radius: distance from the robot up to which the route may start, metres; the cameras do not see the ground
            at the robot.
        goal_radius: distance from the goal up to which the route may end, metres.
    """

    robot_radius: float = 0.9
    start_radius: float = 8.0
    goal_radius: float = 5.0


def plan_route(
    costs: npt.NDArray[np.int8],
    origin: tuple[float, float],
    resolution: float,
    robot: Point,
    goal: Point,
    limits: RouteLimits,
) -> list[tuple[int, int]]:
    """Return the cells of the shortest route; empty if there is none.

    Args:
        costs: `[X, Y]`, values of nav_msgs/OccupancyGrid.
        origin: x and y of the lower corner of cell (0, 0), metres.
        resolution: edge of a cell, metres.
        robot, goal: x and y, metres, in the frame of the costmap.
        limits: distances of the route.
    """
    cells = traversable(costs, limits.robot_radius / resolution)
    ends = []
    for point, radius in ((robot, limits.start_radius), (goal, limits.goal_radius)):
        x, y = (np.asarray(point) - origin) / resolution - 0.5
        end = nearest(cells, (float(x), float(y)), radius / resolution)
        if end is None:
            return []
        ends.append(end)
    return shortest_path(cells, ends[0], ends[1]) or []
