"""Behaviour of ``diagnostic_updater`` that this project uses, for the replacement and the original package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
pytest.importorskip("diagnostic_updater", reason="needs diagnostic_updater or its replacement")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from diagnostic_updater import (
    CompositeDiagnosticTask,
    DiagnosedPublisher,
    DiagnosticStatusWrapper,
    DiagnosticTask,
    FrequencyStatus,
    FrequencyStatusParam,
    FunctionDiagnosticTask,
    Heartbeat,
    TimeStampStatus,
    TimeStampStatusParam,
    TopicDiagnostic,
    Updater,
)
from geometry_msgs.msg import PointStamped
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def run(task: DiagnosticTask) -> DiagnosticStatusWrapper:
    return task.run(DiagnosticStatusWrapper())


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ((OK, "fine"), (WARN, "slow"), (WARN, "slow")),
        ((WARN, "slow"), (OK, "fine"), (WARN, "slow")),
        ((WARN, "slow"), (ERROR, "dead"), (ERROR, "slow; dead")),
        ((ERROR, "dead"), (WARN, "slow"), (ERROR, "dead; slow")),
        ((OK, "fine"), (OK, "good"), (OK, "fine; good")),
        ((OK, ""), (OK, "good"), (OK, "good")),
    ],
)
def test_merged_summaries_have_the_higher_level(first: Any, second: Any, merged: Any) -> None:
    status = DiagnosticStatusWrapper()
    status.summary(*first)
    status.mergeSummary(*second)
    assert (status.level, status.message) == merged
    other, whole = DiagnosticStatusWrapper(), DiagnosticStatusWrapper()
    other.summary(*second)
    whole.summary(*first)
    whole.mergeSummary(other)
    assert (whole.level, whole.message) == merged


def test_a_status_is_a_message_with_values() -> None:
    status = DiagnosticStatusWrapper()
    assert isinstance(status, DiagnosticStatus)
    status.add("model", "stereo-geometry")
    status.add("dropped", "3")
    assert values(status) == {"model": "stereo-geometry", "dropped": "3"}
    status.summary(ERROR, "bad")
    copy = DiagnosticStatusWrapper()
    copy.summary(status)
    assert (copy.level, copy.message, len(copy.values)) == (ERROR, "bad", 0)
    status.clearSummary()
    assert (status.level, status.message) == (OK, "")


def test_composite_merges_the_summaries_and_joins_the_values() -> None:
    def slow(status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status.summary(WARN, "slow")
        status.add("rate", "1")
        return status

    def fine(status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status.summary(OK, "fine")
        status.add("count", "2")
        return status

    composite = CompositeDiagnosticTask("both")
    composite.addTask(FunctionDiagnosticTask("slow", slow))
    composite.addTask(FunctionDiagnosticTask("fine", fine))
    status = run(composite)
    assert composite.getName() == "both"
    assert (status.level, status.message) == (WARN, "slow")
    assert values(status) == {"rate": "1", "count": "2"}


@pytest.mark.parametrize(
    ("ticks", "level", "message"),
    [
        (0, ERROR, "No events recorded."),
        (1, WARN, "Frequency too low."),
        (10, OK, "Desired frequency met"),
        (1000, WARN, "Frequency too high."),
    ],
)
def test_the_frequency_is_compared_with_its_bounds(ticks: int, level: bytes, message: str) -> None:
    task = FrequencyStatus(FrequencyStatusParam({"min": 20.0, "max": 200.0}, 0.1, 2))
    for _ in range(ticks):
        task.tick()
    time.sleep(0.1)
    status = run(task)
    assert (status.level, status.message) == (level, message)
    reported = values(status)
    assert reported["Events in window"] == reported["Events since startup"] == str(ticks)
    assert float(reported["Actual frequency (Hz)"]) == pytest.approx(
        ticks / float(reported["Duration of window (s)"]), 1e-2
    )
    assert float(reported["Minimum acceptable frequency (Hz)"]) == pytest.approx(18)
    assert float(reported["Maximum acceptable frequency (Hz)"]) == pytest.approx(220)


def test_the_frequency_window_slides_and_can_be_cleared() -> None:
    task = FrequencyStatus(FrequencyStatusParam({"min": 1.0}, 0.1, 2))
    task.tick()
    counts = []
    for _ in range(4):
        time.sleep(0.01)
        counts.append(int(values(run(task))["Events in window"]))
    assert counts == [1, 1, 0, 0]
    assert "Maximum acceptable frequency (Hz)" not in values(run(task))
    task.tick()
    task.clear()
    time.sleep(0.01)
    assert values(run(task))["Events since startup"] == "0"


def test_equal_bounds_are_reported_as_a_target() -> None:
    task = FrequencyStatus(FrequencyStatusParam({"min": 10.0, "max": 10.0}))
    time.sleep(0.01)
    assert float(values(run(task))["Target frequency (Hz)"]) == 10.0


@pytest.mark.parametrize(
    ("ages", "level", "message"),
    [
        ([], WARN, "No data since last update."),
        ([0.0, 1.0], OK, "Timestamps are reasonable."),
        ([0.0, 9.0], ERROR, "Timestamps too far in past seen."),
        ([-3.0], ERROR, "Timestamps too far in future seen."),
        ([0.0, None], ERROR, "Zero timestamp seen."),
    ],
)
def test_stamps_are_compared_with_the_current_time(ages: list[float | None], level: bytes, message: str) -> None:
    task = TimeStampStatus(TimeStampStatusParam(-1, 5))
    now = Clock(clock_type=ClockType.ROS_TIME).now()
    for age in ages:
        task.tick(0.0 if age is None else now - Duration(seconds=age))
    status = run(task)
    assert (status.level, status.message) == (level, message)
    if message.endswith("past seen."):
        assert float(values(status)["Latest timestamp delay:"]) == pytest.approx(9.0, abs=1.0)
        assert values(status)["Late diagnostic update count:"] == "1"
    assert run(task).message == "No data since last update."


@pytest.fixture()
def diagnostics() -> Iterator[tuple[Any, list[DiagnosticStatus], Callable[[Callable[[], bool]], bool]]]:
    """Yield a node, the statuses it publishes on /diagnostics, and a function that spins until a condition holds."""
    context = rclpy.Context()
    rclpy.init(context=context)
    arguments = ["--ros-args", "-r", "/diagnostics:=/updater_test/diagnostics"]
    node = rclpy.create_node("updater_test", context=context, cli_args=arguments)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen: list[DiagnosticStatus] = []
    node.create_subscription(DiagnosticArray, "/diagnostics", lambda message: seen.extend(message.status), 10)

    def until(condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + 10
        while not condition() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        return condition()

    yield node, seen, until
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_the_updater_publishes_every_task_periodically(diagnostics: Any) -> None:
    node, seen, until = diagnostics
    updater = Updater(node, period=0.1)
    updater.setHardwareID("camera 7")
    calls: list[int] = []

    def sync(status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        calls.append(1)
        status.summary(WARN, "pairs dropped")
        status.add("dropped", str(len(calls)))
        return status

    updater.add("sync", sync)
    updater.add(Heartbeat())
    updater.add("silent", lambda status: status)
    assert until(lambda: len(calls) >= 3 and any(status.name.endswith("silent") for status in seen))
    latest = {status.name: status for status in seen}
    assert set(latest) == {"updater_test: sync", "updater_test: Heartbeat", "updater_test: silent"}
    reported = latest["updater_test: sync"]
    assert (reported.level, reported.message, reported.hardware_id) == (WARN, "pairs dropped", "camera 7")
    assert "dropped" in values(reported)
    assert (latest["updater_test: Heartbeat"].level, latest["updater_test: Heartbeat"].message) == (OK, "Alive")
    assert (latest["updater_test: silent"].level, latest["updater_test: silent"].message) == (
        ERROR,
        "No message was set",
    )
    assert node.get_parameter("diagnostic_updater.period").value == 0.1


def test_the_updater_forces_updates_broadcasts_and_removes_tasks(diagnostics: Any) -> None:
    node, seen, until = diagnostics
    updater = Updater(node, period=1000.0)
    updater.setHardwareID("none")
    updater.add(Heartbeat())
    assert until(lambda: updater.publisher.get_subscription_count() > 0)
    updater.force_update()
    assert until(lambda: any(status.message == "Alive" for status in seen))
    updater.broadcast(ERROR, "going down")
    assert until(lambda: any((status.level, status.message) == (ERROR, "going down") for status in seen))
    assert updater.removeByName("Heartbeat")
    assert not updater.removeByName("Heartbeat")
    seen.clear()
    updater.force_update()
    updater.add("last", lambda status: status)
    assert until(lambda: any(status.message == "Node starting up" for status in seen))
    assert {status.name for status in seen} == {"updater_test: last"}


def test_topic_diagnostics_check_frequency_and_stamps(diagnostics: Any) -> None:
    node, _, _ = diagnostics
    updater = Updater(node, period=1000.0)
    bounds, ages = FrequencyStatusParam({"min": 1.0}), TimeStampStatusParam(-1, 5)
    topic = TopicDiagnostic("left", updater, bounds, ages)
    topic.tick(node.get_clock().now())
    time.sleep(0.01)
    status = run(topic)
    assert topic.getName() == "left topic status"
    assert status.level == OK
    assert values(status)["Events since startup"] == "1"
    assert "Latest timestamp delay:" in values(status)

    publisher = DiagnosedPublisher(node.create_publisher(PointStamped, "points", 1), updater, bounds, ages)
    message = PointStamped()
    message.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(message)
    time.sleep(0.01)
    assert values(run(publisher))["Events since startup"] == "1"
