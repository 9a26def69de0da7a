"""The frame tree: stores transforms and returns the transform between two frames at a given time."""

from __future__ import annotations

import math
import threading
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_ros._errors import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros._frame_cache import DynamicEdge, Edge, StaticEdge, seconds
from tf2_ros._pose import IDENTITY, Pose, message_of, pose_of

DEFAULT_CACHE_TIME = Duration(seconds=10)
MAX_DEPTH = 1000
QUATERNION_TOLERANCE = 1e-2
"""Maximum deviation of the squared length of a quaternion from one."""


class BufferCore:
    """Frames and their transforms over the last ``cache_time``. The methods are thread-safe."""

    def __init__(self, cache_time: Duration = DEFAULT_CACHE_TIME) -> None:
        self._keep = int(cache_time.nanoseconds)
        self._lock = threading.RLock()
        self._caches: dict[str, StaticEdge | DynamicEdge] = {}
        # Insertion-ordered set of frame names; clear() keeps the names of dynamic frames and of parents.
        self._names: dict[str, str] = {}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store the pose of ``child_frame_id`` in ``frame_id`` at its stamp. Log and ignore invalid transforms."""
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Store the static pose of ``child_frame_id`` in ``frame_id``."""
        self._insert(transform, authority, is_static=True)

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Any) -> TransformStamped:
        """Return the transform of points from ``source_frame`` to ``target_frame`` at ``time``.

        Time zero is the latest time at which all transforms of the chain are available.

        Raises:
            TransformException: the transform is not available.
        """
        with self._lock:
            if target_frame != source_frame:
                self._check_frame(target_frame, "lookupTransform", "target_frame")
                self._check_frame(source_frame, "lookupTransform", "source_frame")
            pose, stamp = self._between(target_frame, source_frame, _nanoseconds(time))
        return message_of(pose, stamp, target_frame, source_frame)

    def lookup_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> TransformStamped:
        """Return the transform from the source at one time to the target at another time, through a fixed frame."""
        with self._lock:
            for frame, argument in ((target_frame, "target"), (source_frame, "source"), (fixed_frame, "fixed")):
                self._check_frame(frame, "lookupTransform", f"{argument}_frame")
            to_fixed, _ = self._between(fixed_frame, source_frame, _nanoseconds(source_time))
            to_target, stamp = self._between(target_frame, fixed_frame, _nanoseconds(target_time))
        return message_of(to_fixed.then(to_target), stamp, target_frame, source_frame)

    def can_transform_core(self, target_frame: str, source_frame: str, time: Any) -> tuple[bool, str]:
        """Return whether ``lookup_transform_core`` would succeed, and the reason if not."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def can_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> tuple[bool, str]:
        """Return whether ``lookup_transform_full_core`` would succeed, and the reason if not."""
        try:
            self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the latest time at which the chain between two frames is complete, or zero for a static chain."""
        with self._lock:
            for frame in (target_frame, source_frame):
                if frame not in self._names:
                    raise LookupException(f"Frame {frame} does not exist.")
            return Time(nanoseconds=self._latest_common(target_frame, source_frame))

    def all_frames_as_string(self) -> str:
        """Return one line per frame with its parent."""
        with self._lock:
            latest = {frame: cache.latest() for frame, cache in self._caches.items()}
        return "".join(f"Frame {frame} exists with parent {last[1]}.\n" for frame, last in latest.items() if last)

    def all_frames_as_yaml(self, time: Any = None) -> str:
        """Return the frames as a YAML mapping: parent, broadcaster, oldest and latest time, buffer length."""
        lines = []
        with self._lock:
            for frame, cache in self._caches.items():
                last = cache.latest()
                if last is None:
                    continue
                oldest = cache.stamps[0] if isinstance(cache, DynamicEdge) else 0
                count = len(cache.stamps) if isinstance(cache, DynamicEdge) else 1
                span = max((last[0] - oldest) / 1e9, 1e-4)
                lines += [
                    f"{frame}: ",
                    f"  parent: '{last[1]}'",
                    f"  broadcaster: '{self._names.get(frame, '')}'",
                    f"  rate: {count / span:.3f}",
                    f"  most_recent_transform: {seconds(last[0])}",
                    f"  oldest_transform: {seconds(oldest)}",
                    f"  buffer_length: {(last[0] - oldest) / 1e9:.3f}",
                ]
        return "\n".join(lines) + "\n" if lines else "{}"

    def clear(self) -> None:
        """Remove all dynamic transforms. Static transforms and the names of frames are kept."""
        with self._lock:
            for frame, cache in self._caches.items():
                if isinstance(cache, DynamicEdge):
                    self._caches[frame] = DynamicEdge(self._keep)

    def _insert(self, transform: TransformStamped, authority: str, is_static: bool) -> None:
        parent = transform.header.frame_id.lstrip("/")
        child = transform.child_frame_id.lstrip("/")
        pose = pose_of(transform.transform)
        stamp = _nanoseconds(transform.header.stamp)
        problem = _problem(parent, child, pose)
        if problem is None:
            with self._lock:
                self._names.setdefault(parent, "")
                self._names[child] = authority
                cache = self._caches.get(child)
                if cache is None or isinstance(cache, StaticEdge) != is_static:
                    cache = self._caches[child] = StaticEdge() if is_static else DynamicEdge(self._keep)
                if cache.insert(stamp, Edge(parent, pose)):
                    return
            problem = f"TF_OLD_DATA at time {seconds(stamp)}, older than what is kept"
        get_logger("tf2").warning(
            f"Ignoring transform for child_frame_id '{child}' in frame_id '{parent}' from authority '{authority}': "
            f"{problem}",
            throttle_duration_sec=1.0,
        )

    def _check_frame(self, frame: str, function: str, argument: str) -> None:
        prefix = f"Invalid argument passed to {function} argument {argument} in tf2 frame_ids cannot"
        if not frame:
            raise InvalidArgumentException(f"{prefix} be empty")
        if frame.startswith("/"):
            raise InvalidArgumentException(f"{prefix} start with a '/' like: {frame}")
        if frame not in self._names:
            raise LookupException(f'"{frame}" passed to {function} argument {argument} does not exist. ')

    def _between(self, target: str, source: str, stamp: int) -> tuple[Pose, int]:
        """Return the pose of the source in the target, and its time in nanoseconds."""
        if target == source:
            latest = self._caches[source].latest() if source in self._caches else None
            return IDENTITY, stamp or (latest[0] if latest else 0)
        if stamp == 0:
            stamp = self._latest_common(target, source)
        problem: str | None = None
        # Collect the ancestors of the source at that time; an ancestor of the target must be one of them.
        up_poses = {source: IDENTITY}
        frame, pose = source, IDENTITY
        while frame in self._caches:
            edge, text = self._gather(frame, stamp)
            if edge is None:
                problem = text or problem
                break
            pose = pose.then(edge.pose)
            frame = edge.parent
            _check_loop(frame in up_poses, up_poses)
            up_poses[frame] = pose
            if frame == target:
                return pose, stamp
        seen = {target}
        frame, pose = target, IDENTITY
        while frame not in up_poses:
            edge, text = self._gather(frame, stamp)
            if edge is None:
                problem = text or problem
                break
            pose = pose.then(edge.pose)
            frame = edge.parent
            _check_loop(frame in seen, seen)
            seen.add(frame)
        if frame in up_poses:
            return up_poses[frame].then(pose.inverse()), stamp
        if problem is not None:
            raise ExtrapolationException(
                f"{problem}, when looking up transform from frame [{source}] to frame [{target}]"
            )
        raise _not_connected(target, source)

    def _gather(self, frame: str, stamp: int) -> tuple[Edge | None, str | None]:
        """Return the transform from the frame to its parent, or None and the reason if no data is available."""
        cache = self._caches.get(frame)
        if cache is None:
            return None, None
        try:
            edge = cache.at(stamp)
            return edge, None if edge else f"Lookup would need data at time {seconds(stamp)}, but {frame} has none"
        except ExtrapolationException as error:
            return None, str(error)

    def _latest_common(self, target: str, source: str) -> int:
        """Return the minimum of the latest times along the chain of two frames, or 0 if all transforms are static."""
        if target == source:
            latest = self._caches[source].latest() if source in self._caches else None
            return latest[0] if latest else 0
        up = self._latest_times(source)
        down = self._latest_times(target)
        common = next((frame for frame in down if frame in up), None)
        if common is None:
            raise _not_connected(target, source)
        return min(filter(None, (_least_before(up, common), _least_before(down, common))), default=0)

    def _latest_times(self, frame: str) -> dict[str, int]:
        """Return ``frame`` and its ancestors, each with its latest time (0 for static frames and the root)."""
        chain: dict[str, int] = {}
        while True:
            _check_loop(frame in chain, chain)
            cache = self._caches.get(frame)
            last = cache.latest() if cache is not None else None
            chain[frame] = last[0] if last else 0
            if last is None:
                return chain
            frame = last[1]


def _least_before(chain: dict[str, int], end: str) -> int:
    """Return the minimum time other than 0 among the frames of the chain before ``end``, or 0 if there is none."""
    times = []
    for frame, stamp in chain.items():
        if frame == end:
            break
        times.append(stamp)
    return min(filter(None, times), default=0)


def _check_loop(repeated: bool, chain: Any) -> None:
    if repeated or len(chain) > MAX_DEPTH:
        raise LookupException("The tf tree is invalid because it contains a loop.")


def _not_connected(target: str, source: str) -> ConnectivityException:
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree."
        "Tf has two or more unconnected trees."
    )


def _problem(parent: str, child: str, pose: Pose) -> str | None:
    """Return the reason why a transform is invalid, or None."""
    if not child or not parent:
        return "a frame has no name"
    if child == parent:
        return "a frame cannot be its own parent"
    if not all(math.isfinite(value) for value in (*pose.translation, *pose.rotation)):
        return "a number is not finite"
    if abs(sum(value * value for value in pose.rotation) - 1.0) > QUATERNION_TOLERANCE:
        return "the rotation is not a unit quaternion"
    return None


def _nanoseconds(time: Any) -> int:
    """Convert an rclpy time or a message time to nanoseconds."""
    if hasattr(time, "nanoseconds"):
        return int(time.nanoseconds)
    if hasattr(time, "sec") and hasattr(time, "nanosec"):
        return int(time.sec) * 10**9 + int(time.nanosec)
    raise TypeError("time must have sec and nanosec, or nanoseconds.")
