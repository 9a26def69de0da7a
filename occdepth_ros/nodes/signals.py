"""Handling of SIGINT in the processes of the nodes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Decorate the `main` of a process so that only the first Ctrl-C raises KeyboardInterrupt.

    One Ctrl-C can arrive twice, from the terminal and from ``ros2 launch``. The second one would interrupt
    the clean-up, and the process would abort because threads of the middleware still run.
    """
    # Ctrl-C that is ignored already stays ignored, as in background jobs of a shell.
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
        # Ignored until the process ends, because the interpreter restores the default action when it exits.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
