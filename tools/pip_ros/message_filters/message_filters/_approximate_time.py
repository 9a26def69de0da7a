"""Sets of messages whose stamps lie close together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from message_filters._exact_time import Queue, TimeSynchronizer
from message_filters._simple import SimpleFilter


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Calls back with one message per input when their stamps differ by less than ``slop`` seconds.

    Every new message looks for partners among those that wait, nearest stamps first, and takes the first set that
    fits. ``allow_headerless`` stamps messages without a header with the ROS time of their arrival;
    ``sync_arrival_time`` does so for all messages.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        sync_arrival_time: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take ``msg`` of one input, then hand on the set that it completes, if there is one."""
        stamp = self._stamp_of(msg)
        if stamp is None:
            return
        with self.lock:
            self._put(stamp, msg, my_queue)
            candidates = [[stamp] if queue is my_queue else self._near(stamp, queue) for queue in self.queues]
            # An overflow may have dropped the new message itself; then it can no longer be part of a set.
            if stamp not in my_queue:
                return
            for stamps in itertools.product(*candidates):
                if max(stamps) - min(stamps) < self.slop.nanoseconds:
                    self._hand_on(stamps)
                    return

    def _stamp_of(self, msg: Any) -> int | None:
        """Return the time in nanoseconds by which ``msg`` is matched, None if it has none."""
        has_stamp = hasattr(msg, "header") and hasattr(msg.header, "stamp")
        if has_stamp and not self.sync_arrival_time:
            return int(Time.from_msg(msg.header.stamp).nanoseconds)
        if not has_stamp and not self.allow_headerless:
            get_logger("message_filters").warning(
                "ApproximateTimeSynchronizer left out a message without a stamp; allow_headerless=True takes such "
                "messages by the time of their arrival",
                once=True,
            )
            return None
        return int(ROSClock().now().nanoseconds)

    def _near(self, stamp: int, queue: Queue) -> list[int]:
        """Return the stamps of ``queue`` within the slop around ``stamp``, nearest first."""
        within = [other for other in queue if abs(other - stamp) <= self.slop.nanoseconds]
        return sorted(within, key=lambda other: abs(other - stamp))
