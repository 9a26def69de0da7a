"""The transforms of a bag: a tree of frames whose poses are interpolated over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import InputWarning
from occdepth_ros.rotation import from_quaternion

MIN_NORM, MAX_NORM_ERROR = 1e-6, 0.01
"""Smallest norm of a quaternion that is a rotation, and largest deviation from 1 without a warning."""
MAX_DISTANCE = 1e8
"""Largest coordinate of a translation, metres; positions in UTM are below 1e7."""
MAX_GAP_NS = 1_000_000_000
"""Time outside the recorded transforms of a moving frame above which a warning is given, nanoseconds."""


@dataclass
class _Link:
    """Pose of a frame in its parent over time."""

    parent: str
    rows: dict[int, tuple[float, ...]] = field(default_factory=dict)
    _stamps: npt.NDArray[np.int64] | None = None

    @property
    def stamps(self) -> npt.NDArray[np.int64]:
        """Times of the transforms, ascending, nanoseconds."""
        if self._stamps is None or len(self._stamps) != len(self.rows):
            self._stamps = np.array(sorted(self.rows), np.int64)
        return self._stamps

    def pose(self, stamp_ns: int) -> Matrix:
        """Return the pose at a time, `[4, 4]`; before the first and after the last pose, these are returned."""
        stamps = self.stamps
        after = int(np.searchsorted(stamps, stamp_ns))
        low, high = stamps[max(after - 1, 0)], stamps[min(after, len(stamps) - 1)]
        share = (stamp_ns - low) / (high - low) if high > low else 0.0
        a, b = np.array(self.rows[int(low)]), np.array(self.rows[int(high)])
        if a[3:] @ b[3:] < 0:
            b[3:] *= -1
        return _matrix((1 - share) * a + share * b)


class TransformTree:
    """Frames of a recorded TF tree; a leading slash of a name is ignored."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}
        self._problems: dict[str, str] = {}

    def add(self, parent: str, child: str, stamp_ns: int, row: tuple[float, ...]) -> None:
        """Add one transform: translation x, y, z and quaternion x, y, z, w of `child` in `parent`.

        Transforms that are not finite, are not rotations, would close a loop, or give a frame a second parent are left
        out and reported in `warnings`, as are quaternions that are not normalised.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        norm = float(np.linalg.norm(row[3:]))
        link = self._links.get(child)
        if not np.isfinite(row).all() or max(map(abs, row[:3])) > MAX_DISTANCE:
            reason = f"is not a finite pose (x, y, z = {row[0]:.3g}, {row[1]:.3g}, {row[2]:.3g})"
        elif norm < MIN_NORM:
            reason = "has a quaternion of zeros"
        elif child in self._line(parent):
            reason = "closes a loop"
        elif link is not None and link.parent != parent:
            reason = f"contradicts the parent {link.parent!r} of {child!r}"
        else:
            self._links.setdefault(child, _Link(parent)).rows[stamp_ns] = row
            if abs(norm - 1) > MAX_NORM_ERROR:
                problem = f"has a quaternion of norm {norm:.3g}: it is normalized"
                self._problems.setdefault(f"{parent!r} to {child!r}", problem)
            return
        self._problems.setdefault(f"{parent!r} to {child!r}", f"{reason}: it is not used")

    @property
    def warnings(self) -> list[InputWarning]:
        """A warning for each transform that was left out or normalized."""
        remedy = "Correct its publisher; each frame has one parent and a unit quaternion."
        return [
            InputWarning("bad_tf", f"the transform from {link} {reason}", "TF", remedy)
            for link, reason in self._problems.items()
        ]

    @property
    def frames(self) -> set[str]:
        """All frames."""
        return {*self._links, *(link.parent for link in self._links.values())}

    def root(self, frame: str) -> str:
        """Return the topmost ancestor of a frame."""
        return self._line(frame.lstrip("/"))[-1]

    def moves(self, frame: str) -> bool:
        """Return whether the pose of the frame in its root changes over time."""
        return any(len(self._links[name].rows) > 1 for name in self._line(frame.lstrip("/"))[:-1])

    def pose(self, target: str, source: str, stamp_ns: int) -> Matrix | None:
        """Return the pose of `source` in `target`, `[4, 4]`, None if they are not connected."""
        target, source = target.lstrip("/"), source.lstrip("/")
        if self.root(target) != self.root(source):
            return None
        return np.asarray(np.linalg.inv(self._from_root(target, stamp_ns)) @ self._from_root(source, stamp_ns))

    def changing_links(self, target: str, source: str) -> list[str]:
        """Return the frames between `target` and `source` whose pose in their parent was recorded more than once."""
        lines = [self._line(frame.lstrip("/")) for frame in (target, source)]
        common = set(lines[0]) & set(lines[1])
        return [name for line in lines for name in line if name not in common and len(self._links[name].rows) > 1]

    def gap_warnings(self, frame: str, stamps_ns: Sequence[int]) -> list[InputWarning]:
        """Warn if times, nanoseconds, are long before or after the transforms of a frame."""
        stamps = self._links[frame].stamps
        first, last = int(stamps[0]), int(stamps[-1])
        outside = [max(first - stamp, stamp - last) for stamp in stamps_ns]
        count = sum(gap > MAX_GAP_NS for gap in outside)
        if not count:
            return []
        text = (
            f"TF of {frame!r} was recorded for {(last - first) * 1e-9:.1f} s only: {count} of {len(stamps_ns)} pairs "
            f"are up to {max(outside) * 1e-9:.1f} s outside, and use the nearest pose"
        )
        remedy = "Record TF as long as the images, and stamp both by one clock."
        return [InputWarning("old_tf", text, "TF", remedy)]

    def _from_root(self, frame: str, stamp_ns: int) -> Matrix:
        pose = np.eye(4)
        for name in self._line(frame)[:-1]:
            pose = self._links[name].pose(stamp_ns) @ pose
        return pose

    def _line(self, frame: str) -> list[str]:
        """Return the frame and its ancestors."""
        line = [frame]
        while line[-1] in self._links:
            line.append(self._links[line[-1]].parent)
        return line


def _matrix(row: Matrix) -> Matrix:
    """Convert a translation and a quaternion x, y, z, w to a matrix `[4, 4]`."""
    pose = np.eye(4)
    pose[:3, :3] = from_quaternion(row[3:])
    pose[:3, 3] = row[:3]
    return pose
