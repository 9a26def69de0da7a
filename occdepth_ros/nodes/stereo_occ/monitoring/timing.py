"""Processing times: debug topics as in Autoware nodes, and rate, percentiles and jitter for the diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import Float64

from occdepth_ros.nodes.load import frame_jitter_ms
from occdepth_ros.nodes.qos import RESULT

STAGES = ("sync", "preprocess", "inference", "postprocess", "publish", "total")
"""sync: from the arrival of the first image of a pair to the start of processing, and waiting between the two stages of
the worker; preprocess: decoding, rectification and calibration; inference: the model; postprocess: encoding of
messages; publish: calls of the publishers, and hand-over to the map; total: from the arrival of the first image to the
publication of the last message, the sum of the others."""


class TimingPublishers:
    """`~/debug/processing_time/<stage>_ms`, std_msgs/Float64 in milliseconds.

    Args:
        create: creates a publisher from type, topic and quality of service.
    """

    def __init__(self, create: Callable[..., LifecyclePublisher]) -> None:
        self.publishers = {stage: create(Float64, f"~/debug/processing_time/{stage}_ms", RESULT) for stage in STAGES}

    def publish(self, times_ms: Mapping[str, float]) -> None:
        """Publish the stages whose topics have subscribers."""
        for stage, publisher in self.publishers.items():
            if stage in times_ms and publisher.get_subscription_count():
                publisher.publish(Float64(data=float(times_ms[stage])))


class Statistics:
    """Rate and duration of the latest events, thread-safe.

    Args:
        window: maximum number of stored events.
        horizon: maximum age of an event, seconds.
    """

    def __init__(self, window: int = 200, horizon: float = 10.0) -> None:
        self._lock = threading.Lock()
        self._events: deque[tuple[float, float]] = deque(maxlen=window)
        self._horizon = horizon

    def add(self, value: float = 0.0) -> None:
        """Record an event at the current time."""
        with self._lock:
            self._events.append((time.monotonic(), value))

    def rate(self) -> float:
        """Return the rate of events over the horizon, Hz; 0 for fewer than two events."""
        times = [t for t, _ in self._recent()]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def jitter(self) -> tuple[float, float]:
        """Return mean and maximum change between successive intervals, ms; NaN for fewer than three events."""
        changes = frame_jitter_ms([t for t, _ in self._recent()])
        return (float(changes.mean()), float(changes.max())) if len(changes) else (math.nan, math.nan)

    def span(self) -> tuple[int, float]:
        """Return the number of events over the horizon and the time between the first and the last, seconds."""
        times = [t for t, _ in self._recent()]
        return len(times), times[-1] - times[0] if times else 0.0

    def clear(self) -> None:
        """Discard all events."""
        with self._lock:
            self._events.clear()

    def percentiles(self, *percents: float) -> list[float]:
        """Return percentiles of the values over the horizon; NaN without events."""
        values = [value for _, value in self._recent()]
        return np.percentile(values, percents).tolist() if values else [float("nan")] * len(percents)

    def _recent(self) -> list[tuple[float, float]]:
        oldest = time.monotonic() - self._horizon
        with self._lock:
            return [event for event in self._events if event[0] >= oldest]
