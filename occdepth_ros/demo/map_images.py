"""Images of the growing map during the demo, and of the path of the example planner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.demo.observer import stamp_of
from occdepth_ros.nodes.qos import RESULT, fresh
from occdepth_ros.sources.base import StereoSource
from occdepth_ros.visualization.canvas import ImageArray
from occdepth_ros.visualization.map_view import PATH_COLOR, draw_cloud, stacked

POINTS, GRID_2D, PATH = "/stereo_occ/map/points", "/stereo_occ/map/occupancy_grid", "/stereo_occ/map/path"
MAX_MESSAGES = 32
"""Maximum number of stored messages of a topic; every second message is dropped above it."""
MAX_IMAGES = 4
RESOLUTION_M = 0.2
GROUND_NEAR_M = 0.8
"""Maximum distance of ground voxels that determine the height of a path point, metres."""

Points = npt.NDArray[np.float64]


class MapRecorder:
    """Subscribes to the map and to the planned path.

    Args:
        node: node of the subscriptions.
        plan: whether a planner runs.
    """

    def __init__(self, node: Node, *, plan: bool) -> None:
        self.maps: dict[int, bytes] = {}
        self.paths: dict[int, bytes] = {}
        self.received = 0
        node.create_subscription(PointCloud2, POINTS, self._keep_map, fresh(RESULT), raw=True)
        if plan:
            node.create_subscription(Path, PATH, self._keep_path, fresh(RESULT), raw=True)

    def _keep_map(self, message: bytes) -> None:
        self._keep(self.maps, stamp_of(message, kind=PointCloud2), message)

    def _keep_path(self, message: bytes) -> None:
        self.received += 1
        self._keep(self.paths, stamp_of(message, kind=Path), message)

    @staticmethod
    def _keep(kept: dict[int, bytes], stamp: int, message: bytes) -> None:
        kept[stamp] = message
        if len(kept) > MAX_MESSAGES:
            for old in list(kept)[-2::-2]:
                del kept[old]

    @property
    def planned(self) -> int:
        """Number of kept paths that are not empty."""
        return sum(len(self.path_at(stamp)) > 0 for stamp in self.paths)

    def path_at(self, stamp: int) -> Points:
        """Return the newest path that was planned until a time (ns), `[N, 3]` in the map's frame, without heights."""
        known = [other for other in self.paths if other <= stamp]
        if not known:
            return np.empty((0, 3))
        poses = deserialize_message(self.paths[max(known)], Path).poses
        return np.array([(p.pose.position.x, p.pose.position.y, 0.0) for p in poses], np.float64).reshape(-1, 3)


def draw_maps(recorder: MapRecorder, source: StereoSource, frame_of: Mapping[int, int]) -> dict[int, ImageArray]:
    """Draw the map at up to `MAX_IMAGES` moments, with the path in the left image and in the map.

    Args:
        recorder: the received messages.
        source: the replayed sequence.
        frame_of: stamp (ns) of a pair to its frame in the source.

    Returns:
        figures by frame.
    """
    stamps = sorted(stamp for stamp in recorder.maps if stamp in frame_of)
    chosen = {stamps[i] for i in np.linspace(0, len(stamps) - 1, min(MAX_IMAGES, len(stamps))).astype(int)}
    figures = {}
    for stamp in sorted(chosen):
        points, colors, labels = read_points(deserialize_message(recorder.maps[stamp], PointCloud2))
        frame = source[frame_of[stamp]]
        if not len(points) or frame.world_from_grid is None:
            continue
        path = on_ground(recorder.path_at(stamp), points, labels)
        poses = (source[frame_of[s]].world_from_grid for s in stamps if s <= stamp and frame_of[s] <= frame_of[stamp])
        track = np.array([pose[:3, 3] for pose in poses if pose is not None])
        image = draw_path(frame.left, path, source, frame.world_from_grid)
        above = draw_cloud(points, colors, RESOLUTION_M, track, path)
        figures[frame_of[stamp]] = stacked([image, above])
    return figures


def read_points(cloud: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return positions `[N, 3]`, colours `[N, 3]` and labels `[N]` of a cloud of the node."""
    rows = np.frombuffer(memoryview(cloud.data), np.uint8).reshape(-1, cloud.point_step)
    at = {field.name: field.offset for field in cloud.fields}
    xyz = np.ascontiguousarray(rows[:, at["x"] : at["x"] + 12]).view("<f4").astype(np.float32)
    # 0x00RRGGBB, little endian
    return xyz, rows[:, at["rgb"] : at["rgb"] + 3][:, ::-1], rows[:, at["label"]]


def on_ground(path: Points, points: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> Points:
    """Return a path with the height of the ground near each point, `[M, 3]`; points without ground are left out."""
    ground = points[SEMANTIC_KITTI.is_ground.take(labels)]
    out = []
    for x, y, _ in path:
        near = ground[np.hypot(ground[:, 0] - x, ground[:, 1] - y) < GROUND_NEAR_M]
        if len(near):
            out.append((x, y, float(np.median(near[:, 2]))))
    return np.array(out, np.float64).reshape(-1, 3)


def draw_path(left: ImageArray, path: Points, source: StereoSource, world_from_grid: Points) -> ImageArray:
    """Return the left image with a path drawn on the ground."""
    image = np.ascontiguousarray(left).copy()
    camera_from_world = source.rig.left_from_grid @ np.linalg.inv(world_from_grid)
    ahead = path @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    ahead = ahead[ahead[:, 2] > 1.0]
    pixels = ahead @ source.rig.left.intrinsics.T
    uv = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(np.int32)
    cv2.polylines(image, [uv], False, PATH_COLOR, 4, cv2.LINE_AA)
    return image
