"""Bags for tests: ROS 1, and ROS 2 with sqlite3 or mcap storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from helpers.sequences import BASELINE, HEIGHT, WIDTH, lidar_poses, make_image, projection

START = 1_317_042_278_000_000_000
OPTICAL = np.array([0.5, -0.5, 0.5, -0.5])
"""Rotation of an optical frame in a frame with x forward: quaternion x, y, z, w."""


class Recorder:
    """Writes one bag; messages are described once for ROS 1 and ROS 2."""

    def __init__(self, path: Path, kind: str) -> None:
        self.late = 0
        """Time of recording after the stamp, nanoseconds."""
        self.alter: Callable[[bytes], bytes] = bytes
        """Function that changes the streams before they are written."""
        self.one = kind == "ros1"
        self.store = get_typestore(Stores.ROS1_NOETIC if self.one else Stores.ROS2_HUMBLE)
        if self.one:
            text = "geometry_msgs/TransformStamped[] transforms"
            self.store.register(get_types_from_msg(text, "tf2_msgs/msg/TFMessage"))
            self.writer: Any = Writer1(path)
        else:
            plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
            self.writer = Writer2(path, version=9, storage_plugin=plugin)
        self.connections: dict[str, Any] = {}

    def __enter__(self) -> Recorder:
        self.writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def type(self, name: str) -> Callable[..., Any]:
        return self.store.types[name]

    def header(self, stamp: int, frame: str) -> Any:
        time = self.type("builtin_interfaces/msg/Time")(sec=stamp // 10**9, nanosec=stamp % 10**9)
        extra = {"seq": 0} if self.one else {}
        return self.type("std_msgs/msg/Header")(stamp=time, frame_id=frame, **extra)

    def write(self, topic: str, kind: str, message: Any, stamp: int) -> None:
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        serialize = self.store.serialize_ros1 if self.one else self.store.serialize_cdr
        self.writer.write(self.connections[topic], stamp + self.late, self.alter(bytes(serialize(message, kind))))

    def image(self, topic: str, pixels: np.ndarray, stamp: int, frame: str, encoding: str = "rgb8") -> None:
        self.raw(topic, pixels.ravel(), pixels.shape[1::-1], pixels[0].size, stamp, frame, encoding)

    def raw(
        self, topic: str, data: np.ndarray, size: tuple[int, ...], step: int, stamp: int, frame: str, encoding: str
    ) -> None:
        """An image by its bytes; size is width and height."""
        message = self.type("sensor_msgs/msg/Image")(
            header=self.header(stamp, frame),
            height=size[1],
            width=size[0],
            encoding=encoding,
            is_bigendian=0,
            step=step,
            data=data,
        )
        self.write(topic, "sensor_msgs/msg/Image", message, stamp + 1_000_000)

    def compressed(self, topic: str, contents: bytes, stamp: int, form: str = "png") -> None:
        message = self.type("sensor_msgs/msg/CompressedImage")(
            header=self.header(stamp, "camera"), format=form, data=np.frombuffer(contents, np.uint8)
        )
        self.write(topic, "sensor_msgs/msg/CompressedImage", message, stamp + 1_000_000)

    def info(
        self,
        topic: str,
        p: np.ndarray,
        stamp: int,
        *,
        d: tuple[float, ...] = (),
        k: np.ndarray | None = None,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        model: str = "plumb_bob",
        frame: str = "camera",
    ) -> None:
        region = self.type("sensor_msgs/msg/RegionOfInterest")(
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        matrices = {
            "d": np.array(d, float),
            "k": (np.zeros((3, 3)) if k is None else k).ravel(),
            "r": np.eye(3).ravel(),
            "p": p.astype(float).ravel(),
        }
        message = self.type("sensor_msgs/msg/CameraInfo")(
            header=self.header(stamp, frame),
            height=size[1],
            width=size[0],
            distortion_model=model,
            binning_x=0,
            binning_y=0,
            roi=region,
            **{name.upper() if self.one else name: value for name, value in matrices.items()},
        )
        self.write(topic, "sensor_msgs/msg/CameraInfo", message, stamp)

    def tf(self, topic: str, stamp: int, parent: str, child: str, position: np.ndarray, quaternion: np.ndarray) -> None:
        kind = "tf2_msgs/msg/TFMessage"
        x, y, z = (float(v) for v in position)
        a, b, c, d = (float(v) for v in quaternion)
        transform = self.type("geometry_msgs/msg/Transform")(
            translation=self.type("geometry_msgs/msg/Vector3")(x=x, y=y, z=z),
            rotation=self.type("geometry_msgs/msg/Quaternion")(x=a, y=b, z=c, w=d),
        )
        entry = self.type("geometry_msgs/msg/TransformStamped")(
            header=self.header(stamp, parent), child_frame_id=child, transform=transform
        )
        self.write(topic, kind, self.type(kind)(transforms=[entry]), stamp)


def stereo(bag: Recorder, left: str, right: str, count: int = 3, frame: str = "camera", **info: Any) -> None:
    """Images and calibrations of a pair; the right stamps are half a millisecond earlier, as KITTI's."""
    for i in range(count):
        stamp = START + i * 100_000_000
        bag.image(left, make_image(i), stamp, frame)
        bag.image(right, make_image(100 + i), stamp - 500_000, frame)
        bag.info(left.rsplit("/", 1)[0] + "/camera_info", projection(0.06), stamp, **info)
        bag.info(right.rsplit("/", 1)[0] + "/camera_info", projection(0.06 - BASELINE), stamp, **info)


def kitti_tf(bag: Recorder, count: int = 3) -> None:
    """TF as kitti2bag records it: world, base_link (moving), imu_link, velo_link, cameras."""
    none = np.array([0.0, 0, 0, 1])
    bag.tf("/tf_static", START, "base_link", "imu_link", np.array([0, 0, 0.93]), none)
    bag.tf("/tf_static", START, "imu_link", "velo_link", np.array([0.8, -0.3, 0.8]), none)
    bag.tf("/tf_static", START, "imu_link", "camera_color_left", np.array([1.1, -0.3, 0.7]), OPTICAL)
    for i, pose in enumerate(lidar_poses(count)):
        half = np.arctan2(pose[1, 0], pose[0, 0]) / 2
        quaternion = np.array([0, 0, np.sin(half), np.cos(half)])
        bag.tf("/tf", START + i * 100_000_000, "world", "base_link", pose[:3, 3], quaternion)


STYLES = {
    "kitti2bag raw": ("/kitti/camera_color_left/image_raw", "/kitti/camera_color_right/image_raw"),
    "kitti2bag odometry": ("/kitti/camera_color_left/image_rect", "/kitti/camera_color_right/image_rect"),
    "kitti_to_ros2bag": ("/kitti/camera/color/left/image_raw", "/kitti/camera/color/right/image_raw"),
    "this package": ("/left/image_rect", "/right/image_rect"),
    "realsense": ("/camera/infra1/image_rect_raw", "/camera/infra2/image_rect_raw"),
}
