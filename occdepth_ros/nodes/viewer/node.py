"""The node `viewer`: shows images, depth, voxels, map, trajectory, path and timings of a running node in rerun.

Subscribes to `left/image_rect`, `right/image_rect` and `left/camera_info`, to TF, and to `grid`, `depth`, `map/points`,
`map/path` and `debug/processing_time/*_ms` of the node. Each message is shown at its stamp; durations, which have no
stamp, are shown at the newest one.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import tf2_ros
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float64

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.msg import SemanticGrid
from occdepth_ros.nodes.conversions import camera_of, image_of, matrix_of
from occdepth_ros.nodes.parameter_binding import declare_parameters
from occdepth_ros.nodes.qos import RESULT, SENSOR_DATA, fresh
from occdepth_ros.nodes.running import run_node
from occdepth_ros.nodes.stereo_occ.monitoring.timing import STAGES
from occdepth_ros.nodes.viewer.parameters import ViewerSettings
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.visualization.viewer_log import opened_log

SUMMARY = "Shows the topics of a running stereo_occ in the viewer rerun: in a browser, in its window, or in a file."


class Viewer(Node):
    """Shows the received messages.

    Raises:
        OccDepthError: a parameter is invalid, rerun is not installed, or the file cannot be written.
    """

    def __init__(self, **options: object) -> None:
        super().__init__("viewer", **options)
        self.settings = settings = declare_parameters(
            self, ViewerSettings, read_only=frozenset(ViewerSettings.declared())
        )
        self._open = ExitStack()
        save = FilePath(settings.save) if settings.save else None
        self.log = self._open.enter_context(opened_log(save, native=settings.native, port=settings.port))
        self.log.legend(SEMANTIC_KITTI)
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, self)
        self._grid_frame = ""
        self._edge = 0.0
        self._stamped = False
        node = "/" + settings.node.strip("/")
        self._show(Image, "left/image_rect", SENSOR_DATA, partial(self._image, "left"))
        self._show(Image, "right/image_rect", SENSOR_DATA, partial(self._image, "right"))
        self._show(CameraInfo, "left/camera_info", SENSOR_DATA, self._camera)
        self._show(SemanticGrid, f"{node}/grid", RESULT, self._voxels)
        self._show(Image, f"{node}/depth", RESULT, self._depth)
        self._show(PointCloud2, f"{node}/map/points", RESULT, self._map)
        self._show(Path, f"{node}/map/path", RESULT, self._path)
        for stage in STAGES:
            topic = f"{node}/debug/processing_time/{stage}_ms"
            self._show(Float64, topic, RESULT, partial(self._timing, stage))

    def close(self) -> None:
        """Complete the recording."""
        self._open.close()

    def _show(self, kind: type, topic: str, qos: Any, show: Any) -> None:
        """Subscribe; a message that cannot be shown is reported and skipped."""

        def receive(message: Any) -> None:
            try:
                stamp = message.header.stamp if hasattr(message, "header") else None
                # an empty path has no stamp
                if stamp is not None and (stamp.sec or stamp.nanosec or not self._stamped):
                    self.log.at(stamp.sec * 1_000_000_000 + stamp.nanosec)
                    self._stamped = True
                show(message)
            except (OccDepthError, ValueError, KeyError) as error:
                self.get_logger().warning(f"{topic}: {error}", throttle_duration_sec=5.0)
            except tf2_ros.TransformException as error:
                self.get_logger().info(f"{topic}: waiting for TF ({error})", throttle_duration_sec=5.0)

        self.create_subscription(kind, topic, receive, fresh(qos))

    def _image(self, side: str, message: Image) -> None:
        self.log.image(side, image_of(message, f"{side}/image_rect"))

    def _camera(self, message: CameraInfo) -> None:
        if self._grid_frame:
            camera = camera_of(message, "left/camera_info")
            self.log.camera("left", camera, self._pose(message.header.frame_id, self._grid_frame, message))

    def _voxels(self, message: SemanticGrid) -> None:
        size = (message.size_x, message.size_y, message.size_z)
        origin = (message.origin.x, message.origin.y, message.origin.z)
        grid = VoxelGrid(origin, size, message.resolution, message.header.frame_id)
        arrays = [
            np.frombuffer(memoryview(values), np.uint8).reshape(size)
            for values in (message.labels, message.confidence, message.visibility)
        ]
        self._grid_frame, self._edge = message.header.frame_id, grid.resolution
        nothing = np.full((1, 1), np.nan, np.float32)
        self.log.voxels(OccupancyPrediction(grid, arrays[0], arrays[1], arrays[2], nothing))
        self.log.pose(self._pose(self.settings.fixed_frame, self._grid_frame, message))

    def _depth(self, message: Image) -> None:
        if message.encoding != "32FC1" or len(message.data) != 4 * message.height * message.width:
            raise ValueError("the depth is not 32FC1 without padding")
        depth = np.frombuffer(memoryview(message.data), "<f4").reshape(message.height, message.width)
        self.log.depth(depth)

    def _map(self, message: PointCloud2) -> None:
        if not self._edge:
            return
        rows = np.frombuffer(memoryview(message.data), np.uint8).reshape(-1, message.point_step)
        at = {field.name: field.offset for field in message.fields}
        points = np.ascontiguousarray(rows[:, at["x"] : at["x"] + 12]).view("<f4").astype(np.float64)
        seen = rows[:, at["visibility"]] == int(Visibility.SEEN)
        self.log.map_points(points, rows[:, at["label"]], seen, SEMANTIC_KITTI, self._edge)

    def _path(self, message: Path) -> None:
        positions = (pose.pose.position for pose in message.poses)
        self.log.path(np.array([(p.x, p.y, p.z) for p in positions], np.float64).reshape(-1, 3))

    def _timing(self, stage: str, message: Float64) -> None:
        self.log.timings({stage: message.data})

    def _pose(self, target: str, source: str, message: Any) -> Matrix:
        """Return the pose of `source` in `target` at the stamp of a message, or the newest pose if TF has none then."""
        try:
            found = self._buffer.lookup_transform(target, source, Time.from_msg(message.header.stamp))
        except tf2_ros.ExtrapolationException:
            found = self._buffer.lookup_transform(target, source, Time())
        return matrix_of(found.transform)


def main(arguments: list[str] | None = None) -> int:
    """Run the node, see `run_node`."""
    return run_node("viewer", SUMMARY, ViewerSettings, Viewer, arguments, Viewer.close)


if __name__ == "__main__":
    sys.exit(main())
