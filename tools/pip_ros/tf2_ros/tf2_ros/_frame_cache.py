"""Storage of the transforms of one frame to its parent, dynamic or static."""

from __future__ import annotations

import bisect
from typing import NamedTuple

from tf2_ros._errors import ExtrapolationException
from tf2_ros._pose import Pose, interpolate


class Edge(NamedTuple):
    """Pose of a frame in its parent at one time."""

    parent: str
    pose: Pose


class StaticEdge:
    """A transform that is valid at all times."""

    def __init__(self) -> None:
        self.edge: Edge | None = None

    def insert(self, stamp: int, edge: Edge) -> bool:
        """Replace the stored transform."""
        self.edge = edge
        return True

    def at(self, stamp: int) -> Edge | None:
        """Return the transform, independent of ``stamp``."""
        return self.edge

    def latest(self) -> tuple[int, str] | None:
        """Return (0, parent), because a static transform is valid at all times."""
        return None if self.edge is None else (0, self.edge.parent)


class DynamicEdge:
    """The transforms of the last ``keep`` nanoseconds, sorted by stamp."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.stamps: list[int] = []
        self.edges: list[Edge] = []

    def insert(self, stamp: int, edge: Edge) -> bool:
        """Insert a transform after those with the same stamp. Return False if the stamp is too old."""
        if self.stamps:
            oldest_kept = self.stamps[-1] - self.keep
            expired = bisect.bisect_left(self.stamps, oldest_kept)
            del self.stamps[:expired], self.edges[:expired]
            if stamp < oldest_kept:
                return False
        first, behind = bisect.bisect_left(self.stamps, stamp), bisect.bisect_right(self.stamps, stamp)
        if edge not in self.edges[first:behind]:
            self.stamps.insert(behind, stamp)
            self.edges.insert(behind, edge)
        return True

    def at(self, stamp: int) -> Edge | None:
        """Return the transform at ``stamp`` in nanoseconds (0: the latest), interpolated between stored transforms.

        The result is None if no transform is stored.

        Raises:
            ExtrapolationException: ``stamp`` is outside the range of the stored stamps.
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
        """Return the latest stamp and the parent at that time."""
        return (self.stamps[-1], self.edges[-1].parent) if self.stamps else None


def seconds(nanoseconds: int) -> str:
    """Format a time in seconds for error messages."""
    return f"{nanoseconds / 1e9:.6f}"
