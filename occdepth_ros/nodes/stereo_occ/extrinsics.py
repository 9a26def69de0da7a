"""Pose of the grid in the left camera, from TF or from parameters."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import tf2_ros
import yaml
from rclpy.node import Node
from rclpy.time import Time

from occdepth_ros.camera import Matrix
from occdepth_ros.errors import InputWarning
from occdepth_ros.nodes.conversions import matrix_of, pose_of
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.sources.grid_frames import grid_frame_candidates
from occdepth_ros.stereo.calibration.extrinsics_checks import OPTICAL_FROM_BODY, body_frame_warning, is_body_frame

POLLING = 0.005
"""Time between two lookups of a late transform, seconds."""
LATENESS = 0.5
"""Age of the newest transform above which none is expected for the present images, seconds."""


@dataclass(frozen=True)
class GridPose:
    """Pose of the grid in the left camera, with its source and age.

    Args:
        left_from_grid: `[4, 4]`, from the grid's frame to the left optical frame.
        source: "tf", "static tf" or "parameters".
        age: stamp of the images minus stamp of the newest transform, seconds; 0 for static transforms.
        warnings: warnings about the frames.
        is_outside: whether the images are later than the newest, or earlier than the oldest known transform.
        left_from_right: pose of the frame of the right images in that of the left ones, `[4, 4]`; None = one frame, or
            not in TF.
    """

    left_from_grid: Matrix
    source: str
    age: float = 0.0
    warnings: tuple[InputWarning, ...] = ()
    is_outside: bool = False
    left_from_right: Matrix | None = None


class Extrinsics:
    """Looks up the pose of the grid for each pair.

    Args:
        node: node of the TF subscriptions.
        settings: `extrinsics`, `camera_from_grid_*`, `grid_frame`, `fixed_frame` and `tf_timeout` are used.
    """

    def __init__(self, node: Node, settings: Settings) -> None:
        self._settings = settings
        self._grid_frame = settings.grid_frame.lstrip("/")
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._waiting_since: float | None = None
        self.last: GridPose | None = None

    def close(self) -> None:
        """Unsubscribe from TF."""
        self._listener.unregister()

    def reset(self) -> None:
        """Discard all transforms; called after the clock has jumped back."""
        self._buffer.clear()

    def pose(self, camera_frame: str, stamp_ns: int, right_frame: str = "") -> GridPose:
        """Return the pose of the grid in `camera_frame` at a time (ns); a leading slash of a frame is ignored.

        Args:
            camera_frame, right_frame: frames of the left and of the right images.
            stamp_ns: the time.

        Raises:
            NamedError: "missing_tf": TF does not connect the two frames, and the parameters are not used, or not before
                `tf_timeout` has passed.
        """
        camera_frame = camera_frame.lstrip("/")
        requested = self._settings.extrinsics
        if requested == "parameters":
            self.last = self._from_parameters()
            return self.last
        try:
            found = self._from_tf(camera_frame, stamp_ns)
            self.last = replace(found, left_from_right=self._right(camera_frame, right_frame.lstrip("/")))
            self._waiting_since = None
            return self.last
        except tf2_ros.TransformException as error:
            now = time.monotonic()
            if self._waiting_since is None:
                self._waiting_since = now
            if requested == "auto" and now - self._waiting_since >= self._settings.tf_timeout:
                self.last = self._from_parameters()
                return self.last
            raise NamedError(
                "missing_tf",
                Component.EXTRINSICS,
                f"TF does not connect the grid frame {self._grid_frame!r} to the camera frame {camera_frame!r} "
                f"({error})",
                remedy=self._remedy(camera_frame),
            ) from error

    def world_from_grid(self, stamp_ns: int, patience: float = 0.0) -> Matrix | None:
        """Return the pose of the grid's frame in `fixed_frame` at a time; None if TF does not have it.

        Args:
            stamp_ns: the time, nanoseconds.
            patience: longest wait for a transform that arrives after the images, seconds; without recent transforms
                between the two frames there is no wait.

        Returns:
            `[4, 4]`, finite.
        """
        fixed_frame = self._settings.fixed_frame.lstrip("/")
        deadline = time.monotonic() + patience
        while True:
            try:
                found = self._buffer.lookup_transform(fixed_frame, self._grid_frame, Time(nanoseconds=stamp_ns))
                break
            except tf2_ros.ExtrapolationException:
                if time.monotonic() >= deadline or not self._is_late(fixed_frame, stamp_ns):
                    return None
                time.sleep(POLLING)
            except tf2_ros.TransformException:
                return None
        matrix = matrix_of(found.transform)
        return matrix if np.isfinite(matrix).all() else None

    def _is_late(self, fixed_frame: str, stamp_ns: int) -> bool:
        """Return whether the newest transform to the fixed frame is less than `LATENESS` older than a time (ns)."""
        try:
            newest = self._buffer.lookup_transform(fixed_frame, self._grid_frame, Time()).header.stamp
        except tf2_ros.TransformException:
            return False
        age = stamp_ns - (int(newest.sec) * 1_000_000_000 + int(newest.nanosec))
        return 0 < age < LATENESS * 1e9

    def _from_parameters(self) -> GridPose:
        settings = self._settings
        pose = pose_of(settings.camera_from_grid_translation, settings.camera_from_grid_rotation)
        return GridPose(pose, "parameters")

    def _from_tf(self, camera_frame: str, stamp_ns: int) -> GridPose:
        grid_frame, is_outside = self._grid_frame, False
        try:
            found = self._buffer.lookup_transform(camera_frame, grid_frame, Time(nanoseconds=stamp_ns))
        except tf2_ros.ExtrapolationException:
            found, is_outside = self._buffer.lookup_transform(camera_frame, grid_frame, Time()), True
        matrix = matrix_of(found.transform)
        if not np.isfinite(matrix).all():
            raise tf2_ros.InvalidArgumentException("the transform contains NaN")
        warnings: tuple[InputWarning, ...] = ()
        if is_body_frame(matrix):
            warnings = (body_frame_warning(camera_frame, matrix),)
            matrix = np.asarray(OPTICAL_FROM_BODY @ matrix)
        newest = self._buffer.lookup_transform(camera_frame, grid_frame, Time()).header.stamp
        newest_ns = int(newest.sec) * 1_000_000_000 + int(newest.nanosec)
        if newest_ns == 0:
            return GridPose(matrix, "static tf", warnings=warnings)
        return GridPose(matrix, "tf", (stamp_ns - newest_ns) * 1e-9, warnings, is_outside)

    def _right(self, camera_frame: str, right_frame: str) -> Matrix | None:
        """Return `GridPose.left_from_right`."""
        if right_frame in ("", camera_frame):
            return None
        try:
            return matrix_of(self._buffer.lookup_transform(camera_frame, right_frame, Time()).transform)
        except tf2_ros.TransformException:
            return None

    def _remedy(self, camera_frame: str) -> str:
        """Return a remedy that lists the TF frames that may be the frame of the grid."""
        frames = yaml.safe_load(self._buffer.all_frames_as_yaml())
        entries = frames if isinstance(frames, dict) else {}
        names = {*entries, *(str(entry.get("parent", "")) for entry in entries.values())}
        possible = [name for name in grid_frame_candidates(names) if name != camera_frame]
        publish = (
            "Publish the transform (tf2 ignores those without a unit quaternion, and logs it), or set extrinsics to "
            "parameters and camera_from_grid_*."
        )
        return f"TF has {', '.join(possible[:4])}: set grid_frame to one of them. {publish}" if possible else publish
