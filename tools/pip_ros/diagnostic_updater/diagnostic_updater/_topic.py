"""Diagnostic tasks for the frequency and the stamps of a topic."""

from __future__ import annotations

from typing import Any

from rclpy.time import Time

from diagnostic_updater._frequency import FrequencyStatus, FrequencyStatusParam
from diagnostic_updater._tasks import CompositeDiagnosticTask
from diagnostic_updater._time_stamp import TimeStampStatus, TimeStampStatusParam
from diagnostic_updater._updater import Updater


class HeaderlessTopicDiagnostic(CompositeDiagnosticTask):
    """Task for the frequency of a topic, which adds itself to the updater ``diag``."""

    def __init__(self, name: str, diag: Updater, freq: FrequencyStatusParam) -> None:
        super().__init__(f"{name} topic status")
        self.diag = diag
        self.freq = FrequencyStatus(freq)
        self.addTask(self.freq)
        self.diag.add(self)

    def tick(self, *stamp: Any) -> None:
        """Count one message."""
        self.freq.tick()

    def clear_window(self) -> None:
        """Reset the message counts."""
        self.freq.clear()


class TopicDiagnostic(HeaderlessTopicDiagnostic):
    """Task for the frequency of a topic and the stamps of its messages."""

    def __init__(self, name: str, diag: Updater, freq: FrequencyStatusParam, stamp: TimeStampStatusParam) -> None:
        super().__init__(name, diag, freq)
        self.stamp = TimeStampStatus(stamp)
        self.addTask(self.stamp)

    def tick(self, *stamp: Any) -> None:
        """Count one message and record its stamp."""
        self.stamp.tick(*stamp)
        super().tick()


class DiagnosedPublisher(TopicDiagnostic):
    """Publisher with diagnostics of its messages, which must have a header."""

    def __init__(self, pub: Any, diag: Updater, freq: FrequencyStatusParam, stamp: TimeStampStatusParam) -> None:
        super().__init__(pub.topic_name, diag, freq, stamp)
        self.publisher = pub

    def publish(self, message: Any) -> None:
        """Count the message and publish it."""
        self.tick(Time.from_msg(message.header.stamp))
        self.publisher.publish(message)
