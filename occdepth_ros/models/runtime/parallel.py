"""Threads that divide work into larger parts than single torch operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Lock
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


class Workers:
    """Threads with their own number of torch threads, one by default.

    Torch divides every operation among its threads and waits for all of them. For a sequence of short operations it is
    faster to divide the data once; a thread that is preempted then delays only its own part.

    Args:
        count: number of threads; None = torch's number in the calling thread; 0 = the calling thread itself.
        torch_threads: threads among which each of them divides torch's operations.
    """

    def __init__(self, count: int | None = None, torch_threads: int = 1) -> None:
        available = torch.get_num_threads()
        self.count = available if count is None else count
        # on a single core everything runs in the calling thread
        self._pool = _pool(self.count, torch_threads) if self.count and available > 1 else None

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function in one of the threads, in inference mode."""
        if self._pool is not None:
            return self._pool.submit(torch.inference_mode()(function), *args, **kwargs)
        future: Future[R] = Future()
        future.set_result(function(*args, **kwargs))
        return future

    def each(self, function: Callable[[slice], object], total: int, size: int) -> None:
        """Call a function with consecutive slices of `range(total)` of at most `size`, in all threads at once."""
        parts = iter([slice(start, min(start + size, total)) for start in range(0, total, size)])
        lock = Lock()
        runs = [self.submit(_run, function, parts, lock) for _ in range(max(1, self.count))]
        for run in runs:
            run.result()


def _pool(count: int, torch_threads: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "occupancy", _use, (torch_threads,))
    started = Barrier(count + 1)
    for _ in range(count):
        pool.submit(started.wait)
    started.wait()
    # torch's number belongs to the calling thread and is inherited by new threads
    torch.set_num_threads(before)
    return pool


def _use(torch_threads: int) -> None:
    torch.get_num_threads()  # a thread reads the common number at its first use
    torch.set_num_threads(torch_threads)


def _run(function: Callable[[slice], object], parts: Iterator[slice], lock: Lock) -> None:
    while True:
        with lock:
            part = next(parts, None)
        if part is None:
            return
        function(part)
