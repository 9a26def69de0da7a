"""Diagnostic task for the frequency of an event."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType

from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import DiagnosticTask


class FrequencyStatusParam:
    """Bounds in Hz (a mapping with ``min`` and optionally ``max``), relative tolerance, and window size in updates."""

    def __init__(self, freq_bound: Mapping[str, float], tolerance: float = 0.1, window_size: int = 5) -> None:
        self.freq_bound = freq_bound
        self.tolerance = tolerance
        self.window_size = window_size


class FrequencyStatus(DiagnosticTask):
    """Task that compares the frequency of ``tick`` calls over a window of updates with bounds."""

    def __init__(self, params: FrequencyStatusParam, name: str = "FrequencyStatus") -> None:
        super().__init__(name)
        self.params = params
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Reset the event counts."""
        with self.lock:
            self.count = 0
            self._updates = deque([(_now(), 0)] * self.params.window_size)

    def tick(self) -> None:
        """Count one event."""
        with self.lock:
            self.count += 1

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Fill ``stat`` with the frequency since the oldest update of the window, and remove that update."""
        with self.lock:
            now, count = _now(), self.count
            oldest, count_then = self._updates.popleft()
            self._updates.append((now, count))
        events = count - count_then
        window = (now - oldest) * 1e-9
        frequency = events / window if window > 0 else 0.0
        lowest = self.params.freq_bound["min"]
        highest = self.params.freq_bound.get("max")
        low = lowest * (1 - self.params.tolerance)
        high = None if highest is None else highest * (1 + self.params.tolerance)

        if events == 0:
            stat.summary(DiagnosticStatus.ERROR, "No events recorded.")
        elif frequency < low:
            stat.summary(DiagnosticStatus.WARN, "Frequency too low.")
        elif high is not None and frequency > high:
            stat.summary(DiagnosticStatus.WARN, "Frequency too high.")
        else:
            stat.summary(DiagnosticStatus.OK, "Desired frequency met")

        stat.add("Events in window", f"{events}")
        stat.add("Events since startup", f"{count}")
        stat.add("Duration of window (s)", f"{window:f}")
        stat.add("Actual frequency (Hz)", f"{frequency:f}")
        if highest == lowest:
            stat.add("Target frequency (Hz)", f"{lowest:f}")
        if lowest > 0:
            stat.add("Minimum acceptable frequency (Hz)", f"{low:f}")
        if high is not None:
            stat.add("Maximum acceptable frequency (Hz)", f"{high:f}")
        return stat


def _now() -> int:
    return int(Clock(clock_type=ClockType.ROS_TIME).now().nanoseconds)
