"""Diagnostic tasks, which fill a status at every update."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus

from diagnostic_updater._status import DiagnosticStatusWrapper

TaskFunction = Callable[[DiagnosticStatusWrapper], DiagnosticStatusWrapper]


class DiagnosticTask:
    """Base class of tasks with a name and a method that fills a status."""

    def __init__(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        """Return the name."""
        return self.name

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Fill ``stat`` and return it."""
        raise NotImplementedError


class FunctionDiagnosticTask(DiagnosticTask):
    """Task that calls a function to fill the status."""

    def __init__(self, name: str, fn: TaskFunction) -> None:
        super().__init__(name)
        self.fn = fn

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Call the function with ``stat`` and return its result."""
        return self.fn(stat)


class CompositeDiagnosticTask(DiagnosticTask):
    """Task that runs several tasks on one status, concatenates their values and merges their summaries."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.tasks: list[DiagnosticTask] = []

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Run all tasks on ``stat``, each from the same summary, and merge their summaries."""
        original, combined = DiagnosticStatusWrapper(), DiagnosticStatusWrapper()
        original.summary(stat)
        for task in self.tasks:
            stat.summary(original)
            stat = task.run(stat)
            combined.mergeSummary(stat)
        stat.summary(combined)
        return stat

    def addTask(self, t: DiagnosticTask) -> None:
        """Add a task."""
        self.tasks.append(t)


class Heartbeat(DiagnosticTask):
    """Task that always reports OK."""

    def __init__(self) -> None:
        super().__init__("Heartbeat")

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        """Set the summary to OK."""
        stat.summary(DiagnosticStatus.OK, "Alive")
        return stat
