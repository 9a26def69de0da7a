"""Lifecycle transitions and parameter changes of the running node."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.node_bench import Bench
from octomap_msgs.msg import Octomap
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

pytestmark = pytest.mark.ros
SUCCESS = TransitionCallbackReturn.SUCCESS


def test_only_live_parameters_change_while_configured(bench: Bench) -> None:
    refused = bench.node.set_parameters([Parameter("grid_resolution", value=0.5)])[0]
    assert not refused.successful and "configuring" in refused.reason and "clean up" in refused.reason
    refused = bench.node.set_parameters([Parameter("octomap_include", value="everything")])[0]
    assert not refused.successful and "seen+completed" in refused.reason
    assert bench.node.set_parameters([Parameter("octomap_include", value="seen")])[0].successful
    assert bench.node.pipeline.settings.octomap_include == "seen"
    bench.node.set_parameters([Parameter("octomap_include", value="seen+completed")])


def test_the_lifecycle_goes_round(made: list[Bench]) -> None:
    made.append(bench := Bench(autostart=False))
    time.sleep(0.2)
    node = bench.node
    assert node.label == "unconfigured"
    for _ in range(2):
        assert node.trigger_configure() == SUCCESS and node.label == "inactive"
        heard = bench.listen(Octomap, "octomap_binary", latched=True)
        assert node.trigger_activate() == SUCCESS
        bench.wait_active()
        bench.good_pair()
        bench.wait(lambda heard=heard: heard, "no map")
        assert node.trigger_deactivate() == SUCCESS and node.label == "inactive"
        processed = bench.processed
        bench.send_pair()
        time.sleep(0.1)
        assert bench.processed == processed
        late = bench.listen(Octomap, "octomap_binary", latched=True)
        bench.wait(lambda late=late: late, "the map did not stay for a late listener")
        assert node.trigger_cleanup() == SUCCESS and node.label == "unconfigured"
    assert node.trigger_shutdown() == SUCCESS and node.label == "finalized"
