"""The slot of one and its thread."""

from __future__ import annotations

import threading
import time

from occdepth_ros.nodes.stereo_occ.worker import NewestSlot, Worker


def test_a_newer_item_replaces_the_waiting_one_and_counts_it() -> None:
    slot: NewestSlot[int] = NewestSlot()
    for item in range(5):
        slot.put(item)
    assert slot.dropped == 4
    assert slot.take(0.0) == 4
    assert slot.take(0.0) is None
    slot.put(7)
    slot.clear()
    assert slot.take(0.0) is None and slot.dropped == 5


def test_a_slow_worker_takes_the_newest_and_never_an_older_one() -> None:
    seen: list[int] = []
    begun, release = threading.Event(), threading.Event()

    def work(item: int) -> None:
        seen.append(item)
        begun.set()
        release.wait(5.0)

    worker = Worker(work, lambda: None, lambda error: None, idle_period=0.01)
    worker.start()
    try:
        worker.slot.put(0)
        assert begun.wait(5.0)
        for item in range(1, 10):
            worker.slot.put(item)
        release.set()
        _until(lambda: len(seen) == 2)
    finally:
        worker.stop()
    assert seen == [0, 9] and worker.slot.dropped == 8


def test_exceptions_of_the_work_are_reported_and_the_thread_continues() -> None:
    errors: list[Exception] = []
    done: list[int] = []

    def work(item: int) -> None:
        if item == 0:
            raise ValueError("bad item")
        done.append(item)

    worker = Worker(work, lambda: None, errors.append, idle_period=0.01)
    worker.start()
    try:
        worker.slot.put(0)
        _until(lambda: bool(errors))
        worker.slot.put(1)
        _until(lambda: bool(done))
    finally:
        worker.stop()
    assert [str(error) for error in errors] == ["bad item"] and done == [1]


def test_idle_is_called_without_items_and_stopping_twice_is_fine() -> None:
    calls: list[float] = []
    worker: Worker[int] = Worker(lambda item: None, lambda: calls.append(0.0), lambda error: None, idle_period=0.01)
    worker.start()
    _until(lambda: len(calls) > 2)
    worker.stop()
    worker.stop()
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count
    worker.start()
    _until(lambda: len(calls) > count)
    worker.stop()


def _until(condition: object, timeout: float = 5.0) -> None:
    assert callable(condition)
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)
