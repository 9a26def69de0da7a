"""Updater that runs all tasks and publishes their statuses."""

from __future__ import annotations

import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from diagnostic_updater._status import DiagnosticStatusWrapper
from diagnostic_updater._tasks import DiagnosticTask, FunctionDiagnosticTask


class DiagnosticTaskVector:
    """A list of tasks by name."""

    def __init__(self) -> None:
        self.tasks: list[DiagnosticTask] = []
        self.lock = threading.Lock()

    def addedTaskCallback(self, task: DiagnosticTask) -> None:
        """Hook for derived classes, called for every added task."""

    def add(self, *args: Any) -> None:
        """Add a task: ``add(task)`` or ``add(name, function)``."""
        if len(args) == 1:
            task = args[0]
            entry = FunctionDiagnosticTask(task.getName(), task.run)
        else:
            entry = FunctionDiagnosticTask(*args)
        with self.lock:
            self.tasks.append(entry)
            self.addedTaskCallback(entry)

    def removeByName(self, name: str) -> bool:
        """Remove the first task with this name. Return whether it exists."""
        with self.lock:
            for task in self.tasks:
                if task.name == name:
                    self.tasks.remove(task)
                    return True
        return False


class Updater(DiagnosticTaskVector):
    """Publisher of the status of all tasks on ``/diagnostics`` every ``period`` seconds, by a timer of the node.

    It declares the node's parameters ``diagnostic_updater.period`` and ``diagnostic_updater.use_fqn`` (whether names
    include the namespace).
    """

    def __init__(self, node: Node, period: float = 1.0) -> None:
        super().__init__()
        self.node = node
        self.publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._period = node.declare_parameter("diagnostic_updater.period", period).value
        self.timer = node.create_timer(self._period, self.update)
        self.verbose = False
        self.hwid = ""
        self.warn_nohwid_done = False
        name = "diagnostic_updater.use_fqn"
        known = node.has_parameter(name)
        use_fqn = node.get_parameter(name).value if known else node.declare_parameter(name, False).value
        self.node_name = "/".join([node.get_namespace(), node.get_name()]) if use_fqn else node.get_name()

    @property
    def period(self) -> float:
        """Time between updates, seconds."""
        return float(self._period)

    @period.setter
    def period(self, period: float) -> None:
        self._period = period
        self.node.destroy_timer(self.timer)
        self.timer = self.node.create_timer(period, self.update)

    def update(self) -> None:
        """Run all tasks and publish their statuses."""
        statuses = []
        with self.lock:
            for task in self.tasks:
                status = DiagnosticStatusWrapper(
                    level=DiagnosticStatus.ERROR, name=task.name, message="No message was set", hardware_id=self.hwid
                )
                status = task.run(status)
                statuses.append(status)
                if self.verbose and status.level != DiagnosticStatus.OK:
                    level = int.from_bytes(status.level, "little")
                    self.node.get_logger().warning(f"{status.name} has the level {level}: {status.message}")
        all_fine = all(status.level == DiagnosticStatus.OK for status in statuses)
        if not self.hwid and all_fine and not self.warn_nohwid_done:
            self.warn_nohwid_done = True
            self.node.get_logger().warning(
                "diagnostic_updater: no hardware id was set; setHardwareID('none') is for what has none"
            )
        self.publish(statuses)

    def force_update(self) -> None:
        """Update immediately, independent of the period."""
        self.update()

    def broadcast(self, lvl: bytes, msg: str) -> None:
        """Publish a level and a text as the status of every task."""
        statuses = []
        for task in self.tasks:
            status = DiagnosticStatusWrapper(name=task.name)
            status.summary(lvl, msg)
            statuses.append(status)
        self.publish(statuses)

    def setHardwareID(self, hwid: str) -> None:
        """Set the hardware id of all statuses."""
        self.hwid = hwid

    def publish(self, msg: DiagnosticStatus | list[DiagnosticStatus]) -> None:
        """Publish one or several statuses under the name of the node."""
        array = DiagnosticArray()
        array.header.stamp = self.node.get_clock().now().to_msg()
        for status in msg if isinstance(msg, list) else [msg]:
            array.status.append(
                DiagnosticStatus(
                    level=status.level,
                    name=f"{self.node_name}: {status.name}",
                    message=status.message,
                    hardware_id=status.hardware_id,
                    values=status.values,
                )
            )
        self.publisher.publish(array)

    def addedTaskCallback(self, task: DiagnosticTask) -> None:
        """Publish the initial status of an added task."""
        status = DiagnosticStatusWrapper(name=task.name)
        status.summary(DiagnosticStatus.OK, "Node starting up")
        self.publish(status)
