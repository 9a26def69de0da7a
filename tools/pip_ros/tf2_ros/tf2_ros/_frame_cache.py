"""The transforms of one frame to its parent, over time or once for all."""

from __future__ import annotations

import bisect
from typing import NamedTuple

from tf2_ros._errors import ExtrapolationException
from tf2_ros._pose import Pose, interpolate


class Edge(NamedTuple):
    """Where a frame is in its parent at one time."""

    parent: str
    pose: Pose


class StaticEdge:
    """A transform that holds for all times."""

    def __init__(self) -> None:
        self.edge: Edge | None = None

    def insert(self, stamp: int, edge: Edge) -> bool:
        """Replace the stored transform."""
        self.edge = edge
        return True

    def at(self, stamp: int) -> Edge | None:
        """Return the transform, which holds at all times."""
        return self.edge

    def latest(self) -> tuple[int, str] | None:
        """Return (0, parent): a static transform limits no time."""
        return None if self.edge is None else (0, self.edge.parent)


class DynamicEdge:
    """The transforms of the last ``keep`` nanoseconds, in the order of their stamps."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.stamps: list[int] = []
        self.edges: list[Edge] = []

    def insert(self, stamp: int, edge: Edge) -> bool:
        """Take a transform in behind others of its stamp; False for a stamp that is older than what is kept."""
        if self.stamps:
            oldest_kept = self.stamps[-1] - self.keep
            forgotten = bisect.bisect_left(self.stamps, oldest_kept)
            del self.stamps[:forgotten], self.edges[:forgotten]
            if stamp < oldest_kept:
                return False
        first, behind = bisect.bisect_left(self.stamps, stamp), bisect.bisect_right(self.stamps, stamp)
        if edge not in self.edges[first:behind]:
            self.stamps.insert(behind, stamp)
            self.edges.insert(behind, edge)
        return True

    def at(self, stamp: int) -> Edge | None:
        """Return the transform at ``stamp`` (0: the latest), between two known ones by interpolation.

        None where nothing is known; raises ExtrapolationException outside the known times.
        """
        if not self.stamps:
            return None
        if stamp == 0:
            return self.edges[-1]
        place = bisect.bisect_right(self.stamps, stamp)
        if place > 0 and self.stamps[place - 1] == stamp:
            return self.edges[place - 1]
        if len(self.stamps) == 1:
            raise ExtrapolationException(
                f"Lookup would require extrapolation at time {seconds(stamp)}, "
                f"but only time {seconds(self.stamps[0])} is in the buffer"
            )
        if place == len(self.stamps):
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the future.  Requested time {seconds(stamp)} "
                f"but the latest data is at time {seconds(self.stamps[-1])}"
            )
        if place == 0:
            raise ExtrapolationException(
                f"Lookup would require extrapolation into the past.  Requested time {seconds(stamp)} "
                f"but the earliest data is at time {seconds(self.stamps[0])}"
            )
        before, after = self.edges[place - 1], self.edges[place]
        if before.parent != after.parent:
            return before
        share = (stamp - self.stamps[place - 1]) / (self.stamps[place] - self.stamps[place - 1])
        return Edge(before.parent, interpolate(before.pose, after.pose, share))

    def latest(self) -> tuple[int, str] | None:
        """Return the last stamp and the parent at that time."""
        return (self.stamps[-1], self.edges[-1].parent) if self.stamps else None


def seconds(nanoseconds: int) -> str:
    """Return a time as it is written in error texts."""
    return f"{nanoseconds / 1e9:.6f}"
