"""The pose of the grid in the running node: TF, parameters, and the fixed frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

import tf2_ros
from helpers.nodes.node_bench import Bench

pytestmark = pytest.mark.ros


def test_a_missing_transform_is_named_and_its_coming_helps(made: list[Bench]) -> None:
    made.append(bench := Bench(extrinsics="tf"))
    bench.wait_active()
    bench.calibrate()
    bench.send_pair()
    bench.expect_fault("missing_tf", "'velodyne'")
    bench.wait(lambda: bench.pipeline.failed == 1, "the pair waits for ever")
    assert bench.processed == 0 and bench.pipeline.waiting is None
    broadcaster = tf2_ros.StaticTransformBroadcaster(bench.tester)
    broadcaster.sendTransform(bench.static_transform((1.0, 2.0, 3.0)))
    bench.good_pair()
    assert "missing_tf" not in bench.fault_names()
    np.testing.assert_allclose(bench.pipeline.calibration.current.left_from_grid[:3, 3], [2, 3, -1], atol=1e-9)
    assert bench.pipeline.extrinsics.last.source == "static tf"


def test_auto_uses_the_parameters_after_the_timeout_and_reports_it(made: list[Bench]) -> None:
    translation = [0.1, 0.2, 0.3]
    made.append(bench := Bench(extrinsics="auto", tf_timeout=0.1, camera_from_grid_translation=translation))
    bench.wait_active()
    bench.good_pair()
    bench.expect_fault("no_tf", "camera_from_grid")
    np.testing.assert_allclose(bench.pipeline.calibration.current.left_from_grid[:3, 3], translation)


def test_stateful_models_receive_the_pose_of_each_pair(made: list[Bench]) -> None:
    made.append(bench := Bench(fixed_frame="odom"))
    bench.wait_active()
    placed: list[Any] = []
    bench.pipeline.host._engine.predictor.set_pose = placed.append
    bench.good_pair()
    assert placed.pop() is None  # odom is not in TF
    there = bench.static_transform((4.0, 5.0, 6.0))
    there.header.frame_id, there.child_frame_id = "odom", "velodyne"
    there.transform.rotation.x, there.transform.rotation.w = 0.0, 1.0
    there.transform.rotation.y = there.transform.rotation.z = 0.0
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(there)
    bench.wait(lambda: bench.pipeline.extrinsics.world_from_grid(0) is not None, "the transform did not come")
    bench.good_pair()
    np.testing.assert_allclose(placed[-1][:3, 3], [4, 5, 6])
