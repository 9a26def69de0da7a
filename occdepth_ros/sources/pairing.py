"""Pairing of left and right images by their stamps, for recordings and live streams.

Two images are a pair if each is the nearest of the other and their stamps differ by at most the tolerance. The
tolerance is less than half of the measured period, so that an image whose partner was lost is dropped and not paired
with the neighbour of its partner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low as median
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import InputWarning

MAX_TOLERANCE_NS = 20_000_000
"""Upper bound of the difference of stamps within a pair; the cameras of KITTI differ by 0.5 ms."""
PERIOD_SHARE = 0.4
"""Tolerance as a share of the period. If every second image of both sides is lost, the measured period is doubled; the
tolerance of 0.8 true periods still excludes the neighbour."""
UNMEASURED_TOLERANCE_NS = 4_000_000
"""Tolerance without a measured period, nanoseconds: less than half of the period of a 120 Hz camera."""
MEASURED = 32
"""Number of newest stamp differences from which the period of a live stream is measured."""
MIN_MEASURED = 3
"""Minimum number of differences for a measured period of a live stream."""

Stamps = Sequence[int] | npt.NDArray[np.int64]
Item = TypeVar("Item")


def period_ns(stamps: Stamps) -> int | None:
    """Return the median difference of successive stamps, nanoseconds; None with fewer than two different stamps."""
    steps = np.diff(np.unique(np.asarray(stamps, np.int64)))
    return int(np.median(steps)) if len(steps) else None


def tolerance_ns(periods: Sequence[int | None], limit: int = MAX_TOLERANCE_NS) -> int:
    """Return the largest difference of stamps within a pair, nanoseconds.

    Args:
        periods: measured periods of both sides, nanoseconds; the shorter one counts. None = not measured.
        limit: upper bound, nanoseconds.
    """
    measured = [period for period in periods if period is not None]
    return min(limit, int(PERIOD_SHARE * min(measured)) if measured else UNMEASURED_TOLERANCE_NS)


def mutual_nearest(left: Stamps, right: Stamps, tolerance: int) -> list[tuple[int, int]]:
    """Return index pairs of stamps that are the nearest of each other within the tolerance, in order of time.

    Args:
        left, right: strictly increasing stamps, nanoseconds.
        tolerance: largest difference within a pair, nanoseconds.
    """
    a, b = np.asarray(left, np.int64), np.asarray(right, np.int64)
    if not len(a) or not len(b):
        return []
    of_left, of_right = _nearest(a, b), _nearest(b, a)
    index = np.arange(len(a))
    good = (of_right[of_left] == index) & (np.abs(b[of_left] - a) <= tolerance)
    return [(int(i), int(of_left[i])) for i in index[good]]


def smallest_difference(left: Stamps, right: Stamps) -> int:
    """Return the smallest difference between a stamp of one side and one of the other, nanoseconds.

    Args:
        left, right: increasing stamps, at least one each.
    """
    a, b = np.asarray(left, np.int64), np.asarray(right, np.int64)
    return int(np.abs(b[_nearest(a, b)] - a).min())


def _nearest(stamps: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the index of the nearest of the others for each stamp; of two equally near ones, the earlier."""
    after = np.clip(np.searchsorted(others, stamps), 1, max(len(others) - 1, 1))
    if len(others) == 1:
        return np.zeros(len(stamps), np.int64)
    before = after - 1
    return np.where(np.abs(others[before] - stamps) <= np.abs(others[after] - stamps), before, after)


@dataclass(frozen=True)
class Pairing:
    """Pairs of a recording.

    Args:
        pairs: index of the left and of the right image, in order of time.
        tolerance_ns: largest difference of stamps within a pair, nanoseconds.
        period_ns: measured period, nanoseconds; None = not measured.
        dropped: number of left and of right images without a partner.
        repeated: number of left and of right images with the stamp of another image of the same side, not in `dropped`.
    """

    pairs: list[tuple[int, int]]
    tolerance_ns: int
    period_ns: int | None
    dropped: tuple[int, int]
    repeated: tuple[int, int] = (0, 0)

    def warnings(self, where: str) -> list[InputWarning]:
        """Return warnings with the number of dropped images and of repeated stamps, if there are any."""
        return [*self._repeated(where), *self._dropped(where)]

    def _repeated(self, where: str) -> list[InputWarning]:
        if not any(self.repeated):
            return []
        left, right = self.repeated
        text = f"{left} left and {right} right images have the stamp of an earlier image and are not used"
        remedy = "Configure the driver to stamp each image with the time at which it was taken."
        return [InputWarning("repeated_stamps", text, where, remedy)]

    def _dropped(self, where: str) -> list[InputWarning]:
        if not any(self.dropped):
            return []
        left, right = (f"{dropped} of {dropped + len(self.pairs)}" for dropped in self.dropped)
        period = "" if self.period_ns is None else f" (period {self.period_ns * 1e-6:.1f} ms)"
        return [
            InputWarning(
                "dropped_images",
                f"{left} left and {right} right images have no partner within {self.tolerance_ns * 1e-6:.1f} ms{period}"
                " and are not used",
                where,
                "Reduce the load of recorder and network, or trigger the cameras together.",
            )
        ]


def pair_stamps(left: Stamps, right: Stamps, limit: int = MAX_TOLERANCE_NS) -> Pairing:
    """Pair the images of a recording; an image is in one pair at most, and the first of equal stamps counts.

    Args:
        left, right: stamps in any order, nanoseconds.
        limit: upper bound of the tolerance, nanoseconds.
    """
    periods = [period for stamps in (left, right) if (period := period_ns(stamps)) is not None]
    tolerance = tolerance_ns(periods, limit)
    (a, at_left), (b, at_right) = (np.unique(np.asarray(s, np.int64), return_index=True) for s in (left, right))
    pairs = [(int(at_left[i]), int(at_right[j])) for i, j in mutual_nearest(a, b, tolerance)]
    dropped = (len(a) - len(pairs), len(b) - len(pairs))
    return Pairing(pairs, tolerance, min(periods, default=None), dropped, (len(left) - len(a), len(right) - len(b)))


class PairMatcher(Generic[Item]):
    """Pairs the images of two live streams as they arrive.

    Args:
        exact: pair equal stamps only.
        limit_ns: upper bound of the tolerance if stamps may differ, nanoseconds.
        queue_size: images of one side that wait for their partner.
    """

    def __init__(self, *, exact: bool, limit_ns: int = MAX_TOLERANCE_NS, queue_size: int = 10) -> None:
        self._exact = exact
        self._limit = limit_ns
        self._queue_size = max(1, queue_size)
        self._waiting: tuple[dict[int, Item], dict[int, Item]] = ({}, {})
        self._newest: list[int | None] = [None, None]
        self._steps: tuple[deque[int], deque[int]] = (deque(maxlen=MEASURED), deque(maxlen=MEASURED))
        self.dropped = [0, 0]
        """Number of left and of right images that were dropped without a partner."""

    @property
    def waiting(self) -> int:
        """Number of images that wait for their partner."""
        return len(self._waiting[0]) + len(self._waiting[1])

    @property
    def periods_ns(self) -> list[int | None]:
        """Measured periods of the left and of the right stream, nanoseconds; None = not measured."""
        return [median(steps) if len(steps) >= MIN_MEASURED else None for steps in self._steps]

    @property
    def tolerance_ns(self) -> int:
        """Largest difference of stamps within a pair at present, nanoseconds."""
        return 0 if self._exact else tolerance_ns(self.periods_ns, self._limit)

    def add(self, side: int, stamp: int, item: Item) -> list[tuple[Item, Item]]:
        """Take one image and return the pairs that it completes, oldest first.

        Args:
            side: 0 = left, 1 = right.
            stamp: nanoseconds, not before the previous stamp of this side; of equal stamps the first counts.
            item: the image.
        """
        newest = self._newest[side]
        if newest is not None and stamp <= newest:
            self.dropped[side] += 1
            return []
        if newest is not None:
            self._steps[side].append(stamp - newest)
        self._newest[side] = stamp
        waiting = self._waiting[side]
        waiting[stamp] = item
        if len(waiting) > self._queue_size:
            del waiting[next(iter(waiting))]
            self.dropped[side] += 1
        return self._take()

    def _take(self) -> list[tuple[Item, Item]]:
        left, right = (list(waiting) for waiting in self._waiting)
        pairs: list[tuple[Item, Item]] = []
        if not left or not right:
            return pairs
        for i, j in mutual_nearest(left, right, self.tolerance_ns):
            pairs.append((self._waiting[0].pop(left[i]), self._waiting[1].pop(right[j])))
            # stamps increase on each side, so the partner of an older image can no longer arrive
            for side, last in ((0, left[i]), (1, right[j])):
                for stamp in [stamp for stamp in self._waiting[side] if stamp < last]:
                    del self._waiting[side][stamp]
                    self.dropped[side] += 1
        return pairs
