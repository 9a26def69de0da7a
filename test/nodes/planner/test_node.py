"""The example planner as a running node: it reads the grid as nav2 does and never enters lethal or unknown cells."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")

import rclpy
import tf2_ros
from geometry_msgs.msg import PoseStamped, TransformStamped
from helpers.nodes.domains import next_domain
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from occdepth_ros.nodes.planner.node import Planner
from occdepth_ros.nodes.qos import LATCHED, RESULT

pytestmark = pytest.mark.ros
RESOLUTION = 0.25


class Stage:
    """The planner, and a node that sends grids and hears paths."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=next_domain())
        overrides = [Parameter("robot_radius", value=0.5), Parameter("goal_distance", value=12.0)]
        self.node = Planner(context=self.context, parameter_overrides=overrides)
        self.tester = rclpy.create_node("tester", context=self.context)
        self.grids = self.tester.create_publisher(OccupancyGrid, "occupancy_grid", LATCHED)
        self.goals = self.tester.create_publisher(PoseStamped, "goal_pose", RESULT)
        self.paths: list[Path] = []
        self.tester.create_subscription(Path, "path", self.paths.append, RESULT)
        self.tf = tf2_ros.StaticTransformBroadcaster(self.tester)
        at = TransformStamped(child_frame_id="base_link")
        at.header.frame_id = "map"
        at.transform.translation.x, at.transform.rotation.w = 2.0, 1.0
        self.tf.sendTransform(at)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._executor.add_node(self.tester)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()
        self.tester.destroy_node()
        rclpy.shutdown(context=self.context)

    def path_on(self, costs: np.ndarray) -> Path:
        """Send a grid until a path comes."""
        message = OccupancyGrid()
        message.header.frame_id = "map"
        message.info.resolution = RESOLUTION
        message.info.width, message.info.height = costs.shape
        message.info.origin.position.y = -RESOLUTION * costs.shape[1] / 2
        message.info.origin.orientation.w = 1.0
        message.data = costs.T.ravel().tolist()
        self.paths.clear()
        end = time.monotonic() + 30
        while not self.paths:
            assert time.monotonic() < end, "no path came"
            self.grids.publish(message)
            time.sleep(0.2)
        return self.paths[-1]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def cells_of(path: Any, costs: np.ndarray) -> np.ndarray:
    xy = np.array([[p.pose.position.x, p.pose.position.y + RESOLUTION * costs.shape[1] / 2] for p in path.poses])
    return np.floor(xy / RESOLUTION).astype(int)


def test_the_path_leads_ahead_around_a_wall_and_a_drop(stage: Stage) -> None:
    costs = np.zeros((80, 80), np.int8)
    costs[:12] = -1  # the blind zone at the robot
    costs[30, 20:60] = 100
    costs[40:46, :50] = -1  # behind the edge of a drop nothing was seen
    path = stage.path_on(costs)
    cells = cells_of(path, costs)
    assert path.header.frame_id == "map" and len(cells) > 20
    assert (costs[cells[:, 0], cells[:, 1]] == 0).all()
    end = path.poses[-1].pose.position
    assert abs(end.x - 14.0) < 0.3 and abs(end.y) < 0.3


def test_an_unreachable_goal_gives_an_empty_path(stage: Stage) -> None:
    costs = np.zeros((80, 80), np.int8)
    costs[40] = 100
    assert stage.path_on(costs).poses == []


def test_a_goal_pose_replaces_the_default_goal(stage: Stage) -> None:
    goal = PoseStamped()
    goal.header.frame_id = "map"
    goal.pose.position.x, goal.pose.position.y = 10.0, 6.0
    costs = np.zeros((80, 80), np.int8)
    end = time.monotonic() + 30
    while True:
        stage.goals.publish(goal)
        last = stage.path_on(costs).poses[-1].pose.position
        if abs(last.x - 10.0) < 0.3 and abs(last.y - 6.0) < 0.3:
            return
        assert time.monotonic() < end, "the goal was not taken"
