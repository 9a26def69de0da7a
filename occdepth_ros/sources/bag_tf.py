"""The transforms of a bag: frames as a tree, poses interpolated over time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from occdepth_ros.camera import Matrix


@dataclass
class _Link:
    """A frame's pose in its parent over time."""

    parent: str
    rows: dict[int, tuple[float, ...]] = field(default_factory=dict)

    def pose(self, stamp_ns: int) -> Matrix:
        """`[4, 4]` at a time, held before the first and after the last one."""
        stamps = np.array(sorted(self.rows), np.int64)
        after = int(np.searchsorted(stamps, stamp_ns))
        low, high = stamps[max(after - 1, 0)], stamps[min(after, len(stamps) - 1)]
        share = (stamp_ns - low) / (high - low) if high > low else 0.0
        a, b = np.array(self.rows[int(low)]), np.array(self.rows[int(high)])
        if a[3:] @ b[3:] < 0:
            b[3:] *= -1
        return _matrix((1 - share) * a + share * b)


class TransformTree:
    """Frames of a recorded TF tree."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def add(self, parent: str, child: str, stamp_ns: int, row: tuple[float, ...]) -> None:
        """Take one transform: translation x, y, z and quaternion x, y, z, w of `child` in `parent`.

        What is not finite, has no rotation, or would close a loop is left out.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not np.isfinite(row).all() or np.linalg.norm(row[3:]) < 1e-6 or child in self._line(parent):
            return
        link = self._links.setdefault(child, _Link(parent))
        if link.parent == parent:
            link.rows[stamp_ns] = row

    @property
    def frames(self) -> set[str]:
        """All frames."""
        return {*self._links, *(link.parent for link in self._links.values())}

    def root(self, frame: str) -> str:
        """The frame that everything above `frame` hangs from."""
        return self._line(frame.lstrip("/"))[-1]

    def moves(self, frame: str) -> bool:
        """Whether the frame's pose in its root changes over time."""
        return any(len(self._links[name].rows) > 1 for name in self._line(frame.lstrip("/"))[:-1])

    def pose(self, target: str, source: str, stamp_ns: int) -> Matrix | None:
        """Pose of `source` in `target`, `[4, 4]`, None where they are not connected."""
        target, source = target.lstrip("/"), source.lstrip("/")
        if self.root(target) != self.root(source):
            return None
        return np.asarray(np.linalg.inv(self._from_root(target, stamp_ns)) @ self._from_root(source, stamp_ns))

    def _from_root(self, frame: str, stamp_ns: int) -> Matrix:
        pose = np.eye(4)
        for name in self._line(frame)[:-1]:
            pose = self._links[name].pose(stamp_ns) @ pose
        return pose

    def _line(self, frame: str) -> list[str]:
        """The frame and all above it."""
        line = [frame]
        while line[-1] in self._links:
            line.append(self._links[line[-1]].parent)
        return line


def _matrix(row: Matrix) -> Matrix:
    """Translation and quaternion x, y, z, w as `[4, 4]`."""
    x, y, z, w = row[3:] / np.linalg.norm(row[3:])
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = row[:3]
    return pose
