"""The last messages of a topic, to be asked for by time."""

from __future__ import annotations

from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time

from message_filters._simple import SimpleFilter


class Cache(SimpleFilter):
    """Keeps the last ``cache_size`` messages of a filter in the order of their arrival and passes them on.

    Times are ``rclpy.time.Time``; messages without a header are stamped with the ROS time of their arrival when
    ``allow_headerless`` is set and left out otherwise.
    """

    def __init__(self, f: SimpleFilter | None, cache_size: int = 1, allow_headerless: bool = False) -> None:
        super().__init__()
        if f is not None:
            self.connectInput(f)
        self.cache_size = cache_size
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.allow_headerless = allow_headerless

    def connectInput(self, f: SimpleFilter) -> None:
        """Take the output of ``f`` as the input."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Keep ``msg``, forget the oldest beyond the size, pass ``msg`` on."""
        if hasattr(msg, "header") and hasattr(msg.header, "stamp"):
            stamp = Time.from_msg(msg.header.stamp)
        elif self.allow_headerless:
            stamp = ROSClock().now()
        else:
            get_logger("message_filters").warning("Cache left out a message without a stamp", once=True)
            return
        self.cache_msgs.append(msg)
        self.cache_times.append(stamp)
        while len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0], self.cache_times[0]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """Return the kept messages with ``from_stamp <= stamp <= to_stamp``."""
        kept = zip(self.cache_msgs, self.cache_times, strict=True)
        return [msg for msg, stamp in kept if from_stamp <= stamp <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """Return the earliest kept message at or after ``stamp``, None if there is none."""
        kept = zip(self.cache_msgs, self.cache_times, strict=True)
        return next((msg for msg, time in kept if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """Return the last kept message at or before ``stamp``, None if there is none."""
        kept = zip(reversed(self.cache_msgs), reversed(self.cache_times), strict=True)
        return next((msg for msg, time in kept if time <= stamp), None)

    def getLastestTime(self) -> Time | None:
        """Return the stamp of the message that came last (the name is misspelt in the real package too)."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:
        """Return the stamp of the message that is kept longest."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:
        """Return the message that came last, None if there was none."""
        return self.cache_msgs[-1] if self.cache_msgs else None
