"""The slot of one and its thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from occdepth_ros.nodes.stereo_occ.worker import NewestSlot, TwoStageWorker, Worker


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
        release.wait(60.0)

    worker = Worker(work, lambda: None, lambda error: None, idle_period=0.01)
    worker.start()
    try:
        worker.slot.put(0)
        assert begun.wait(60.0)
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


class Stages:
    """A two-stage worker of numbers whose second stage can be held, before or after it lets the next item begin."""

    def __init__(self, *, overlapping: bool = True, early: bool = False) -> None:
        self.early = early
        self.begun: list[int] = []
        self.finished: list[int] = []
        self.errors: list[str] = []
        self.free = threading.Event()
        self.worker = TwoStageWorker(
            self.begin,
            self.finish,
            lambda: None,
            lambda: None,
            lambda error: self.errors.append(f"begin {error}"),
            lambda error: self.errors.append(f"finish {error}"),
            idle_period=0.01,
            overlapping=overlapping,
        )

    def begin(self, item: int) -> int:
        if item == 13:
            raise ValueError(item)
        self.begun.append(item)
        return item

    def finish(self, item: int, proceed: Callable[[], None]) -> None:
        if self.early:
            proceed()
        assert self.free.wait(60.0)
        self.finished.append(item)
        if item == 7:
            raise ValueError(item)


def test_the_next_item_begins_while_the_one_before_is_finished_and_the_newest_one_wins() -> None:
    stages = Stages()
    stages.worker.start()
    try:
        for item in (0, 1):
            stages.worker.slot.put(item)
            _until(lambda: len(stages.begun) > item)  # noqa: B023
        for item in range(2, 6):
            stages.worker.slot.put(item)
        time.sleep(0.05)
        assert stages.begun == [0, 1] and not stages.finished  # one is being finished, one waits for it
        stages.free.set()
        _until(lambda: len(stages.finished) == 3)
    finally:
        stages.free.set()
        stages.worker.stop()
    assert stages.finished == stages.begun == [0, 1, 5] and stages.worker.slot.dropped == 3


@pytest.mark.parametrize("overlapping", [True, False])
def test_an_item_does_not_begin_long_before_the_one_before_is_finished(overlapping: bool) -> None:
    stages = Stages(overlapping=overlapping)
    stages.worker._finish_s = 1e6
    stages.worker.start()
    try:
        stages.worker.slot.put(0)
        _until(lambda: bool(stages.begun))
        for item in (1, 2):
            stages.worker.slot.put(item)
        time.sleep(0.05)
        assert stages.begun == [0]
        stages.free.set()
        _until(lambda: stages.finished == [0, 2])
    finally:
        stages.free.set()
        stages.worker.stop()
    assert stages.worker._finish_s < 1e6 and stages.worker.slot.dropped == 1


def test_an_item_begins_when_the_one_before_lets_it_and_is_finished_after_it() -> None:
    stages = Stages(overlapping=False, early=True)
    stages.worker.start()
    try:
        for item in (0, 1):
            stages.worker.slot.put(item)
            _until(lambda: len(stages.begun) > item)  # noqa: B023
        stages.worker.slot.put(2)
        time.sleep(0.05)
        assert stages.begun == [0, 1] and not stages.finished  # the second one waits for the first one
        stages.free.set()
        _until(lambda: stages.finished == [0, 1, 2])
    finally:
        stages.free.set()
        stages.worker.stop()


def test_a_stop_finishes_every_item_that_was_begun() -> None:
    stages = Stages()
    stages.worker.start()
    for item in (0, 1):
        stages.worker.slot.put(item)
        _until(lambda: len(stages.begun) > item)  # noqa: B023
    stages.worker.slot.put(2)
    stopping = threading.Thread(target=stages.worker.stop)
    stopping.start()
    stages.free.set()
    stopping.join(60.0)
    assert not stopping.is_alive()
    assert stages.finished == stages.begun and set(stages.begun) >= {0, 1}
    stages.worker.stop()


def test_errors_of_both_stages_are_told_apart_and_the_threads_continue() -> None:
    stages = Stages()
    stages.free.set()
    stages.worker.start()
    try:
        for item in (13, 7, 8):
            stages.worker.slot.put(item)
            _until(lambda: 13 in (item, *stages.begun) or item in stages.finished)  # noqa: B023
            _until(lambda: len(stages.errors) + stages.finished.count(8) >= {13: 1, 7: 2, 8: 3}[item])  # noqa: B023
    finally:
        stages.worker.stop()
    assert stages.errors == ["begin 13", "finish 7"] and stages.finished == [7, 8]


def _until(condition: object, timeout: float = 60.0) -> None:
    assert callable(condition)
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def test_a_worker_whose_start_was_interrupted_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    worker: Worker[int] = Worker(lambda item: None, lambda: None, lambda error: None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        worker.start()
    worker.stop()
    worker.start()
    worker.stop()
