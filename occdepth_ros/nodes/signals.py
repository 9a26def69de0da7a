"""Ending a node's process."""

from __future__ import annotations

import signal
import threading


def ignore_interrupts() -> None:
    """Let no further Ctrl-C or terminate signal cut the clean-up of a process that is ending short.

    One Ctrl-C can arrive twice, from the terminal and from ``ros2 launch``; an interrupted clean-up leaves the
    middleware's threads running, and the process aborts.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
