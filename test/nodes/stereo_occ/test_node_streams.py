"""Streams of the running node that stop, do not match, or jump back in time."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from builtin_interfaces.msg import Time
from helpers.nodes.node_bench import Bench, image_message, stamp_of
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from occdepth_ros.nodes.qos import LATCHED, REPLAY_ENDED
from occdepth_ros.nodes.stereo_occ.monitoring import watch

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(("seconds", "nanoseconds"), [(-5, 0), (100, 2**32 - 1)])
def test_a_stamp_that_is_no_time_is_named(bench: Bench, seconds: int, nanoseconds: int) -> None:
    message = image_message(bench.left, 0)
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    bench.send_image("left", message)
    bench.expect_fault("stamp", f"{seconds} s and {nanoseconds} ns")
    bench.good_pair()
    assert "stamp" not in bench.fault_names()


def _fault_text(bench: Bench, name: str) -> str:
    return next((fault.text for fault in bench.node.faults.present() if fault.name == name), "")


def test_a_stopped_stream_is_named(bench: Bench) -> None:
    def only_the_right_one_stopped() -> bool:
        bench.send_image("left", image_message(bench.left, bench.next_stamp()))
        time.sleep(0.02)
        text = _fault_text(bench, "stream_stopped")
        return "/right/image_rect stopped" in text and "/left/image_rect" not in text

    bench.wait(only_the_right_one_stopped, "the right stream was not named")
    bench.expect_fault("stream_stopped")


def test_the_end_of_a_replay_is_no_stopped_stream(made: list[Bench]) -> None:
    made.append(bench := Bench(input_timeout=0.5))
    bench.wait_active()
    bench.good_pair()
    end = bench.tester.create_publisher(Header, REPLAY_ENDED, LATCHED)
    header = Header()
    header.stamp.sec, header.stamp.nanosec = divmod(bench.stamp_ns, 1_000_000_000)
    end.publish(header)
    bench.expect_fault("stream_ended", "the replay has published its last pair")
    assert "stream_stopped" not in bench.fault_names() and bench.diagnostics["input"].level == b"\x01"


def test_a_rate_far_below_that_of_the_cameras_is_named(made: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RATE_WINDOW", 5.0)
    made.append(bench := Bench())
    bench.wait_active()
    bench.good_pair()
    begin = bench.pipeline.host.begin

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(1.5)
        return begin(*arguments, **options)

    bench.pipeline.host.begin = slow

    def named() -> bool:
        bench.send_pair()
        time.sleep(0.03)
        return "slow_rate" in bench.fault_names()

    bench.wait(named, "the rate was not named")
    bench.expect_fault("slow_rate", "Choose a smaller model")


def test_streams_without_common_stamps_are_named(bench: Bench) -> None:
    def named() -> bool:
        stamp = bench.next_stamp()
        bench.send_image("left", image_message(bench.left, stamp))
        bench.send_image("right", image_message(bench.right, stamp + 7_000_000))
        time.sleep(0.02)
        return "trigger" in _fault_text(bench, "unsynchronised")

    bench.wait(named, "the streams were not named")
    bench.expect_fault("unsynchronised", "set approximate_sync")


def test_a_clock_that_jumps_back_is_survived(bench: Bench) -> None:
    before = bench.processed
    bench.stamp_ns -= 50_000_000_000
    bench.good_pair()
    bench.expect_fault("clock_jump", "jumped back by")
    assert bench.processed > before


def test_a_simulated_clock_that_jumps_back_is_survived(made: list[Bench]) -> None:
    made.append(bench := Bench(use_sim_time=True))
    bench.wait_active()
    clock = bench.tester.create_publisher(Clock, "/clock", 10)
    bench.wait(clock.get_subscription_count, "the node does not listen to /clock")

    def set_clock(seconds: int) -> None:
        clock.publish(Clock(clock=Time(sec=seconds)))
        bench.wait(lambda: bench.node.get_clock().now().nanoseconds == seconds * 10**9, "the clock did not move")

    set_clock(100)
    bench.good_pair()
    set_clock(40)
    bench.expect_fault("clock_jump", "back by 60.000 s")
    bench.stamp_ns = 40 * 10**9
    bench.good_pair()
    assert stamp_of(bench.pipeline.outputs.latest.prediction) < 50 * 10**9


def test_no_image_topics_are_reported(made: list[Bench]) -> None:
    made.append(bench := Bench(input_timeout=0.2))
    bench.wait_active()
    bench.expect_fault("stream_stopped", "no message received on /left/image_rect")
    assert bench.diagnostics["input"].level == b"\x01", "no error before the first message"


def test_stamps_of_another_clock_are_named_until_they_are_right(bench: Bench) -> None:
    bench.good_pair()
    bench.expect_fault("other_clock", "years before the time of the node")

    def cleared() -> bool:
        bench.stamp_ns = bench.node.get_clock().now().nanoseconds - 100_000_000
        bench.send_pair()
        time.sleep(0.1)
        return "other_clock" not in bench.fault_names()

    bench.wait(cleared, "the fault stayed")
