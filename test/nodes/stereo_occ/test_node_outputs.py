"""Outputs of the running node: content, switches, rates, late subscribers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.nodes.node_bench import FOCAL, FRAME, HEIGHT, WIDTH, Bench, stamp_of
from nav_msgs.msg import OccupancyGrid
from occdepth_ros.msg import SemanticGrid
from octomap_msgs.msg import Octomap
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float64
from visualization_msgs.msg import MarkerArray

from occdepth_ros.nodes.stereo_occ.monitoring.timing import STAGES

pytestmark = pytest.mark.ros


def test_every_output_comes_with_the_stamp_and_frame_of_its_pair(bench: Bench) -> None:
    kinds = {
        "octomap_binary": (Octomap, True),
        "octomap_full": (Octomap, True),
        "markers": (MarkerArray, False),
        "points": (PointCloud2, False),
        "grid": (SemanticGrid, False),
        "occupancy_grid": (OccupancyGrid, True),
        "depth": (Image, False),
        "depth_color": (Image, False),
        "camera_info": (CameraInfo, False),
        "legend": (Image, True),
    }
    of_camera = ("depth", "depth_color", "camera_info", "legend")
    received = {name: bench.listen(kind, name, latched=latched) for name, (kind, latched) in kinds.items()}
    times = {stage: bench.listen(Float64, f"debug/processing_time/{stage}_ms") for stage in STAGES}
    bench.wait(lambda: received["octomap_binary"], "the latched map did not reach a late listener")
    outputs = {o.spec.name: o.publisher for o in bench.pipeline.outputs.outputs}
    bench.wait(lambda: all(outputs[name].get_subscription_count() for name in kinds), "not all connected")
    stamp = bench.send_pair()

    def newest(name: str) -> Any:
        return received[name][-1].markers[0].header if name == "markers" else received[name][-1].header

    def complete() -> bool:
        return all(
            received[n] and newest(n).stamp.sec * 10**9 + newest(n).stamp.nanosec == stamp
            for n in kinds
            if n != "legend"
        ) and all(times.values())

    bench.wait(complete, "some output is missing")
    assert {newest(name).frame_id for name in kinds if name not in of_camera} == {"velodyne"}
    assert {newest(name).frame_id for name in of_camera} == {FRAME}
    assert len(received["legend"]) == 1, "the legend is published once"
    milliseconds = {stage: values[-1].data for stage, values in times.items()}
    parts = sum(milliseconds[s] for s in ("sync", "preprocess", "inference", "postprocess", "publish"))
    assert 0 < milliseconds["inference"] < milliseconds["total"]
    assert parts == pytest.approx(milliseconds["total"], abs=5.0)

    depth = np.frombuffer(bytes(received["depth"][-1].data), np.float32).reshape(HEIGHT, WIDTH)
    assert np.nanmedian(depth) == pytest.approx(FOCAL * 0.5 / 12, rel=0.05)
    grid = received["grid"][-1]
    labels = np.asarray(grid.labels).reshape(grid.size_x, grid.size_y, grid.size_z)
    occupied = np.argwhere((labels > 0) & (labels < 255))
    assert len(occupied) > 20
    assert np.median(occupied[:, 0] * grid.resolution) == pytest.approx(FOCAL * 0.5 / 12, abs=0.4)
    bench.call(lambda: bench.tester.destroy_subscription(list(bench.tester.subscriptions)[-1]))


def test_topics_without_subscribers_are_not_encoded(made: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    bench.good_pair()
    assert all(o.count == 0 for o in bench.pipeline.outputs.outputs)


def test_a_switch_and_a_rate_hold_an_output_back(bench: Bench) -> None:
    received = bench.listen(PointCloud2, "points")
    output = next(o for o in bench.pipeline.outputs.outputs if o.spec.name == "points")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    assert bench.node.set_parameters([Parameter("publish_points", value=False)])[0].successful
    bench.good_pair()
    assert not received
    bench.node.set_parameters([Parameter("publish_points", value=True), Parameter("points_rate", value=0.02)])
    for _ in range(4):
        bench.good_pair()
    bench.wait(lambda: received, "nothing was published")
    assert len(received) == 1
    bench.node.set_parameters([Parameter("points_rate", value=0.0)])


VIEW = Path(__file__).resolve().parents[3] / "config" / "occdepth.rviz"
SHOWN_AS = {
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Image": "sensor_msgs/msg/Image",
    "Camera": "sensor_msgs/msg/Image",
    "Map": "nav_msgs/msg/OccupancyGrid",
    "OccupancyGrid": "octomap_msgs/msg/Octomap",
    "ColorOccupancyGrid": "octomap_msgs/msg/Octomap",
}
"""Message of each display of RViz that the view uses."""


def test_the_view_of_rviz_requests_what_the_node_offers(bench: Bench) -> None:
    displays = yaml.safe_load(VIEW.read_text(encoding="utf-8"))["Visualization Manager"]["Displays"]
    displays += [inner for display in displays for inner in display.get("Displays", [])]
    seen = set()
    for display in displays:
        kind, topic = display["Class"].split("/")[1], display.get("Topic", {})
        # the path is the planner's
        if kind not in SHOWN_AS or not topic["Value"].startswith("/stereo_occ/"):
            continue
        (offered,) = bench.tester.get_publishers_info_by_topic(topic["Value"])
        assert offered.topic_type == SHOWN_AS[kind], topic["Value"]
        assert offered.qos_profile.reliability == ReliabilityPolicy.RELIABLE, topic["Value"]
        is_latched = offered.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert is_latched == (topic["Durability Policy"] == "Transient Local"), topic["Value"]
        seen.add(kind)
    assert seen == SHOWN_AS.keys() - {"Camera"}


def test_quality_of_service_can_be_overridden(made: list[Bench]) -> None:
    reliable = {"qos_overrides./left/image_rect.subscription.reliability": "reliable"}
    made.append(bench := Bench(**reliable))
    bench.wait_active()
    name = "qos_overrides./stereo_occ/grid.publisher.depth"
    assert bench.node.get_parameter(name).value == 1
    for side, expected in (("left", ReliabilityPolicy.RELIABLE), ("right", ReliabilityPolicy.BEST_EFFORT)):
        found = bench.tester.get_subscriptions_info_by_topic(f"/{side}/image_rect")
        assert [endpoint.qos_profile.reliability for endpoint in found] == [expected], side


def test_an_old_pair_is_never_predicted_after_a_newer_one(bench: Bench) -> None:
    received = bench.listen(SemanticGrid, "grid")
    output = next(o for o in bench.pipeline.outputs.outputs if o.spec.name == "grid")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    for _ in range(20):
        bench.send_pair()
    newest = bench.stamp_ns
    bench.wait(lambda: received and stamp_of(received[-1]) == newest, "the newest pair was not predicted")
    stamps = [stamp_of(message) for message in received]
    assert stamps == sorted(stamps)


def test_an_output_that_breaks_does_not_take_the_others_down(
    made: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    broken, received = bench.listen(PointCloud2, "points"), bench.listen(Image, "depth")
    outputs = {o.spec.name: o for o in bench.pipeline.outputs.outputs}
    bench.wait(lambda: all(outputs[n].publisher.get_subscription_count() for n in ("points", "depth")), "unheard")
    monkeypatch.setattr(outputs["points"], "encode", lambda *inputs: 1 / 0)
    bench.good_pair()
    bench.expect_fault("output_points", "division")
    assert received and not broken


def test_diagnostics_and_the_report_have_latency_jitter_drops_and_load(bench: Bench) -> None:
    for _ in range(3):
        bench.good_pair()

    def values() -> dict[str, str]:
        return {entry.key: entry.value for entry in bench.diagnostics["outputs"].values}

    bench.wait(
        lambda: "outputs" in bench.diagnostics and values().get("jitter ms mean max", "none") != "none", "no jitter"
    )
    shown = values()
    p50, _, top = map(float, shown["processing ms p50 p95 max"].split())
    assert 0 < p50 <= top and float(shown["CPU load % of one core"]) >= 0
    assert "different clocks" in shown["latency ms p99"], "the stamps of this camera are not of this clock"
    line = bench.node._report.finish()
    assert "pairs dropped" in line and "jitter ms mean max" in line and "% of one core" in line
