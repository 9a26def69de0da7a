"""A worker thread that processes the newest item; it uses a slot for one item instead of a queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestSlot(Generic[T]):
    """Stores at most one item; items that are replaced or cleared are counted as dropped."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        """Store an item; an unprocessed older item is dropped."""
        with self._condition:
            if self._item is not None:
                self.dropped += 1
            self._item = item
            self._condition.notify()

    def take(self, timeout: float) -> T | None:
        """Wait up to `timeout` seconds for an item and remove it; None after a timeout."""
        with self._condition:
            if self._item is None:
                self._condition.wait(timeout)
            item, self._item = self._item, None
            return item

    def clear(self) -> None:
        """Drop the waiting item."""
        with self._condition:
            if self._item is not None:
                self.dropped += 1
            self._item = None

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
    """

    def __init__(
        self,
        work: Callable[[T], None],
        idle: Callable[[], None],
        failed: Callable[[Exception], None],
        *,
        idle_period: float = 0.1,
    ) -> None:
        self.slot: NewestSlot[T] = NewestSlot()
        self._work = work
        self._idle = idle
        self._failed = failed
        self._idle_period = idle_period
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread with an empty slot and counters at zero."""
        self.slot.clear()
        self.slot.dropped = 0
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="stereo_occ worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the current item, drop the waiting one, and end the thread; may be called repeatedly."""
        self._stop.set()
        self.slot.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.slot.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            item = self.slot.take(self._idle_period)
            try:
                if item is not None and not self._stop.is_set():
                    self._work(item)
                self._idle()
            except Exception as error:  # an error in one pair must not end the thread
                self._failed(error)
