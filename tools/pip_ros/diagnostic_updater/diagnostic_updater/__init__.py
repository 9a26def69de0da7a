"""Replacement for the ROS 2 package ``diagnostic_updater`` (Jazzy), which publishes diagnostics on ``/diagnostics``.

It is for ROS 2 installations from PyPI, which do not include ``diagnostic_updater``. If the original package is
installed, it is used instead. Names, signatures, levels, texts and keys are those of the original package.
"""

from diagnostic_updater._frequency import FrequencyStatus, FrequencyStatusParam
from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import CompositeDiagnosticTask, DiagnosticTask, FunctionDiagnosticTask, Heartbeat
from diagnostic_updater._time_stamp import TimeStampStatus, TimeStampStatusParam
from diagnostic_updater._topic import DiagnosedPublisher, HeaderlessTopicDiagnostic, TopicDiagnostic
from diagnostic_updater._updater import DiagnosticTaskVector, Updater

__all__ = [
    "CompositeDiagnosticTask",
    "DiagnosedPublisher",
    "DiagnosticStatusWrapper",
    "DiagnosticTask",
    "DiagnosticTaskVector",
    "FrequencyStatus",
    "FrequencyStatusParam",
    "FunctionDiagnosticTask",
    "HeaderlessTopicDiagnostic",
    "Heartbeat",
    "TimeStampStatus",
    "TimeStampStatusParam",
    "TopicDiagnostic",
    "Updater",
]
