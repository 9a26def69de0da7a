"""Memory and CPU time of a process over hours, and the growth of its memory with the uncertainty of the measurement."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.result import resident_bytes

INTERVAL_S = (0.02, 0.08)
"""Limits of the random time between two samples. A node that allocates and frees tens of megabytes for each pair must
not be sampled in step with its pairs: at a fixed interval, the phase drifts and looks like growth or decline."""
BLOCKS = 30
"""Blocks of a run; their medians are nearly independent, which single samples are not."""
WARM_UP = 0.2
"""Share of the run that is left out at its start."""


class Sampler(threading.Thread):
    """Samples a process until `end`.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.moments: list[float] = []
        """Times of the samples, `time.monotonic`, seconds."""
        self.memory: list[float] = []
        """Resident memory, bytes."""
        self.cpu: list[float] = []
        """CPU time of the process since its start, seconds."""

    def run(self) -> None:
        """Sample until the process or the measurement ends."""
        rng = random.Random(0)
        while not self._ended.wait(rng.uniform(*INTERVAL_S)):
            try:
                memory, cpu = resident_bytes(self._pid), cpu_seconds(self._pid)
            except OSError:
                return
            self.moments.append(time.monotonic())
            self.memory.append(memory)
            self.cpu.append(cpu)

    def end(self) -> None:
        """End the measurement; one that has not begun does not begin."""
        self._ended.set()
        if self.is_alive():
            self.join()

    def cpu_between(self, start: float, end: float) -> float:
        """Return the CPU time that was used between two times, seconds; NaN without samples there."""
        inside = [cpu for at, cpu in zip(self.moments, self.cpu, strict=True) if start <= at < end]
        return inside[-1] - inside[0] if inside else math.nan


@dataclass(frozen=True)
class Growth:
    """Growth of the resident memory after the warm-up: slopes of regression lines, bytes per second.

    Memory that is never released raises all of them. Buffers that come and go with each pair scatter the mean and the
    highest values, while the median stays at the level between two pairs.

    Attributes:
        median: through the medians of the blocks.
        error: standard error of `median`.
        mean: through the means of the blocks.
        mean_error: standard error of `mean`.
        lowest: through the lowest values of the blocks.
        highest: through the highest values of the blocks.
    """

    median: float
    error: float
    mean: float
    mean_error: float
    lowest: float
    highest: float

    @property
    def bound(self) -> float:
        """Slope that is not exceeded with about 97 % probability, bytes per second: the median and twice its error."""
        return self.median + 2 * self.error


def measure_growth(moments: Sequence[float], memory: Sequence[float]) -> Growth | None:
    """Return the growth; None if a block after the warm-up has no sample.

    Args:
        moments: times of the samples, seconds, increasing.
        memory: resident memory, bytes.
    """
    if len(moments) < 2:
        return None
    at, values = np.asarray(moments, np.float64), np.asarray(memory, np.float64)
    edges = np.linspace(at[0] + WARM_UP * (at[-1] - at[0]), at[-1], BLOCKS + 1)
    block = np.searchsorted(edges, at, side="right") - 1
    block[at == at[-1]] = BLOCKS - 1
    inside = [values[block == index] for index in range(BLOCKS)]
    if not all(len(part) for part in inside):
        return None
    centres = (edges[:-1] + edges[1:]) / 2
    centres -= centres.mean()

    def slope(reduce: Callable[[np.ndarray[Any, Any]], Any]) -> tuple[float, float]:
        """Return the slope through one value of each block, and its standard error."""
        reduced = np.array([float(reduce(part)) for part in inside])
        found = float(centres @ reduced / (centres @ centres))
        residual = reduced - reduced.mean() - found * centres
        return found, math.sqrt(float(residual @ residual) / (BLOCKS - 2) / float(centres @ centres))

    return Growth(*slope(np.median), *slope(np.mean), slope(np.min)[0], slope(np.max)[0])


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its threads since its start, seconds.

    Raises:
        OSError: the process has ended.
    """
    # the name, which may contain blanks, is in parentheses
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
