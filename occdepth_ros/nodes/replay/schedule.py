"""When each recorded pair is due: order, stamps over the seams of a loop, pace. Does not import ROS."""

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
"""Pairs that are read before they are due; the memory of a replay is bounded by it."""


def frame_order(length: int, settings: ReplaySettings) -> Iterator[int]:
    """Frame indices in the order of publishing, endless with `loop`.

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
    """Results of `read` in order, each begun up to `READ_AHEAD` items early in threads; errors arrive in their turn."""
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
    """Stamps that go on where the recording begins anew.

    Args:
        period_ns: time between the last frame of a lap and the first of the next, nanoseconds.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._shift_ns = 0
        self._last_ns: int | None = None

    def stamp(self, recorded_ns: int) -> int:
        """The recorded stamp, shifted so that it is later than the one before."""
        stamp = recorded_ns + self._shift_ns
        if self._last_ns is not None and stamp <= self._last_ns:
            self._shift_ns += self._last_ns + self._period_ns - stamp
            stamp = self._last_ns + self._period_ns
        self._last_ns = stamp
        return stamp


class Pace:
    """Maps stamps to the machine's steady clock, at a speed.

    A pair that comes late moves all later ones, so that a slow disk lowers the rate instead of causing bursts.

    Args:
        rate: recorded seconds per second; 0 waits for nothing.
        now: the steady clock, seconds.
    """

    TOLERANCE_S = 0.02

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._anchor: tuple[float, int] | None = None
        self.late = 0

    def due(self, stamp_ns: int) -> float:
        """When the pair of this stamp is to be published, on the steady clock, seconds."""
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
        """Recorded time at a moment of the steady clock, nanoseconds; None before the first pair or without a pace."""
        if self._anchor is None or self._rate == 0:
            return None
        return self._anchor[1] + int((moment - self._anchor[0]) * self._rate * 1e9)
