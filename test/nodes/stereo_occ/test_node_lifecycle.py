"""Lifecycle transitions and parameter changes of the running node."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

import rclpy
from helpers.nodes.node_bench import Bench, stamp_of
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from occdepth_ros.msg import SemanticGrid
from octomap_msgs.msg import Octomap
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter

from occdepth_ros.nodes.qos import REPLAY_ENDED

pytestmark = pytest.mark.ros
SUCCESS = TransitionCallbackReturn.SUCCESS


def test_only_live_parameters_change_while_configured(bench: Bench) -> None:
    refused = bench.node.set_parameters([Parameter("grid_resolution", value=0.5)])[0]
    assert not refused.successful and "when the node is configured" in refused.reason and "clean up" in refused.reason
    refused = bench.node.set_parameters([Parameter("octomap_include", value="everything")])[0]
    assert not refused.successful and "seen+completed" in refused.reason
    assert bench.node.set_parameters([Parameter("octomap_include", value="seen")])[0].successful
    assert bench.pipeline.settings.octomap_include == "seen"
    bench.node.set_parameters([Parameter("octomap_include", value="seen+completed")])


def _values(bench: Bench) -> dict[str, int]:
    """The counters of the newest diagnostics, by key."""
    parts = [s for name, s in bench.diagnostics.items() if name in ("input", "synchronisation", "outputs")]
    return {v.key: int(v.value) for part in parts for v in part.values if v.value.isdecimal()}


def test_counters_agree_through_deactivation_cleanup_and_configuration(made: list[Bench]) -> None:
    made.append(bench := Bench(autostart=False))
    node = bench.node

    def agree() -> bool:
        node._diagnostics.update()
        values = _values(bench)
        if "pairs" not in values:
            return False
        handled = values["processed pairs"] + values["unusable pairs"] + values["dropped pairs"]
        # the newest message may be one of before the pairs
        agreed = values["pairs"] == handled <= min(values["left images"], values["right images"])
        return agreed and values["processed pairs"] >= 1

    for _ in range(2):
        assert bench.transition("configure") == SUCCESS and bench.transition("activate") == SUCCESS
        bench.wait_active()
        bench.send_pair()  # waits for its calibration, or is replaced by the next one
        for _ in range(4):
            bench.send_pair()
        bench.good_pair()
        assert bench.transition("deactivate") == SUCCESS
        bench.wait(agree, f"counters of the inactive node: {_values(bench)}")
        assert bench.transition("activate") == SUCCESS
        bench.wait_active()
        bench.good_pair()
        assert bench.transition("deactivate") == SUCCESS
        bench.wait(agree, f"counters after a second activation: {_values(bench)}")
        assert bench.transition("cleanup") == SUCCESS
        bench.wait(lambda: "pairs" not in _values(bench), "counters stay after cleanup")


def test_a_failed_configuration_names_the_fault_before_the_remedy(
    made: list[Bench], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made.append(bench := Bench(model="occdepth-b3", weights=str(tmp_path / "none.ckpt"), fallback=False))
    bench.expect_fault("checkpoint", "none.ckpt")
    log = ""

    def logged() -> bool:
        nonlocal log
        log += capfd.readouterr().err
        return "configuration failed: " in log and "configure and activate the node" in log

    bench.wait(logged, "the failure is not logged")
    line = next(line for line in log.splitlines() if "configuration failed: " in line)
    assert line.index("none.ckpt") < line.index("configure and activate the node")


def test_transitions_are_logged(made: list[Bench], capfd: pytest.CaptureFixture[str]) -> None:
    made.append(bench := Bench(autostart=False))
    node = bench.node
    for transition in (node.trigger_configure, node.trigger_activate, node.trigger_deactivate, node.trigger_cleanup):
        assert transition() == SUCCESS
    log = capfd.readouterr().err
    for text in (
        "inactive: configured with stereo-geometry",
        "active: subscribed to /left/image_rect",
        "inactive: deact",
        "unconfigured: cleaned up",
    ):
        assert text in log


def test_debug_messages_name_pairs_and_stages(made: list[Bench], capfd: pytest.CaptureFixture[str]) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    bench.node.get_logger().set_level(LoggingSeverity.DEBUG)
    try:
        bench.good_pair()
    finally:
        bench.node.get_logger().set_level(LoggingSeverity.INFO)
    log = capfd.readouterr().err
    assert "after the first image" in log and "preprocess" in log and "grid pose from parameters" in log


def test_the_diagnostics_of_two_robots_differ(made: list[Bench]) -> None:
    for namespace in ("/fleet/robot1", "/fleet/robot2"):
        made.append(bench := Bench(namespace=namespace, autostart=False))
        bench.wait(partial(bench.diagnostics.get, "model"), "no diagnostics")
        status = bench.diagnostics["model"]
        assert status.name == f"{namespace}/stereo_occ: model" and status.hardware_id == f"{namespace}/stereo_occ"


def test_the_lifecycle_can_be_repeated(made: list[Bench]) -> None:
    made.append(bench := Bench(autostart=False))
    time.sleep(0.2)
    node = bench.node
    assert node.label == "unconfigured"
    for _ in range(2):
        assert bench.transition("configure") == SUCCESS and node.label == "inactive"
        received = bench.listen(Octomap, "octomap_binary", latched=True)
        assert bench.transition("activate") == SUCCESS
        bench.wait_active()
        bench.good_pair()
        bench.wait(received.__len__, "no map")
        assert bench.transition("deactivate") == SUCCESS and node.label == "inactive"
        processed = bench.processed
        bench.send_pair()
        time.sleep(0.1)
        assert bench.processed == processed
        late = bench.listen(Octomap, "octomap_binary", latched=True)
        bench.wait(late.__len__, "the map did not stay for a late listener")
        assert bench.transition("cleanup") == SUCCESS and node.label == "unconfigured"
    assert bench.transition("shutdown") == SUCCESS and node.label == "finalized"


@pytest.mark.parametrize("fails", [False, True])
def test_a_deactivation_during_a_prediction_waits_for_it_and_publishes_nothing_later(
    made: list[Bench], fails: bool
) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    received = bench.listen(SemanticGrid, "grid")
    output = next(o for o in bench.pipeline.outputs.outputs if o.spec.name == "grid")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    bench.good_pair()
    begun, released = threading.Event(), threading.Event()
    begin = bench.pipeline.host.begin

    def slow(*arguments: Any, **options: Any) -> Any:
        complete = begin(*arguments, **options)

        def completed() -> Any:
            begun.set()
            assert released.wait(120.0)
            if fails:
                raise RuntimeError("the device was lost")
            return complete()

        return completed

    bench.pipeline.host.begin = slow
    stamp = bench.send_pair()
    bench.wait(begun.is_set, "the prediction did not begin")
    transition = bench._executor.create_task(bench.node.trigger_deactivate)
    time.sleep(0.2)
    assert not transition.done(), "a prediction runs"
    released.set()
    bench.wait(transition.done, "the deactivation did not end")
    assert transition.result() == SUCCESS and bench.node.label == "inactive"
    published = output.count
    if not fails:
        bench.wait(lambda: stamp_of(received[-1]) == stamp, "the begun pair was not published")
    bench.send_infos()
    for _ in range(3):
        bench.send_pair()
        time.sleep(0.05)
    assert output.count == published and all(stamp_of(message) <= stamp for message in received)
    bench.pipeline.host.begin = begin
    assert bench.transition("activate") == SUCCESS
    bench.wait_active()
    before = bench.stamp_ns
    bench.good_pair()
    bench.wait(lambda: stamp_of(received[-1]) > before, "no output after the next activation")
    assert stamp in map(stamp_of, received) or fails
    assert not {before, before - 100_000_000} & set(map(stamp_of, received)), "a pair of before the activation"
    assert not bench.fault_names(without_clock=True)


def test_transitions_in_wrong_order_are_refused_and_the_node_goes_on(bench: Bench) -> None:
    """Raised in a service callback, the exception of rclpy would end the spinning."""
    client = bench.tester.create_client(ChangeState, "/stereo_occ/change_state")
    bench.wait(client.service_is_ready, "no service")
    for wrong in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CLEANUP, 250):
        answer = client.call_async(ChangeState.Request(transition=Transition(id=wrong)))
        bench.wait(answer.done, "no answer")
        assert not answer.result().success and bench.node.label == "active"
    bench.good_pair()


def test_another_node_of_the_same_name_is_named(made: list[Bench]) -> None:
    made.append(bench := Bench(autostart=False))
    assert bench.transition("configure") == SUCCESS
    duplicate = rclpy.create_node("stereo_occ", context=bench.context)
    bench.wait(lambda: bench.node.get_node_names().count("stereo_occ") == 2, "the node is not seen")
    assert bench.transition("activate") == SUCCESS
    bench.expect_fault("duplicate_node", "another node is named /stereo_occ")
    assert bench.transition("deactivate") == SUCCESS
    duplicate.destroy_node()
    bench.wait(lambda: bench.node.get_node_names().count("stereo_occ") == 1, "the node is still seen")
    assert bench.transition("activate") == SUCCESS
    assert "duplicate_node" not in bench.fault_names()


@pytest.mark.parametrize("topic", [REPLAY_ENDED, "left/camera_info"])
def test_an_activation_that_fails_halfway_is_released(
    made: list[Bench], monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    made.append(bench := Bench(autostart=False))
    create = bench.node.create_subscription

    def failing(message: Any, name: str, *arguments: Any, **options: Any) -> Any:
        if name == topic:
            raise RuntimeError("the context is invalid")
        return create(message, name, *arguments, **options)

    assert bench.transition("configure") == SUCCESS
    monkeypatch.setattr(bench.node, "create_subscription", failing)
    assert bench.transition("activate") != SUCCESS
    assert bench.node.label == "unconfigured"
    monkeypatch.undo()
    assert bench.transition("configure") == SUCCESS and bench.transition("activate") == SUCCESS
    bench.wait_active()
