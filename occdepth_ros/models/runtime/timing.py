"""Durations of the stages of one inference, on the CPU and on CUDA devices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch


class StageClock:
    """Measures the duration of consecutive stages.

    On a CUDA device, events are recorded in its stream, so that the host does not wait between stages.
    """

    cpu_time: ClassVar[bool] = False
    """Whether stages on a CPU are timed by CPU time of the process instead of wall clock."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._names: list[str | None] = []
        self._marks: list[float | torch.cuda.Event] = []
        self._mark()

    def _mark(self) -> None:
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.process_time() if self.cpu_time else time.perf_counter())

    def lap(self, name: str) -> None:
        """End the stage that began at the last lap, or at the creation of the clock."""
        self._names.append(name)
        self._mark()

    def resume(self) -> None:
        """Exclude the time since the last lap, in which the pair waited for its next stage."""
        self._names.append(None)
        self._mark()

    def milliseconds(self) -> dict[str, float]:
        """Return the duration of every stage; waits for the device."""
        if self._cuda:
            torch.cuda.synchronize()
        stages = zip(self._names, self._marks, self._marks[1:], strict=False)
        return {name: _between(a, b) for name, a, b in stages if name is not None}


@contextmanager
def counting_cpu_time() -> Iterator[None]:
    """Return a context manager in which clocks measure CPU time."""
    before, StageClock.cpu_time = StageClock.cpu_time, True
    try:
        yield
    finally:
        StageClock.cpu_time = before


def _between(start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
    if isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        return float(start.elapsed_time(end))
    assert isinstance(start, float) and isinstance(end, float)
    return 1e3 * (end - start)
