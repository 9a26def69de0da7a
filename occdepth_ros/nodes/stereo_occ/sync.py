"""Pairs live left and right images by their stamps; handles out-of-order images and backward jumps of the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sensor_msgs.msg import Image

from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.sources.pairing import PairMatcher

SIDES = ("left", "right")
JUMP_BACK_NS = 1_000_000_000
"""Minimum backward step of the stamps that is a jump of the clock. After a smaller step, the image is dropped as out of
order, unless the next image of that side is older as well."""


def stamp_ns(message: Image) -> int:
    """Return the stamp of the header, nanoseconds."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


@dataclass(frozen=True)
class ImagePair:
    """A stereo pair of images.

    Args:
        left, right: the messages.
        arrived: arrival time of the first of the two images, seconds of `time.monotonic`.
    """

    left: Image
    right: Image
    arrived: float

    @property
    def stamp_ns(self) -> int:
        """Stamp of the left image, nanoseconds."""
        return stamp_ns(self.left)

    @property
    def camera_frame(self) -> str:
        """Frame of the left image.

        Raises:
            NamedError: the header has no frame_id.
        """
        frame: str = self.left.header.frame_id
        if not frame:
            raise NamedError(
                "frame_id",
                Component.INPUT,
                "the header has no frame_id",
                where="left/image_rect",
                remedy="Set the frame_id in the camera driver to the optical frame of the left camera.",
            )
        return frame

    def description(self) -> str:
        """Return stamp, difference of the stamps, and time from the first image to now, for debug messages."""
        difference, elapsed = 1e-6 * (stamp_ns(self.right) - self.stamp_ns), 1e3 * (time.monotonic() - self.arrived)
        return f"pair {self.stamp_ns}: right {difference:+.1f} ms, complete {elapsed:.1f} ms after the first image"


@dataclass(frozen=True)
class _Arrival:
    """An image and its arrival time, seconds of `time.monotonic`."""

    message: Image
    at: float


class PairSynchronizer:
    """Pairs the images of both sides with `sources.pairing`, as the bag reader does.

    Args:
        on_pair: called with each pair.
        on_jump: called with the backward step in seconds, after all waiting images were dropped.
        approximate: pair stamps that differ by up to `slop` and by less than half of the measured period; False = pair
            equal stamps only.
        slop: maximum difference of the stamps of a pair, seconds.
        queue_size: maximum number of images per side that wait for the other image.
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
        self._new_matcher = partial(
            PairMatcher[_Arrival], exact=not approximate, limit_ns=round(slop * 1e9), queue_size=queue_size
        )
        self._dropped_before = dict.fromkeys(SIDES, 0)
        self.last_arrival: dict[str, float | None] = dict.fromkeys(SIDES)
        self.last_stamp: dict[str, int | None] = dict.fromkeys(SIDES)
        self.received = dict.fromkeys(SIDES, 0)
        self.pairs = 0
        self.out_of_order = dict.fromkeys(SIDES, 0)
        self.last_pair: float | None = None
        self._matcher = self._new_matcher()
        self.reset()

    def reset(self) -> None:
        """Drop all waiting images; the next stamps may be older than the previous ones."""
        self._dropped_before = self.dropped
        self._matcher = self._new_matcher()
        self._newest: dict[str, int | None] = dict.fromkeys(SIDES)
        self._was_out_of_order = dict.fromkeys(SIDES, False)

    @property
    def dropped(self) -> dict[str, int]:
        """Number of images that were dropped without a partner, by side."""
        now = dict(zip(SIDES, self._matcher.dropped, strict=True))
        return {side: self._dropped_before[side] + now[side] for side in SIDES}

    @property
    def waiting(self) -> int:
        """Number of images that wait for the image of the other side."""
        return self._matcher.waiting

    @property
    def tolerance_ns(self) -> int:
        """Current maximum difference of the stamps of a pair, nanoseconds."""
        return self._matcher.tolerance_ns

    @property
    def periods_ns(self) -> dict[str, int | None]:
        """Measured periods of both streams, nanoseconds; None = not measured."""
        return dict(zip(SIDES, self._matcher.periods_ns, strict=True))

    def add(self, side: str, message: Image) -> None:
        """Add one image of "left" or "right".

        Raises:
            NamedError: "stamp" if the stamp of the header is not a valid time.
        """
        now = time.monotonic()
        seconds, nanoseconds = message.header.stamp.sec, message.header.stamp.nanosec
        if seconds < 0 or nanoseconds >= 1_000_000_000:
            raise NamedError(
                "stamp",
                Component.INPUT,
                f"the stamp of {seconds} s and {nanoseconds} ns is not a valid time",
                where=f"{side}/image_rect",
                remedy="Configure the camera driver to stamp its images with the ROS clock.",
            )
        stamp = stamp_ns(message)
        self.last_arrival[side] = now
        self.last_stamp[side] = stamp
        self.received[side] += 1
        newest = self._newest[side]
        if newest is not None and stamp < newest:
            if newest - stamp < JUMP_BACK_NS and not self._was_out_of_order[side]:
                self._was_out_of_order[side] = True
                self.out_of_order[side] += 1
                return
            self.reset()
            self._on_jump((newest - stamp) * 1e-9)
        self._newest[side] = stamp
        self._was_out_of_order[side] = False
        for left, right in self._matcher.add(SIDES.index(side), stamp, _Arrival(message, now)):
            self.pairs += 1
            self.last_pair = time.monotonic()
            self._on_pair(ImagePair(left.message, right.message, min(left.at, right.at)))
