"""ROS 1 and ROS 2 bags with a stereo pair, read without ROS by the package rosbags.

Topics are found by name (`bag_topics`), so that bags of kitti2bag (raw and odometry), kitti_to_ros2bag and common
camera drivers open as they are. The pose of the grid's frame comes from recorded TF; without it a level camera is
assumed, with the grid's frame at the left camera.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import CalibrationError, ImageError, SourceError
from occdepth_ros.sources.bag_images import camera_of, rectifier_of
from occdepth_ros.sources.bag_tf import TransformTree
from occdepth_ros.sources.bag_topics import StereoTopics, choose_topics
from occdepth_ros.sources.base import SceneGroundTruth, StereoFrame
from occdepth_ros.sources.encodings import ImageDecoder
from occdepth_ros.sources.pairing import Pairing, pair_stamps

GRID_FRAMES = ("velodyne", "velo_link", "lidar", "lidar_link", "os_sensor", "base_link", "base_footprint")
"""Frames that the voxel grid is fixed in, the first one in the bag's TF counts."""
LEVEL = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
"""Pose of a grid's frame in the optical frame of a level camera that looks along x."""
_TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")


def is_bag(path: Path) -> bool:
    """Whether the path is a bag: a file, or a rosbag2 folder."""
    return path.suffix in (".bag", ".mcap", ".db3") if path.is_file() else (path / "metadata.yaml").is_file()


@dataclass(frozen=True)
class _Place:
    """Where an image is in the bag."""

    bag_ns: int
    stamp_ns: int


class BagSequence:
    """A `StereoSource` over a bag.

    Args:
        path: the bag.

    Raises:
        SourceError: rosbags is missing, the bag is damaged, or has no stereo pair.
        CalibrationError: the recorded CameraInfo is unusable.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._decoder = ImageDecoder()
        self.pairing: Pairing
        self._highlevel = _rosbags("rosbags.highlevel")
        # sqlite3 allows a connection in one thread only
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bag")
        try:
            self._thread.submit(self._open, path).result()
        except (SourceError, CalibrationError, ImageError):
            raise
        except Exception as error:  # rosbags, sqlite3 and struct each raise their own for damaged files
            raise SourceError(
                f"the bag cannot be read ({error})",
                where=self.name,
                remedy="Check it with `ros2 bag info`, or copy it again.",
            ) from error

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> StereoFrame:
        """Read one pair from the bag.

        Raises:
            IndexError: there is no such frame.
            ImageError: an image is damaged or of another size than the calibration.
        """
        pair = self._pairs[index]
        left, right = self._thread.submit(lambda: [self._message(s, place) for s, place in enumerate(pair)]).result()
        images = [self._image(side, message) for side, message in enumerate((left, right))]
        stamp = pair[0].stamp_ns
        pose = self._tree.pose(self._tree.root(self.grid_frame), self.grid_frame, stamp) if self._has_poses else None
        return StereoFrame(f"{index:06d}", stamp, images[0][0], images[1][0], pose, grey=images[0][1] and images[1][1])

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        """None: bags carry no ground truth."""
        return None

    def period_s(self) -> float:
        """Median time between frames, seconds; 0.1 for a single frame."""
        stamps = [pair[0].stamp_ns for pair in self._pairs]
        return float(np.median(np.diff(stamps))) * 1e-9 if len(stamps) > 1 else 0.1

    def _open(self, path: Path) -> None:
        stores = _rosbags("rosbags.typesys")
        store = stores.get_typestore(stores.Stores.ROS2_HUMBLE)
        self._reader = self._highlevel.AnyReader([path], default_typestore=store)
        self._reader.open()
        kinds = {connection.topic: connection.msgtype for connection in self._reader.connections}
        self._topics: StereoTopics = choose_topics(kinds, self.name)
        infos, self._tree, self._pairs = self._scan(kinds)
        frame_id = infos["left_frame"]
        left, right = (camera_of(infos[side], f"{self.name} {side} camera_info") for side in ("left", "right"))
        images = ((infos["left"], self._topics.left), (infos["right"], self._topics.right))
        self._maps = [rectifier_of(info, topic) for info, topic in images]
        self.grid_frame, left_from_grid = self._grid_pose(frame_id)
        self._has_poses = self._tree.moves(self.grid_frame)
        try:
            rig = StereoRig(left, right, np.eye(4)).referenced_to_left()
            self.rig = StereoRig(rig.left, rig.right, left_from_grid)
        except CalibrationError as error:
            raise CalibrationError(error.what, where=self.name, remedy=error.remedy) from error

    def _scan(self, kinds: dict[str, str]) -> tuple[dict[str, Any], TransformTree, list[tuple[_Place, _Place]]]:
        """One pass over the bag: calibrations, transforms, and where the images are."""
        topics, tree = self._topics, TransformTree()
        infos: dict[str, Any] = {}
        places: dict[str, list[_Place]] = {topics.left: [], topics.right: []}
        sides = {topics.left_info: "left", topics.right_info: "right"}
        transforms = {topic for topic, kind in kinds.items() if kind in _TF_TYPES}
        wanted = [c for c in self._reader.connections if c.topic in {*places, *sides, *transforms}]
        for connection, bag_ns, data in self._reader.messages(wanted):
            if connection.topic in places:
                stamp = self._stamp(data)
                places[connection.topic].append(_Place(bag_ns, stamp or bag_ns))
                if connection.topic == topics.left and "left_frame" not in infos:
                    infos["left_frame"] = self._reader.deserialize(data, connection.msgtype).header.frame_id
            elif connection.topic in transforms:
                for entry in self._reader.deserialize(data, connection.msgtype).transforms:
                    t, q, stamp = entry.transform.translation, entry.transform.rotation, entry.header.stamp
                    row = (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
                    tree.add(entry.header.frame_id, entry.child_frame_id, _nanoseconds(stamp), row)
            elif sides[connection.topic] not in infos:
                infos[sides[connection.topic]] = self._reader.deserialize(data, connection.msgtype)
        for side in ("left", "right"):
            if side not in infos:
                raise SourceError(f"there is no message of the {side} camera_info", where=self.name)
        return infos, tree, self._paired(places[topics.left], places[topics.right])

    def _paired(self, lefts: list[_Place], rights: list[_Place]) -> list[tuple[_Place, _Place]]:
        """Pairs of one moment, in order of time; images without a partner are left out."""
        pairing = pair_stamps([place.stamp_ns for place in lefts], [place.stamp_ns for place in rights])
        self.pairing = pairing
        if not pairing.pairs:
            raise SourceError(
                f"none of {len(lefts)} left and {len(rights)} right images have stamps within "
                f"{pairing.tolerance_ns * 1e-6:.1f} ms of each other",
                where=self.name,
                remedy="Trigger the cameras together, or correct the stamps.",
            )
        return [(lefts[i], rights[j]) for i, j in pairing.pairs]

    def _stamp(self, data: bytes) -> int:
        """header.stamp of a serialised message, nanoseconds: it comes first, behind 4 bytes in CDR and in ROS 1."""
        at = np.frombuffer(data, "<u4", 2, 4)
        return int(at[0]) * 1_000_000_000 + int(at[1])

    def _grid_pose(self, camera_frame: str) -> tuple[str, Matrix]:
        """Name of the grid's frame, and its pose in the left optical frame."""
        stamp = self._pairs[0][0].stamp_ns
        for name in GRID_FRAMES:
            if name in self._tree.frames:
                pose = self._tree.pose(camera_frame, name, stamp)
                if pose is not None:
                    return name, pose
        return GRID_FRAMES[0], LEVEL

    def _message(self, side: int, place: _Place) -> Any:
        topic = (self._topics.left, self._topics.right)[side]
        connections = [c for c in self._reader.connections if c.topic == topic]
        for connection, _, data in self._reader.messages(connections, place.bag_ns, place.bag_ns + 1):
            if self._stamp(data) in (place.stamp_ns, 0):
                return self._reader.deserialize(data, connection.msgtype)
        raise ImageError("the image has vanished from the bag", where=f"{self.name} {topic}")

    def _image(self, side: int, message: Any) -> tuple[npt.NDArray[np.uint8], bool]:
        topic = (self._topics.left, self._topics.right)[side]
        image, grey = self._decoder(message, f"{self.name} {topic}")
        expected = (self.rig.left.width, self.rig.left.height)
        if image.shape[1::-1] != expected:
            size = image.shape[1::-1]
            raise ImageError(
                f"the image is {size[0]}x{size[1]}, its CameraInfo says {expected[0]}x{expected[1]}",
                where=f"{self.name} {topic}",
            )
        maps = self._maps[side]
        if maps is not None:
            image = np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)
        return image, grey


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _rosbags(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SourceError(
            "reading bags needs the package rosbags", where=module, remedy="Install it: pip install rosbags"
        ) from error
