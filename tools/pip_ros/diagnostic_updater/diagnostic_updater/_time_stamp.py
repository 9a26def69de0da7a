"""Diagnostic task for the age of message stamps."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType

from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import DiagnosticTask


@dataclass
class TimeStampStatusParam:
    """Minimum and maximum acceptable age of a stamp in seconds. A negative age is a stamp in the future."""

    min_acceptable: float = -1
    max_acceptable: float = 5


class TimeStampStatus(DiagnosticTask):
    """Task that compares the stamps passed to ``tick`` with the ROS time. Every update resets the extremes."""

    def __init__(self, params: TimeStampStatusParam | None = None, name: str = "Timestamp Status") -> None:
        super().__init__(name)
        self.params = TimeStampStatusParam() if params is None else params
        self.lock = threading.Lock()
        self.early_count = self.late_count = self.zero_count = 0
        self._ages: tuple[float, float] | None = None
        self.zero_seen = False

    def tick(self, stamp: Any) -> None:
        """Record the stamp of one event: seconds as a float, or an ``rclpy.time.Time``."""
        seconds = stamp if isinstance(stamp, float) else stamp.nanoseconds * 1e-9
        with self.lock:
            if seconds == 0:
                self.zero_seen = True
                return
            age = Clock(clock_type=ClockType.ROS_TIME).now().nanoseconds * 1e-9 - seconds
            least, most = self._ages or (age, age)
            self._ages = min(least, age), max(most, age)

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Fill ``stat`` with the extreme ages since the last update and the error counts of all updates."""
        with self.lock:
            stat.summary(DiagnosticStatus.OK, "Timestamps are reasonable.")
            least, most = self._ages or (0.0, 0.0)
            if self._ages is None:
                stat.summary(DiagnosticStatus.WARN, "No data since last update.")
            else:
                if least < self.params.min_acceptable:
                    stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in future seen.")
                    self.early_count += 1
                if most > self.params.max_acceptable:
                    stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in past seen.")
                    self.late_count += 1
                if self.zero_seen:
                    stat.summary(DiagnosticStatus.ERROR, "Zero timestamp seen.")
                    self.zero_count += 1
            stat.add("Earliest timestamp delay:", f"{least:f}")
            stat.add("Latest timestamp delay:", f"{most:f}")
            stat.add("Earliest acceptable timestamp delay:", f"{self.params.min_acceptable:f}")
            stat.add("Latest acceptable timestamp delay:", f"{self.params.max_acceptable:f}")
            stat.add("Late diagnostic update count:", f"{self.late_count}")
            stat.add("Early diagnostic update count:", f"{self.early_count}")
            stat.add("Zero seen diagnostic update count:", f"{self.zero_count}")
            self._ages = None
            self.zero_seen = False
        return stat
