"""Worker threads that process the newest item; a slot for one item takes the place of a queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from occdepth_ros.nodes.cores import core_count

T = TypeVar("T")
U = TypeVar("U")

HEAD_START = 1 / 3
"""Share of the mean time of `finish` that passes before the next item is begun: less makes the results older, more
leaves a thread idle if `begin` takes as long as `finish`."""
OVERLAPPING_CORES = 4
"""Number of cores from which items overlap by default. On two cores, which replay and listener share, overlapping pairs
raise the rate of the demo from 5.1 to 5.6 Hz, but also the latency: median 240 to 340 ms, 95 % 320 to 570 ms (two runs
each, AMD EPYC, 2026-11-30). With two hyperthreads of one core the rate stays the same and the median doubles."""
RECENT = 0.2
"""Weight of the latest item in that mean."""


class NewestSlot(Generic[T]):
    """Stores at most one item; items that are replaced or cleared are counted as dropped."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self.dropped = self.taken = 0
        self.taken_at = 0.0

    def put(self, item: T) -> None:
        """Store an item; an unprocessed older item is dropped."""
        with self._condition:
            if self._item is not None:
                self.dropped += 1
            self._item = item
            self._condition.notify_all()

    def take(self, timeout: float) -> T | None:
        """Wait up to `timeout` seconds for an item and remove it; None after a timeout."""
        with self._condition:
            if self._item is None:
                self._condition.wait(timeout)
            item, self._item = self._item, None
            if item is not None:
                self.taken += 1
                self.taken_at = time.monotonic()
            self._condition.notify_all()
            return item

    def wait_empty(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until no item waits; returns whether none does."""
        with self._condition:
            return self._condition.wait_for(lambda: self._item is None, timeout)

    def clear(self) -> None:
        """Drop the waiting item."""
        with self._condition:
            if self._item is not None:
                self.dropped += 1
            self._item = None
            self._condition.notify_all()

    def wake(self) -> None:
        """Make a waiting `take` return."""
        with self._condition:
            self._condition.notify_all()


class Worker(Generic[T]):
    """Calls `work(item)` with the newest item of a slot in a separate thread.

    Args:
        work: processes one item; its exceptions are passed to `failed`, and the thread continues.
        idle: called after each item, and after `idle_period` seconds without an item.
        failed: receives the exceptions of `work` and `idle`.
        idle_period: period of the calls of `idle`, seconds.
        ready: waits up to the given time, seconds, until the next item may be taken; returns whether it may.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        idle: Callable[[], None],
        failed: Callable[[Exception], None],
        *,
        idle_period: float = 0.1,
        ready: Callable[[float], bool] = lambda timeout: True,
    ) -> None:
        self.slot: NewestSlot[T] = NewestSlot()
        self._work = work
        self._idle = idle
        self._failed = failed
        self._idle_period = idle_period
        self._ready = ready
        self._stop = threading.Event()
        self._done = 0
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an item waits or is being processed."""
        return not self.slot.wait_empty(0.0) or self.slot.taken != self._done

    def start(self) -> None:
        """Start the thread with an empty slot and counters at zero."""
        self.slot.clear()
        self.slot.dropped = 0
        self.slot.taken = self._done = 0
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="stereo_occ worker", daemon=True)
        self._thread.start()

    def stop(self, *, finish_waiting: bool = False) -> None:
        """Finish the current item, drop the waiting one, and end the thread; may be called repeatedly.

        Args:
            finish_waiting: whether the waiting item is finished, too.
        """
        while finish_waiting and self._thread is not None and not self.slot.wait_empty(1.0):
            pass
        self._stop.set()
        self.slot.wake()
        if self._thread is not None:
            # a signal may have interrupted its start; it is a daemon and ends because `_stop` is set
            with suppress(RuntimeError):
                self._thread.join()
            self._thread = None
            self.slot.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            is_ready = self._ready(self._idle_period) and not self._stop.is_set()
            item = self.slot.take(self._idle_period) if is_ready else None
            try:
                if item is not None:
                    try:
                        self._work(item)
                    finally:
                        self._done += 1
                self._idle()
            except Exception as error:  # an error in one pair must not end the thread
                self._failed(error)


class TwoStageWorker(Generic[T, U]):
    """Begins the newest item in one thread while another thread finishes the item before.

    An item is taken from the slot when `finish` of the previous one calls `proceed` or returns; if items overlap,
    already when a third of the mean time of `finish` has passed since the previous one was taken there. At most one
    begun item waits, and items are finished in the order in which they were begun.

    Args:
        begin: begins one item; returns what `finish` takes, None where there is nothing to finish.
        finish: finishes an item; its second argument is `proceed`, which it calls when what remains needs little of the
            machine.
        idle: called by the first thread as by `Worker`; may also return something to finish.
        finish_idle: called by the second thread as by `Worker`.
        failed: receives the exceptions of `begin` and `idle`.
        finish_failed: receives the exceptions of `finish` and `finish_idle`.
        idle_period: period of the calls of `idle` and `finish_idle`, seconds.
        overlapping: whether an item is begun before the previous one is finished; None = with at least
            `OVERLAPPING_CORES` cores.
    """

    def __init__(
        self,
        begin: Callable[[T], U | None],
        finish: Callable[[U, Callable[[], None]], None],
        idle: Callable[[], U | None],
        finish_idle: Callable[[], None],
        failed: Callable[[Exception], None],
        finish_failed: Callable[[Exception], None],
        *,
        idle_period: float = 0.1,
        overlapping: bool | None = None,
    ) -> None:
        self._overlapping = core_count() >= OVERLAPPING_CORES if overlapping is None else overlapping
        self._finish = finish
        self._finish_s = 0.0
        self._proceeded = 0
        self._proceeding = threading.Event()
        self._second: Worker[U] = Worker(self._timed_finish, finish_idle, finish_failed, idle_period=idle_period)
        self._first: Worker[T] = Worker(
            lambda item: self._hand_over(begin(item)),
            lambda: self._hand_over(idle()),
            failed,
            idle_period=idle_period,
            ready=self._may_begin,
        )

    @property
    def slot(self) -> NewestSlot[T]:
        """The slot of items that were not begun."""
        return self._first.slot

    @property
    def is_busy(self) -> bool:
        """Whether an item waits, was begun or is being finished."""
        return self._first.is_busy or self._second.is_busy

    def start(self) -> None:
        """Start both threads with empty slots and counters at zero."""
        self._proceeded = 0
        self._second.start()
        self._first.start()

    def stop(self) -> None:
        """Finish the items that were begun, drop the waiting one, and end the threads; may be called repeatedly."""
        self._first.stop()
        self._second.stop(finish_waiting=True)

    def _may_begin(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the next item may begin; return whether it may.

        An item that began at once would wait for the previous one, and a newer item might have come meanwhile.
        """
        if not self._second.slot.wait_empty(timeout):
            return False
        self._proceeding.clear()
        if self._proceeded == self._second.slot.taken:
            return True
        if not self._overlapping:
            return self._proceeding.wait(min(timeout, 0.02))
        left = self._second.slot.taken_at + HEAD_START * self._finish_s - time.monotonic()
        return left <= 0 or self._proceeding.wait(min(left, timeout)) or left <= timeout

    def _timed_finish(self, item: U) -> None:
        started, number = time.monotonic(), self._second.slot.taken

        def proceed() -> None:
            self._proceeded = number
            self._proceeding.set()

        try:
            self._finish(item, proceed)
        finally:
            self._finish_s += RECENT * (time.monotonic() - started - self._finish_s)
            proceed()

    def _hand_over(self, begun: U | None) -> None:
        if begun is not None:
            # the idle call may come while the item before waits
            while not self._second.slot.wait_empty(1.0):
                pass
            self._second.slot.put(begun)
