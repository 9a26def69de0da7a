"""Stand-in for the ROS 2 package ``diagnostic_updater`` (Jazzy): a node's health on ``/diagnostics``.

Written for machines whose ROS 2 comes from PyPI, which carries no ``diagnostic_updater``; where the real package is
installed it is used and this one is not. Names, signatures, levels, texts and keys are the real package's.
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
