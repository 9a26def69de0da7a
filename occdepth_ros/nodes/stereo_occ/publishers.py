"""The output topics: each is encoded only if it has subscribers, and has a switch and a maximum rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np
from rclpy.lifecycle import LifecyclePublisher

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.qos import LATCHED, fresh
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS, OutputSpec, Result
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.prediction import OccupancyPrediction, Visibility


class RateLimit:
    """Limits the rate of events, with a tolerance of a fifth of the period for jitter."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self, rate: float, now: float) -> bool:
        """Return whether an event is allowed at `now` (seconds); `rate` in Hz, 0 = unlimited."""
        return rate <= 0 or now >= self._next - 0.2 / rate

    def passed(self, rate: float, now: float) -> None:
        """Record an event at `now`, seconds."""
        if rate > 0:
            self._next = max(self._next + 1 / rate, now + 0.8 / rate)


class Output:
    """One topic with its publisher and its counters."""

    def __init__(self, spec: OutputSpec, publisher: LifecyclePublisher) -> None:
        self.spec = spec
        self.publisher = publisher
        self.count = 0
        self.size = 0
        self._limit = RateLimit()
        self._published: object = None

    def is_due(self, settings: Settings) -> bool:
        """Return whether the topic is enabled, has a subscriber, and may be published at this time."""
        return (
            self.spec.is_enabled(settings)
            and self.publisher.get_subscription_count() > 0
            and self._limit.is_due(self.spec.rate(settings), time.monotonic())
        )

    def encode(self, result: Result, settings: Settings) -> bytes | None:
        """Return the serialised message; None if the topic is not due or up to date.

        Raises:
            Exception: raised by the encoder.
        """
        content = result.prediction.classes if self.spec.is_constant else result.prediction
        if self._published is content or not self.is_due(settings):
            return None
        self._limit.passed(self.spec.rate(settings), time.monotonic())
        self._published = content
        return self.spec.encode(result, settings)

    def retry(self) -> None:
        """Count the newest content as not published, after a failure."""
        self._published = None

    def publish(self, message: bytes) -> None:
        """Publish a serialised message."""
        self.publisher.publish(message)
        self.count += 1
        self.size = len(message)


class OutputSet:
    """All output topics; keeps the newest result for late subscribers.

    Args:
        create: creates a lifecycle publisher from type, topic and quality of service.
        failed: called with the topic and the exception of its encoder or publisher; the other topics are still
            published.
        specs: the topics.
    """

    def __init__(
        self,
        create: Callable[..., LifecyclePublisher],
        failed: Callable[[str, Exception], None],
        specs: Iterable[OutputSpec] = OUTPUTS,
    ) -> None:
        self.outputs = [Output(spec, create(spec.message, f"~/{spec.name}", fresh(spec.qos))) for spec in specs]
        self._failed = failed
        self.latest: Result | None = None

    def warm_up(self, settings: Settings, rig: StereoRig) -> None:
        """Encode a small prediction for all enabled topics, so that their loops are compiled before the first pair."""
        labels = np.zeros((8, 8, 8), np.uint8)
        labels[2:4, 2:4, 2] = 1
        grid = VoxelGrid((0.0, -0.8, -0.8), (8, 8, 8), 0.2, settings.grid_frame)
        filled = np.full_like(labels, 255)
        depth = np.ones((rig.left.height, rig.left.width), np.float32)
        prediction = OccupancyPrediction(grid, labels, filled, np.full_like(labels, Visibility.SEEN), depth)
        for output in self.outputs:
            if output.spec.is_enabled(settings):
                with suppress(Exception):  # reported when a pair is encoded
                    output.spec.encode(Result(prediction, "camera", rig), settings)

    def publish(self, result: Result, settings: Settings) -> float:
        """Encode and publish all topics that are due; returns the time of encoding, milliseconds."""
        self.latest = result
        return self._publish(self.outputs, settings)

    def serve_late(self, settings: Settings) -> None:
        """Publish the newest result on latched topics on which it has not been published.

        A subscriber may have connected after the result, or the rate limit may have delayed it.
        """
        if self.latest is not None:
            self._publish((o for o in self.outputs if o.spec.qos is LATCHED), settings)

    def has_subscribers(self, settings: Settings) -> bool:
        """Return whether at least one topic is enabled and has a subscriber."""
        return any(o.spec.is_enabled(settings) and o.publisher.get_subscription_count() > 0 for o in self.outputs)

    def is_due(self, settings: Settings) -> bool:
        """Return whether at least one topic may be published at this time."""
        return any(output.is_due(settings) for output in self.outputs)

    def clear(self) -> None:
        """Discard the newest result."""
        self.latest = None

    def _publish(self, outputs: Iterable[Output], settings: Settings) -> float:
        assert self.latest is not None
        encoding = 0.0
        for output in outputs:
            start = time.perf_counter()
            try:
                message = output.encode(self.latest, settings)
                encoded = time.perf_counter()
                if message is not None:
                    output.publish(message)
            except Exception as error:  # an error in one topic must not stop the others
                output.retry()
                self._failed(output.spec.name, error)
                continue
            encoding += encoded - start
        return 1e3 * encoding
