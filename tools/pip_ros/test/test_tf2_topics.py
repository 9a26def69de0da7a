"""Broadcasters and listeners of ``tf2_ros``, for the replacement and the original package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
pytest.importorskip("tf2_ros", reason="needs tf2_ros or its replacement")

import rclpy
from helpers.nodes.transforms import LATEST, at, position, stamped
from rclpy.executors import SingleThreadedExecutor
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener


@pytest.fixture()
def spin() -> Iterator[tuple[Any, Callable[[Callable[[], bool]], bool]]]:
    """Yield a node with its own context, and a function that spins it until a condition holds, for at most 10 s."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("tf_test", context=context, cli_args=["--ros-args", "-r", "/tf:=/tf_test/tf"])
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def until(condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + 10
        while not condition() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        return condition()

    yield node, until
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_broadcasters_reach_the_listener(spin: tuple[Any, Callable[[Callable[[], bool]], bool]]) -> None:
    node, until = spin
    static = StaticTransformBroadcaster(node)
    static.sendTransform(stamped("tt_car", "tt_cam", 0, (1.0, 0.0, 0.0)))
    static.sendTransform([stamped("tt_car", "tt_lidar", 0, (2.0, 0.0, 0.0))])
    buffer = Buffer()
    listener = TransformListener(
        buffer, node
    )  # created after the static transforms were sent, which are transient local
    assert until(lambda: buffer.can_transform("tt_cam", "tt_lidar", LATEST))
    assert position(buffer.lookup_transform("tt_cam", "tt_lidar", LATEST)) == (1.0, 0.0, 0.0)
    moving = TransformBroadcaster(node)

    def arrived() -> bool:
        moving.sendTransform([stamped("tt_map", "tt_odom", 7.0), stamped("tt_odom", "tt_car", 7.0, (0.0, 3.0, 0.0))])
        return bool(buffer.can_transform("tt_map", "tt_cam", at(7.0)))

    assert until(arrived)
    assert position(buffer.lookup_transform("tt_map", "tt_cam", at(7.0))) == (1.0, 3.0, 0.0)
    listener.unregister()


def test_a_backward_jump_of_the_clock_clears_the_buffer(
    spin: tuple[Any, Callable[[Callable[[], bool]], bool]],
) -> None:
    from rosgraph_msgs.msg import Clock

    node, until = spin
    node.set_parameters([rclpy.parameter.Parameter("use_sim_time", value=True)])
    clock = node.create_publisher(Clock, "/clock", 10)

    def clock_at(seconds: float) -> bool:
        clock.publish(Clock(clock=at(seconds).to_msg()))
        return bool(node.get_clock().now() == at(seconds))

    assert until(lambda: clock_at(100.0))
    buffer = Buffer(node=node)
    buffer.set_transform(stamped("map", "car", 99.0), "test")
    buffer.set_transform_static(stamped("car", "cam"), "test")
    assert until(lambda: clock_at(101.0))
    assert buffer.can_transform("map", "cam", at(99.0))
    assert until(lambda: clock_at(50.0))
    assert not buffer.can_transform("map", "cam", at(99.0))
    assert buffer.can_transform("car", "cam", at(99.0))
