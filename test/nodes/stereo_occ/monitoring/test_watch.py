"""Faults of the streams and of the rates, with a simulated steady clock."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("sensor_msgs", reason="needs a ROS 2 environment")

from sensor_msgs.msg import Image

from occdepth_ros.nodes.faults import Component, FaultBoard
from occdepth_ros.nodes.stereo_occ.monitoring import watch as module
from occdepth_ros.nodes.stereo_occ.monitoring.watch import StreamWatch, unpaired_text
from occdepth_ros.nodes.stereo_occ.sync import PairSynchronizer

MS = 1_000_000


class Calibrated:
    """A calibration that is complete."""

    missing: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.received = {"left": 0, "right": 0}


class Streams:
    """A synchronizer and its watch on a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(f"{module.__name__}.time.monotonic", lambda: self.now)
        self.board = FaultBoard()
        self.pairs: list[Any] = []
        self.sync = PairSynchronizer(self.pairs.append, lambda step: None)
        names = {"left": "/left/image_rect", "right": "/right/image_rect"}
        self.calibration = Calibrated()
        self.watch = StreamWatch(self.sync, self.calibration, self.board, names)  # type: ignore[arg-type]
        self.handled = 0

    def send(self, side: str, milliseconds: int) -> None:
        message = Image()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(milliseconds * MS, 1_000_000_000)
        self.sync.add(side, message)

    def check(self, seconds: float = 0.0) -> dict[str, Any]:
        self.now += seconds
        self.watch.check(2.0, self.handled, 800.0)
        return {fault.name: fault for fault in self.board.present()}


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    return Streams(monkeypatch)


def test_streams_are_no_error_before_the_first_message(streams: Streams) -> None:
    assert not streams.check(1.0)
    fault = streams.check(2.0)["stream_stopped"]
    assert not fault.is_error and "no message received on /left/image_rect" in fault.text
    streams.send("left", 100)
    fault = streams.check()["stream_stopped"]
    assert fault.is_error and "no message received on /right/image_rect" in fault.text


def test_a_stopped_stream_is_an_error_unless_a_replay_has_ended(streams: Streams) -> None:
    for side in ("left", "right"):
        streams.send(side, 100)
    assert streams.check(3.0)["stream_stopped"].is_error
    streams.watch.replay_ended(100 * MS)
    faults = streams.check(1.0)
    assert set(faults) == {"stream_ended"} and not faults["stream_ended"].is_error
    for side in ("left", "right"):
        streams.send(side, 200)
    assert not streams.check(1.0)
    assert streams.check(3.0)["stream_stopped"].is_error, "images after the end are another stream"


def test_an_end_before_the_last_image_does_not_hide_a_stopped_stream(streams: Streams) -> None:
    streams.watch.replay_ended(100 * MS)
    streams.send("left", 500)
    assert streams.check(3.0)["stream_stopped"].is_error


def test_lost_images_and_unsynchronised_cameras_are_distinguished(streams: Streams) -> None:
    # bursts of images are lost, now of one side and now of the other
    for index in range(40):
        streams.send("left" if index // 5 % 2 else "right", 100 * index)
        faults = streams.check(0.1)
    fault = faults["unsynchronised"]
    assert fault.component is Component.SYNC and "fastdds.xml" in fault.text


@pytest.mark.parametrize(
    ("difference_ms", "period_ms", "expected_text", "absent_text"),
    [
        (200, 100, "2 whole periods of 100 ms", "approximate_sync"),
        (-101, 100, "1 whole periods", "approximate_sync"),
        (107, 100, "trigger 7 ms apart", "fastdds"),
        (40, 100, "trigger 40 ms apart", "fastdds"),
        (7, 0, "approximate_sync", "fastdds"),
    ],
)
def test_the_text_names_the_cause(difference_ms: int, period_ms: int, expected_text: str, absent_text: str) -> None:
    text = unpaired_text(difference_ms * MS, period_ms * MS)
    assert expected_text in text and absent_text not in text


def test_a_rate_far_below_the_input_is_a_warning_with_a_remedy(streams: Streams) -> None:
    for index in range(12 * 10):
        for side in ("left", "right"):
            streams.send(side, 100 * index)
        streams.handled = index // 8
        faults = streams.check(0.1)
    fault = faults["slow_rate"]
    assert not fault.is_error and fault.component is Component.OUTPUT
    assert "800 ms" in fault.text and "smaller model" in fault.text
    for index in range(120, 250):
        for side in ("left", "right"):
            streams.send(side, 100 * index)
        streams.handled += 1
        faults = streams.check(0.1)
    assert not faults


def test_many_images_without_a_partner_are_a_warning(streams: Streams) -> None:
    for index in range(120):
        streams.send("left", 100 * index)
        if index % 4 == 0:
            streams.send("right", 100 * index)
            streams.handled += 1
        faults = streams.check(0.1)
    assert set(faults) == {"images_lost"} and not faults["images_lost"].is_error
    assert "have no partner" in faults["images_lost"].text and "fastdds.xml" in faults["images_lost"].text


def test_pairs_that_are_lost_as_a_whole_show_in_the_calibrations_that_arrive(streams: Streams) -> None:
    for index in range(120):
        for side in ("left", "right"):
            streams.calibration.received[side] += 1
            if index % 5 == 0:
                streams.send(side, 100 * index)
        streams.handled = index // 5
        faults = streams.check(0.1)
    assert set(faults) == {"images_lost"} and not faults["images_lost"].is_error
    assert re.match(r"(19|20) images but (99|100) CameraInfo messages", faults["images_lost"].text)
    assert "fastdds.xml" in faults["images_lost"].text
    for index in range(120, 240):
        for side in ("left", "right"):
            streams.calibration.received[side] += 1
            streams.send(side, 100 * index)
        streams.handled += 1
        faults = streams.check(0.1)
    assert not faults


@pytest.mark.parametrize("stamp_ms", [0, 5000])
def test_images_that_repeat_one_stamp_are_named_as_that(streams: Streams, stamp_ms: int) -> None:
    for _ in range(10):
        for side in ("left", "right"):
            streams.send(side, stamp_ms)
        streams.check(0.5)
    text = streams.check()["unsynchronised"].text
    assert f"all images have the stamp {stamp_ms / 1000:.3f} s" in text and "Trigger" not in text


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_side_that_repeats_a_stamp_is_named(streams: Streams, side: str) -> None:
    for index in range(60):
        for other in ("left", "right"):
            streams.send(other, 5000 if other == side else 5000 + 100 * index)
        faults = streams.check(0.1)
    text = faults["unsynchronised"].text
    assert f"all images of /{side}/image_rect have the stamp 5.000 s" in text and "transport" not in text
