"""Ending a node's process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Around a process's `main`: only the first Ctrl-C raises KeyboardInterrupt.

    One Ctrl-C can arrive twice, from the terminal and from ``ros2 launch``. The second one would cut the clean-up
    short, and the process would abort on the middleware's running threads.
    """
    # Not where Ctrl-C is ignored already, as in the background jobs of a shell.
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not handled:
        yield
        return
    interrupted = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        # The interpreter's own end, which puts the default action back for handlers, is part of the clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
