"""The grid's pose in the left camera: from TF, or from parameters where TF has none."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import tf2_ros
from rclpy.node import Node
from rclpy.time import Time

from occdepth_ros.camera import Matrix
from occdepth_ros.nodes.conversions import matrix_of, pose_of
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.nodes.stereo_occ.parameters import Settings


@dataclass(frozen=True)
class GridPose:
    """A pose and where it came from.

    Args:
        left_from_grid: `[4, 4]`, from the grid's frame to the left optical frame.
        source: "tf", "static tf" or "parameters".
        age: stamp of the images minus stamp of the transform, seconds; 0 where it never changes.
    """

    left_from_grid: Matrix
    source: str
    age: float = 0.0


class Extrinsics:
    """Looks the grid's pose up for each pair.

    Args:
        node: whose TF to listen to.
        settings: `extrinsics`, `camera_from_grid_*`, `grid_frame`, `fixed_frame` and `tf_timeout` are used.
    """

    def __init__(self, node: Node, settings: Settings) -> None:
        self._settings = settings
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._waiting_since: float | None = None
        self.last: GridPose | None = None

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def reset(self) -> None:
        """Forget transforms of a time that the clock jumped away from."""
        self._buffer.clear()

    def pose(self, camera_frame: str, stamp_ns: int) -> GridPose:
        """The pose of the grid in `camera_frame` at a time.

        Raises:
            NamedError: "missing_tf": TF does not connect the two frames, and parameters may not stand in (yet).
        """
        wish = self._settings.extrinsics
        if wish == "parameters":
            self.last = self._from_parameters()
            return self.last
        try:
            self.last = self._from_tf(camera_frame, stamp_ns)
            self._waiting_since = None
            return self.last
        except tf2_ros.TransformException as error:
            now = time.monotonic()
            if self._waiting_since is None:
                self._waiting_since = now
            if wish == "auto" and now - self._waiting_since >= self._settings.tf_timeout:
                self.last = self._from_parameters()
                return self.last
            grid_frame = self._settings.grid_frame
            raise NamedError(
                "missing_tf",
                Component.EXTRINSICS,
                f"TF does not connect the grid's frame {grid_frame!r} with the camera's {camera_frame!r} ({error})",
                remedy="Publish that transform, or set extrinsics to parameters and camera_from_grid_*.",
            ) from error

    def world_from_grid(self, stamp_ns: int) -> Matrix | None:
        """Pose of the grid's frame in `fixed_frame` at a time, `[4, 4]`; None where TF does not have it then."""
        settings = self._settings
        try:
            found = self._buffer.lookup_transform(settings.fixed_frame, settings.grid_frame, Time(nanoseconds=stamp_ns))
        except tf2_ros.TransformException:
            return None
        matrix = matrix_of(found.transform)
        return matrix if np.isfinite(matrix).all() else None

    def _from_parameters(self) -> GridPose:
        settings = self._settings
        pose = pose_of(settings.camera_from_grid_translation, settings.camera_from_grid_rotation)
        return GridPose(pose, "parameters")

    def _from_tf(self, camera_frame: str, stamp_ns: int) -> GridPose:
        grid_frame = self._settings.grid_frame
        try:
            found = self._buffer.lookup_transform(camera_frame, grid_frame, Time(nanoseconds=stamp_ns))
        except tf2_ros.ExtrapolationException:
            found = self._buffer.lookup_transform(camera_frame, grid_frame, Time())
        matrix = matrix_of(found.transform)
        if not np.isfinite(matrix).all():
            raise tf2_ros.InvalidArgumentException("the transform holds NaN")
        newest = self._buffer.lookup_transform(camera_frame, grid_frame, Time()).header.stamp
        newest_ns = int(newest.sec) * 1_000_000_000 + int(newest.nanosec)
        if newest_ns == 0:
            return GridPose(matrix, "static tf")
        return GridPose(matrix, "tf", (stamp_ns - newest_ns) * 1e-9)
