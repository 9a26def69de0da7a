"""Sets of messages with one and the same stamp."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from rclpy.time import Time

from message_filters._simple import SimpleFilter

Queue = dict[int, Any]
"""The waiting messages of one input by their stamp in nanoseconds."""


class TimeSynchronizer(SimpleFilter):
    """Calls back with one message per input as soon as all inputs hold a message of exactly the same stamp.

    Each input keeps at most ``queue_size`` messages that wait; beyond that the one with the oldest stamp goes, even
    when that is the message that just came. A second message of the same stamp takes the place of the first.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take the outputs of the filters ``fs`` as inputs; the order is that of the callback's arguments."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take ``msg`` of one input, then hand on every complete set, oldest first."""
        with self.lock:
            self._put(Time.from_msg(msg.header.stamp).nanoseconds, msg, my_queue)
            complete = set(self.queues[0]).intersection(*self.queues[1:])
            for stamp in sorted(complete):
                self._hand_on([stamp] * len(self.queues))

    def _put(self, stamp: int, msg: Any, queue: Queue) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _hand_on(self, stamps: Sequence[int]) -> None:
        """Signal the messages of these stamps, one per input, and forget them."""
        self.signalMessage(*(queue[stamp] for queue, stamp in zip(self.queues, stamps, strict=True)))
        for queue, stamp in zip(self.queues, stamps, strict=True):
            del queue[stamp]
