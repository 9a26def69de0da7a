"""Writes present faults to the log of the node."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rclpy.impl.rcutils_logger import RcutilsLogger

from occdepth_ros.nodes.faults import Fault

LOG_PERIOD = 30.0
"""Period of the log messages of a present fault, seconds."""


class FaultLog:
    """Logs a fault when it appears, every `LOG_PERIOD` seconds while it is present, and when it is cleared.

    Args:
        logger: logger of the node.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._logged: dict[str, float] = {}
        self._reported: set[str] = set()

    def update(self, faults: Sequence[Fault]) -> bool:
        """Log the present faults; return whether the set of faults differs from that of the last call."""
        present = {fault.name: fault for fault in faults}
        for fault in present.values():
            self._log(fault)
        for name in self._reported - present.keys():
            self._logged.pop(name, None)
            self._logger.info(f"{name}: cleared")
        changed = self._reported != present.keys()
        self._reported = set(present)
        return changed

    def _log(self, fault: Fault) -> None:
        now = time.monotonic()
        if now - self._logged.get(fault.name, -LOG_PERIOD) < LOG_PERIOD:
            return
        self._logged[fault.name] = now
        # rclpy allows one severity per source line
        if fault.is_error:
            self._logger.error(f"{fault.name}: {fault.text}")
        else:
            self._logger.warning(f"{fault.name}: {fault.text}")
