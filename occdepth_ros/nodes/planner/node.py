"""The example node `planner`: plans on a nav_msgs/OccupancyGrid and publishes nav_msgs/Path.

Subscribes to `occupancy_grid` (remap it to `/stereo_occ/map/occupancy_grid`) and `goal_pose`; publishes `path`. The
path contains no lethal and no unknown cell; an empty path means that no path was found.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import tf2_ros
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.node import Node
from rclpy.time import Time

from occdepth_ros.camera import Matrix
from occdepth_ros.nodes.conversions import matrix_of
from occdepth_ros.nodes.parameter_binding import declare_parameters
from occdepth_ros.nodes.planner.parameters import PlannerSettings
from occdepth_ros.nodes.qos import LATCHED, RESULT, fresh
from occdepth_ros.nodes.running import run_node
from occdepth_ros.planning.route import RouteLimits, plan_route

SUMMARY = (
    "Example planner: A* on a nav_msgs/OccupancyGrid. Subscribes to occupancy_grid and goal_pose, publishes "
    "nav_msgs/Path on path."
)


class Planner(Node):
    """Plans a path on every received grid, at most `rate` times per second.

    Raises:
        OccDepthError: a parameter is invalid.
    """

    def __init__(self, **options: object) -> None:
        super().__init__("planner", **options)
        self.settings = declare_parameters(self, PlannerSettings, read_only=frozenset(PlannerSettings.declared()))
        self.planned = 0
        self._goal: PoseStamped | None = None
        self._next = 0.0
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, self)
        self._path = self.create_publisher(Path, "path", fresh(RESULT))
        self.create_subscription(OccupancyGrid, "occupancy_grid", self._plan, fresh(LATCHED))
        self.create_subscription(PoseStamped, "goal_pose", self._set_goal, fresh(RESULT))

    def _set_goal(self, message: PoseStamped) -> None:
        self._goal = message

    def _plan(self, grid: OccupancyGrid) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1 / self.settings.rate
        shape = (grid.info.height, grid.info.width)
        if len(grid.data) != shape[0] * shape[1] or not grid.info.resolution > 0:
            self.get_logger().warning(
                "the occupancy grid is ignored: its size or resolution is inconsistent", once=True
            )
            return
        try:
            robot = self._pose_in(grid.header.frame_id, self.settings.robot_frame)
            goal = self._goal_in(grid.header.frame_id, robot)
        except tf2_ros.TransformException as error:
            self.get_logger().warning(f"cannot plan, a transform is missing: {error}", throttle_duration_sec=5.0)
            return
        costs = np.asarray(grid.data, np.int8).reshape(shape).T
        cells = self._search(costs, grid, robot[:2, 3], goal)
        self._path.publish(self._message(grid, cells))
        self.planned += 1

    def _search(
        self, costs: np.ndarray, grid: OccupancyGrid, robot: np.ndarray, goal: np.ndarray
    ) -> list[tuple[int, int]]:
        origin = grid.info.origin.position
        limits = RouteLimits(self.settings.robot_radius, self.settings.start_radius, self.settings.goal_radius)
        return plan_route(costs, (origin.x, origin.y), grid.info.resolution, robot, goal, limits)

    def _pose_in(self, frame: str, child: str) -> Matrix:
        return matrix_of(self._buffer.lookup_transform(frame, child, Time()).transform)

    def _goal_in(self, frame: str, robot: Matrix) -> np.ndarray:
        if self._goal is None:
            return np.asarray(robot[:2, 3] + self.settings.goal_distance * robot[:2, 0])
        position = self._goal.pose.position
        pose = self._pose_in(frame, self._goal.header.frame_id)
        return np.asarray((pose @ [position.x, position.y, position.z, 1.0])[:2])

    def _message(self, grid: OccupancyGrid, cells: list[tuple[int, int]]) -> Path:
        path = Path(header=grid.header)
        origin = grid.info.origin.position
        for x, y in cells:
            pose = PoseStamped(header=grid.header)
            pose.pose.position.x = origin.x + (x + 0.5) * grid.info.resolution
            pose.pose.position.y = origin.y + (y + 0.5) * grid.info.resolution
            pose.pose.position.z = origin.z
            pose.pose.orientation.w = 1.0
            path.poses.append(pose)
        return path


def main(arguments: list[str] | None = None) -> int:
    """Run the node, see `run_node`."""
    return run_node("planner", SUMMARY, PlannerSettings, Planner, arguments)


if __name__ == "__main__":
    sys.exit(main())
