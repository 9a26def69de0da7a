"""Pairs left and right images by their stamps, and survives clocks that jump back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from message_filters import ApproximateTimeSynchronizer, SimpleFilter, TimeSynchronizer
from sensor_msgs.msg import Image

from occdepth_ros.nodes.faults import Component, NamedError

SIDES = ("left", "right")
JUMP_BACK_NS = 1_000_000_000
"""A stamp this much older than its predecessor is a jump of the clock at once; a smaller step back is taken for a
straggler and dropped, unless the next image of that side is old as well."""


def stamp_ns(message: Image) -> int:
    """The header's stamp, nanoseconds."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


@dataclass(frozen=True)
class ImagePair:
    """Two images of one moment.

    Args:
        left, right: the messages.
        arrived: when the first of the two arrived, seconds of `time.monotonic`.
    """

    left: Image
    right: Image
    arrived: float

    @property
    def stamp_ns(self) -> int:
        """Stamp of the left image, nanoseconds."""
        return stamp_ns(self.left)


class PairSynchronizer:
    """Feeds a message_filters synchronizer and hands out pairs.

    Args:
        on_pair: receives each pair.
        on_jump: called with the step back in seconds after everything waiting was forgotten.
        approximate: pair stamps that differ by up to `slop` seconds instead of equal ones.
        queue_size: images per side that wait for their partner.
    """

    def __init__(
        self,
        on_pair: Callable[[ImagePair], None],
        on_jump: Callable[[float], None],
        *,
        approximate: bool = False,
        slop: float = 0.02,
        queue_size: int = 10,
    ) -> None:
        self._on_pair = on_pair
        self._on_jump = on_jump
        self._approximate = approximate
        self._slop = slop
        self._queue_size = queue_size
        self.last_arrival: dict[str, float | None] = dict.fromkeys(SIDES)
        self.last_stamp: dict[str, int | None] = dict.fromkeys(SIDES)
        self.received = dict.fromkeys(SIDES, 0)
        self.pairs = 0
        self.stragglers = dict.fromkeys(SIDES, 0)
        self.last_pair: float | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything that waits; stamps may start anew."""
        self._arrivals: dict[tuple[str, int], float] = {}
        self._newest: dict[str, int | None] = dict.fromkeys(SIDES)
        self._straggled = dict.fromkeys(SIDES, False)
        self._inputs = {side: SimpleFilter() for side in SIDES}
        filters = [self._inputs[side] for side in SIDES]
        if self._approximate:
            self._synchronizer = ApproximateTimeSynchronizer(filters, self._queue_size, self._slop)
        else:
            self._synchronizer = TimeSynchronizer(filters, self._queue_size)
        self._synchronizer.registerCallback(self._paired)

    def add(self, side: str, message: Image) -> None:
        """Take one image of "left" or "right".

        Raises:
            NamedError: "stamp": the header's time is none.
        """
        now = time.monotonic()
        seconds, nanoseconds = message.header.stamp.sec, message.header.stamp.nanosec
        if seconds < 0 or nanoseconds >= 1_000_000_000:
            raise NamedError(
                "stamp",
                Component.INPUT,
                f"the stamp of {seconds} s and {nanoseconds} ns is no time",
                where=f"{side}/image_rect",
                remedy="Let the driver stamp its images with the ROS clock.",
            )
        stamp = stamp_ns(message)
        self.last_arrival[side] = now
        self.last_stamp[side] = stamp
        self.received[side] += 1
        newest = self._newest[side]
        if newest is not None and stamp < newest:
            if newest - stamp < JUMP_BACK_NS and not self._straggled[side]:
                self._straggled[side] = True
                self.stragglers[side] += 1
                return
            self.reset()
            self._on_jump((newest - stamp) * 1e-9)
        self._newest[side] = stamp
        self._straggled[side] = False
        self._arrivals[side, stamp] = now
        while len(self._arrivals) > 2 * self._queue_size:
            del self._arrivals[next(iter(self._arrivals))]
        self._inputs[side].signalMessage(message)

    def _paired(self, left: Image, right: Image) -> None:
        now = time.monotonic()
        first = min(
            self._arrivals.pop(("left", stamp_ns(left)), now), self._arrivals.pop(("right", stamp_ns(right)), now)
        )
        self.pairs += 1
        self.last_pair = now
        self._on_pair(ImagePair(left, right, first))
