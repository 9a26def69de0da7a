"""Schedule of a replay: order, stamps and publishing times of the recorded pairs. Does not import ROS."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from occdepth_ros.errors import SourceError
from occdepth_ros.nodes.replay.parameters import ReplaySettings

T = TypeVar("T")

READ_AHEAD = 3
"""Number of pairs that are read in advance; limits the memory of a replay."""


def frame_order(length: int, settings: ReplaySettings) -> Iterator[int]:
    """Return the frame indices in the order of publishing, without end if `loop` is set.

    Raises:
        SourceError: `start` is beyond the last frame.
    """
    if settings.start >= length:
        raise SourceError(
            f"the sequence has {length} frames, and start is {settings.start}",
            where="start",
            remedy=f"Give 0 to {length - 1}.",
        )
    frames = range(settings.start, length)
    lap = list(itertools.islice(itertools.cycle(frames), settings.count)) if settings.count else frames
    return itertools.cycle(lap) if settings.loop else iter(lap)


def read_ahead(items: Iterable[int], read: Callable[[int], T]) -> Iterator[T]:
    """Yield the results of `read` in order; threads read up to `READ_AHEAD` items in advance.

    Raises:
        Exception: raised by `read`, at the position of its item.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(2, thread_name_prefix="read_ahead") as pool:
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) > READ_AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class Timeline:
    """Stamps that continue to increase when the recording is repeated.

    Args:
        period_ns: time between the last frame of a lap and the first of the next, nanoseconds.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._shift_ns = 0
        self._last_ns: int | None = None

    def stamp(self, recorded_ns: int) -> int:
        """Return the recorded stamp (ns), shifted so that it is later than the previous one."""
        stamp = recorded_ns + self._shift_ns
        if self._last_ns is not None and stamp <= self._last_ns:
            self._shift_ns += self._last_ns + self._period_ns - stamp
            stamp = self._last_ns + self._period_ns
        self._last_ns = stamp
        return stamp


class Pace:
    """Maps recorded stamps to the steady clock, scaled by a rate.

    A late pair delays all later pairs, so that a slow disk lowers the rate and causes no bursts.

    Args:
        rate: recorded seconds per second; 0 does not wait.
        now: returns the time of the steady clock, seconds.
    """

    TOLERANCE_S = 0.02

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._anchor: tuple[float, int] | None = None
        self.late = 0

    def due(self, stamp_ns: int) -> float:
        """Return the publishing time of the pair with this stamp, on the steady clock, seconds."""
        now = self._now()
        if self._anchor is None or self._rate == 0:
            self._anchor = (now, stamp_ns)
            return now
        due = self._anchor[0] + (stamp_ns - self._anchor[1]) * 1e-9 / self._rate
        if now > due + self.TOLERANCE_S:
            self.late += 1
            self._anchor = (now, stamp_ns)
            return now
        return due

    def stamp_at(self, moment: float) -> int | None:
        """Return the recorded time (ns) at a time of the steady clock (s); None before the first pair or at rate 0."""
        if self._anchor is None or self._rate == 0:
            return None
        return self._anchor[1] + int((moment - self._anchor[0]) * self._rate * 1e9)
