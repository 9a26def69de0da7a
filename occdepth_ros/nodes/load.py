"""Performance figures of a live system: jitter of a stream, load of the processors. Does not import ROS."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

STAT = Path("/proc/stat")
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def frame_jitter_ms(times_s: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the absolute change between successive intervals, `[N - 2]` ms, as ros2_benchmark defines jitter.

    Args:
        times_s: arrival times in increasing order, seconds.
    """
    return 1e3 * np.abs(np.diff(np.diff(np.asarray(times_s, np.float64))))


class CpuLoad:
    """Processor time of a process between two calls.

    Args:
        pid: process with all its threads; None = this process.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._before = (time.monotonic(), self._seconds())

    def percent(self) -> float:
        """Return the load since the last call, percent of one core; NaN if the process has ended."""
        now = (time.monotonic(), self._seconds())
        elapsed, used = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return 100 * used / elapsed if elapsed > 0 else float("nan")

    def _seconds(self) -> float:
        if self._pid is None:
            return time.process_time()
        try:
            text = Path(f"/proc/{self._pid}/stat").read_text()
        except OSError:
            return float("nan")
        # the fields after the command, which is in parentheses and may contain spaces, begin with the state (field 3)
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S


class OverallCpuLoad:
    """Load of all processors between two calls, from /proc/stat."""

    def __init__(self) -> None:
        self._before = self._ticks()

    def percent(self) -> float:
        """Return the busy share since the last call, percent of all cores; NaN without /proc or without progress."""
        busy, total = self._ticks()
        busy_before, total_before = self._before
        self._before = (busy, total)
        return 100 * (busy - busy_before) / (total - total_before) if total > total_before else float("nan")

    @staticmethod
    def _ticks() -> tuple[int, int]:
        try:
            ticks = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
            # user nice system idle iowait irq softirq steal
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
        except (OSError, ValueError, IndexError):
            return 0, 0
