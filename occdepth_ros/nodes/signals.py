"""Handling of SIGINT and SIGTERM in the processes of the nodes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_interrupting: list[signal.Signals] = []
"""Signals whose first arrival raises KeyboardInterrupt."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)


def ignore_interrupts() -> None:
    """Let no signal interrupt the clean-up of a process that ended by itself, see `interrupted_once`."""
    _interrupting.clear()


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Decorate the `main` of a process so that only the first SIGINT or SIGTERM raises KeyboardInterrupt.

    One Ctrl-C can arrive twice, from the terminal and from ``ros2 launch``. The second one would interrupt
    the clean-up, and the process would abort because threads of the middleware still run.
    """
    # a signal that is already ignored stays ignored, such as Ctrl-C in background jobs of a shell
    handled = [number for number in SIGNALS if signal.getsignal(number) in DEFAULTS]
    if threading.current_thread() is not threading.main_thread() or not handled:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if _interrupting:
            _interrupting.clear()
            raise KeyboardInterrupt

    _interrupting[:] = handled
    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        # ignored until the process ends, because the interpreter restores the default action when it exits
        for number in handled:
            signal.signal(number, signal.SIG_IGN)
