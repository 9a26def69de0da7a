"""What this project relies on in ``message_filters``: true of the stand-in and of the real package."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
message_filters = pytest.importorskip("message_filters", reason="needs message_filters or its stand-in")

import rclpy  # noqa: E402
from builtin_interfaces.msg import Time as TimeMessage  # noqa: E402
from geometry_msgs.msg import PointStamped as StampedMessage  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from message_filters import ApproximateTimeSynchronizer, Cache, SimpleFilter, Subscriber, TimeSynchronizer  # noqa: E402
from rclpy.clock import ClockType  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rclpy.time import Time  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402

MS = 10**6


@dataclass
class Stamped:
    header: Header
    name: str = ""


@dataclass
class Collector:
    """Keeps what a filter signals, as stamps in milliseconds."""

    sets: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, *messages: Stamped) -> None:
        self.sets.append(tuple(milliseconds(message) for message in messages))


def stamped(ms: int, name: str = "") -> Stamped:
    stamp = TimeMessage(sec=ms // 1000, nanosec=ms % 1000 * MS)
    return Stamped(Header(stamp=stamp), name)


def milliseconds(message: Stamped) -> int:
    return message.header.stamp.sec * 1000 + message.header.stamp.nanosec // MS


def exact(queue_size: int = 10, inputs: int = 2) -> tuple[list[Any], Collector]:
    sources = [SimpleFilter() for _ in range(inputs)]
    collector = Collector()
    TimeSynchronizer(sources, queue_size).registerCallback(collector)
    return sources, collector


def approximate(slop: float, queue_size: int = 10, inputs: int = 2) -> tuple[list[Any], Collector]:
    sources = [SimpleFilter() for _ in range(inputs)]
    collector = Collector()
    ApproximateTimeSynchronizer(sources, queue_size, slop).registerCallback(collector)
    return sources, collector


def test_callbacks_get_every_message_in_order_with_their_extra_arguments() -> None:
    got: list[Any] = []
    source = SimpleFilter()
    source.registerCallback(lambda message, *extra: got.append((message, extra)), "a", 1)
    source.registerCallback(lambda message: got.append(message))
    source.signalMessage("m")
    source.signalMessage("n")
    assert got == [("m", ("a", 1)), "m", ("n", ("a", 1)), "n"]


def test_exact_pairs_equal_stamps_whatever_the_order_of_arrival() -> None:
    (left, right), collector = exact()
    for ms in (100, 200, 300):
        left.signalMessage(stamped(ms))
    assert collector.sets == []
    for ms in (200, 100, 400):
        right.signalMessage(stamped(ms))
    assert collector.sets == [(200, 200), (100, 100)]


def test_exact_does_not_pair_stamps_that_are_one_nanosecond_apart() -> None:
    (left, right), collector = exact()
    first, second = stamped(100), stamped(100)
    second.header.stamp.nanosec += 1
    left.signalMessage(first)
    right.signalMessage(second)
    assert collector.sets == []


def test_exact_uses_a_message_once_and_passes_the_extra_arguments() -> None:
    sources = [SimpleFilter() for _ in range(4)]
    got: list[Any] = []
    TimeSynchronizer(sources, 5).registerCallback(lambda *arguments: got.append(arguments), "tag")
    for source in sources:
        source.signalMessage(stamped(7, "x"))
    for source in sources[1:]:
        source.signalMessage(stamped(7))
    assert len(got) == 1
    assert [message.name for message in got[0][:4]] == ["x"] * 4
    assert got[0][4] == "tag"


def test_exact_replaces_a_message_by_a_later_one_of_the_same_stamp() -> None:
    sources = [SimpleFilter(), SimpleFilter()]
    got: list[Any] = []
    TimeSynchronizer(sources, 5).registerCallback(lambda a, b: got.append((a.name, b.name)))
    sources[0].signalMessage(stamped(1, "first"))
    sources[0].signalMessage(stamped(1, "second"))
    sources[1].signalMessage(stamped(1, "other"))
    assert got == [("second", "other")]


def test_exact_drops_the_oldest_stamps_beyond_the_queue_size() -> None:
    (left, right), collector = exact(queue_size=3)
    for ms in (10, 20, 30, 40, 50):
        left.signalMessage(stamped(ms))
    for ms in (10, 20, 30, 40, 50):
        right.signalMessage(stamped(ms))
    assert collector.sets == [(30, 30), (40, 40), (50, 50)]


def test_after_a_jump_back_full_queues_of_later_stamps_keep_earlier_messages_out() -> None:
    # The rule "the oldest stamp goes" drops the new messages: a user of the filter has to start a new one.
    (left, right), collector = exact(queue_size=2)
    for ms in (1000, 1100, 1200):
        left.signalMessage(stamped(ms))
    for ms in (10, 20):
        left.signalMessage(stamped(ms))
        right.signalMessage(stamped(ms))
    assert collector.sets == []


def test_approximate_pairs_within_the_slop_and_not_at_it() -> None:
    (left, right), collector = approximate(0.010)
    left.signalMessage(stamped(100))
    right.signalMessage(stamped(110))
    assert collector.sets == []
    right.signalMessage(stamped(109))
    assert collector.sets == [(100, 109)]


def test_approximate_takes_the_nearest_partner_of_the_new_message() -> None:
    (left, right), collector = approximate(0.050)
    for ms in (80, 95, 120):
        left.signalMessage(stamped(ms))
    right.signalMessage(stamped(100))
    assert collector.sets == [(95, 100)]
    right.signalMessage(stamped(101))
    assert collector.sets[1:] == [(120, 101)]


def test_approximate_keeps_the_spread_of_three_inputs_below_the_slop() -> None:
    (first, second, third), collector = approximate(0.010, inputs=3)
    first.signalMessage(stamped(100))
    second.signalMessage(stamped(108))
    third.signalMessage(stamped(116))
    assert collector.sets == []  # each is near its neighbour, all three are too wide
    third.signalMessage(stamped(104))
    assert collector.sets == [(100, 108, 104)]


def test_approximate_drops_the_oldest_stamps_beyond_the_queue_size() -> None:
    (left, right), collector = approximate(0.005, queue_size=2)
    for ms in (10, 20, 30):
        left.signalMessage(stamped(ms))
    for ms in (11, 21, 31):
        right.signalMessage(stamped(ms))
    assert collector.sets == [(20, 21), (30, 31)]


def test_approximate_leaves_out_messages_without_a_header_unless_told() -> None:
    for allowed, expected in ((False, 0), (True, 1)):
        sources = [SimpleFilter(), SimpleFilter()]
        got: list[Any] = []
        synchronizer = ApproximateTimeSynchronizer(sources, 5, 5.0, allow_headerless=allowed)
        synchronizer.registerCallback(lambda *messages, got=got: got.append(messages))
        sources[0].signalMessage(String(data="a"))
        sources[1].signalMessage(String(data="b"))
        assert len(got) == expected


def test_approximate_by_arrival_ignores_stamps() -> None:
    if "sync_arrival_time" not in inspect.signature(ApproximateTimeSynchronizer.__init__).parameters:
        pytest.skip("this release of message_filters has no sync_arrival_time")
    sources = [SimpleFilter(), SimpleFilter()]
    collector = Collector()
    ApproximateTimeSynchronizer(sources, 5, 5.0, sync_arrival_time=True).registerCallback(collector)
    sources[0].signalMessage(stamped(1))
    sources[1].signalMessage(stamped(10**6))
    assert collector.sets == [(1, 10**6)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), max_size=60),
    st.integers(1, 8),
    st.integers(1, 15),
)
def test_every_pair_is_near_and_no_message_is_used_twice(
    arrivals: list[tuple[int, int]], queue_size: int, slop_ms: int
) -> None:
    sources, collector = approximate(slop_ms / 1000, queue_size=queue_size)
    for index, (side, ms) in enumerate(arrivals):
        sources[side].signalMessage(stamped(1000 * (index // 1000) + ms))
    counts = [sum(1 for side, _ in arrivals if side == which) for which in (0, 1)]
    assert len(collector.sets) <= min(counts)
    assert all(abs(a - b) < slop_ms for a, b in collector.sets)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(8)), st.permutations(range(8)))
def test_exact_loses_nothing_while_the_queues_suffice(first: list[int], second: list[int]) -> None:
    (left, right), collector = exact(queue_size=8)
    for a, b in zip(first, second, strict=True):
        left.signalMessage(stamped(a))
        right.signalMessage(stamped(b))
    assert sorted(collector.sets) == [(ms, ms) for ms in range(8)]


def test_cache_answers_by_time() -> None:
    source = SimpleFilter()
    cache = Cache(source, cache_size=3)
    passed: list[Any] = []
    cache.registerCallback(passed.append)
    assert cache.getLastestTime() is None
    assert cache.getOldestTime() is None
    for ms in (10, 20, 30, 40):
        source.signalMessage(stamped(ms))

    def at(ms: int) -> Time:
        return Time(nanoseconds=ms * MS, clock_type=ClockType.ROS_TIME)

    assert [milliseconds(message) for message in passed] == [10, 20, 30, 40]
    assert [milliseconds(message) for message in cache.getInterval(at(20), at(30))] == [20, 30]
    assert milliseconds(cache.getElemAfterTime(at(25))) == 30
    assert milliseconds(cache.getElemBeforeTime(at(25))) == 20
    assert cache.getElemBeforeTime(at(15)) is None
    assert cache.getElemAfterTime(at(41)) is None
    assert cache.getOldestTime() == at(20)
    assert cache.getLastestTime() == at(40)
    assert milliseconds(cache.getLast()) == 40


def test_subscriber_feeds_the_synchronizer_from_topics() -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("filters_test", context=context, namespace="filters_test")
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        subscribers = [
            Subscriber(node, StampedMessage, topic, qos_profile=qos_profile_sensor_data) for topic in ("left", "right")
        ]
        assert [subscriber.getTopic() for subscriber in subscribers] == ["left", "right"]
        assert subscribers[0].topic_name.endswith("/filters_test/left")  # names of the subscription show through
        collector = Collector()
        TimeSynchronizer(subscribers, 10).registerCallback(collector)
        publishers = [node.create_publisher(StampedMessage, topic, 10) for topic in ("left", "right")]
        for _ in range(200):
            for publisher in publishers:
                publisher.publish(StampedMessage(header=stamped(1234).header))
            executor.spin_once(timeout_sec=0.05)
            if collector.sets:
                break
        assert collector.sets[0] == (1234, 1234)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
