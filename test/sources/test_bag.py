from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.sequences import BASELINE, FOCAL, HEIGHT, WIDTH, lidar_poses, make_image, projection

from occdepth_ros.errors import CalibrationError, ImageError, OccDepthError, SourceError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.bag_topics import choose_topics

pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

START = 1_317_042_278_000_000_000
OPTICAL = np.array([0.5, -0.5, 0.5, -0.5])
"""Rotation of an optical frame in a frame with x ahead: quaternion x, y, z, w."""


class Recorder:
    """Writes one bag; messages are described once for ROS 1 and ROS 2."""

    def __init__(self, path: Path, kind: str) -> None:
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
        self.writer.write(self.connections[topic], stamp, serialize(message, kind))

    def image(self, topic: str, pixels: np.ndarray, stamp: int, frame: str, encoding: str = "rgb8") -> None:
        message = self.type("sensor_msgs/msg/Image")(
            header=self.header(stamp, frame),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels[0].size,
            data=pixels.ravel(),
        )
        self.write(topic, "sensor_msgs/msg/Image", message, stamp + 1_000_000)

    def compressed(self, topic: str, contents: bytes, stamp: int) -> None:
        message = self.type("sensor_msgs/msg/CompressedImage")(
            header=self.header(stamp, "camera"), format="png", data=np.frombuffer(contents, np.uint8)
        )
        self.write(topic, "sensor_msgs/msg/CompressedImage", message, stamp + 1_000_000)

    def info(
        self, topic: str, p: np.ndarray, stamp: int, *, d: tuple[float, ...] = (), k: np.ndarray | None = None
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
            header=self.header(stamp, "camera"),
            height=HEIGHT,
            width=WIDTH,
            distortion_model="plumb_bob",
            binning_x=0,
            binning_y=0,
            roi=region,
            **{name.upper() if self.one else name: value for name, value in matrices.items()},
        )
        self.write(topic, "sensor_msgs/msg/CameraInfo", message, stamp)

    def tf(self, topic: str, stamp: int, parent: str, child: str, place: np.ndarray, turn: np.ndarray) -> None:
        kind = "tf2_msgs/msg/TFMessage"
        x, y, z = (float(v) for v in place)
        a, b, c, d = (float(v) for v in turn)
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
        turn = np.array([0, 0, np.sin(half), np.cos(half)])
        bag.tf("/tf", START + i * 100_000_000, "world", "base_link", pose[:3, 3], turn)


STYLES = {
    "kitti2bag raw": ("/kitti/camera_color_left/image_raw", "/kitti/camera_color_right/image_raw"),
    "kitti2bag odometry": ("/kitti/camera_color_left/image_rect", "/kitti/camera_color_right/image_rect"),
    "kitti_to_ros2bag": ("/kitti/camera/color/left/image_raw", "/kitti/camera/color/right/image_raw"),
    "this package": ("/left/image_rect", "/right/image_rect"),
    "realsense": ("/camera/infra1/image_rect_raw", "/camera/infra2/image_rect_raw"),
}


@pytest.mark.parametrize("kind", ["ros1", "sqlite3", "mcap"])
def test_every_container(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("drive.bag" if kind == "ros1" else "drive")
    with Recorder(path, kind) as bag:
        kitti_tf(bag)
        unrectified = np.array([[120.0, 0, 90], [0, 120, 30], [0, 0, 1]])
        stereo(bag, *STYLES["kitti2bag raw"], frame="camera_color_left", d=(-0.37, 0.2, 0, 0, -0.07), k=unrectified)
    source = open_source(path)
    assert (len(source), source.grid_frame) == (3, "velo_link")
    assert source.rig.baseline == pytest.approx(BASELINE)
    assert source.rig.left.projection[0, 0] == FOCAL
    assert source.period_s() == pytest.approx(0.1)
    expected = np.array([[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]])
    np.testing.assert_allclose(source.rig.left_from_grid, expected, atol=1e-9)
    velo = np.eye(4)
    velo[:3, 3] = [0.8, -0.3, 1.73]
    for i in (2, 0, 1):
        frame = source[i]
        assert frame.stamp_ns == START + i * 100_000_000
        np.testing.assert_array_equal(frame.left, make_image(i))
        np.testing.assert_array_equal(frame.right, make_image(100 + i))
        np.testing.assert_allclose(frame.world_from_grid, lidar_poses(3)[i] @ velo, atol=1e-9)
    assert source.ground_truth(0) is None


def test_single_mcap_file(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        stereo(bag, *STYLES["this package"])
    file = next((tmp_path / "drive").glob("*.mcap"))
    np.testing.assert_array_equal(open_source(file)[1].left, make_image(1))


@pytest.mark.parametrize("style", STYLES)
def test_every_naming_opens(tmp_path: Path, style: str) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        stereo(bag, *STYLES[style], count=1)
    source = open_source(tmp_path / "drive")
    assert source.rig.baseline == pytest.approx(BASELINE)
    np.testing.assert_array_equal(source[0].right, make_image(100))
    # nothing is known of the mounting: level, at the camera
    np.testing.assert_allclose(source.rig.left_from_grid[:3, :3], [[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    assert source[0].world_from_grid is None


def test_rectified_colour_is_preferred(tmp_path: Path) -> None:
    kinds = {}
    for family in (
        "/gray/{}/image_rect",
        "/color/{}/image_raw",
        "/color/{}/image_rect",
        "/aaa/{}/image_rect/compressed",
    ):
        for side in ("left", "right"):
            topic = family.format(side)
            kinds[topic] = f"sensor_msgs/msg/{'CompressedImage' if 'compressed' in topic else 'Image'}"
            kinds[topic.split(f"/{side}/")[0] + f"/{side}/camera_info"] = "sensor_msgs/msg/CameraInfo"
    chosen = choose_topics(kinds, "bag")
    assert (chosen.left, chosen.right_info) == ("/color/left/image_rect", "/color/right/camera_info")


def test_raw_images_with_distortion_are_rectified(tmp_path: Path) -> None:
    k = projection()[:, :3]
    smooth = cv2.GaussianBlur(make_image(0), (0, 0), 3)
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            bag.image(f"/{side}/image_raw", smooth, START, "camera")
            bag.info(f"/{side}/camera_info", projection(tx), START, d=(-0.2, 0.05, 0, 0, 0), k=k)
    frame = open_source(tmp_path / "drive")[0]
    expected = cv2.undistort(smooth, k, np.array([-0.2, 0.05, 0, 0, 0]), None, k)
    assert np.abs(frame.left.astype(int) - expected).max() <= 2
    assert np.abs(frame.left.astype(int) - smooth).max() > 10


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "mono8", "bayer_rggb8"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    pixels = {
        "bgr8": rgb[..., ::-1],
        "rgba8": np.dstack([rgb, np.full((HEIGHT, WIDTH), 9, np.uint8)]),
        "mono8": rgb[..., 0],
        "bayer_rggb8": np.tile(np.array([[200, 100], [100, 50]], np.uint8), (HEIGHT // 2, WIDTH // 2)),
    }[encoding]
    with Recorder(tmp_path / "drive", "sqlite3") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            bag.image(f"/{side}/image_rect", np.ascontiguousarray(pixels), START, "camera", encoding)
            bag.info(f"/{side}/camera_info", projection(tx), START)
    frame = open_source(tmp_path / "drive")[0]
    assert frame.grey == (encoding == "mono8")
    expected = rgb if encoding != "mono8" else np.full_like(rgb, 200)
    np.testing.assert_array_equal(frame.left[4:-4, 4:-4], expected[4:-4, 4:-4])


def test_compressed_images_and_damage_in_them(tmp_path: Path) -> None:
    contents = cv2.imencode(".png", make_image(0)[..., ::-1])[1].tobytes()
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            bag.compressed(f"/{side}/image_rect/compressed", contents, START)
            bag.compressed(f"/{side}/image_rect/compressed", contents[:-500], START + 100_000_000)
            bag.info(f"/{side}/camera_info", projection(tx), START)
    source = open_source(tmp_path / "drive")
    np.testing.assert_array_equal(source[0].left, make_image(0))
    with pytest.raises(ImageError, match=r"left/image_rect.*cut off"):
        source[1]


def expect(path: Path, *words: str, error: type[OccDepthError] = SourceError) -> None:
    with pytest.raises(error) as caught:
        open_source(path)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with Recorder(tmp_path / "mono", "mcap") as bag:
        bag.image("/kitti/camera_color_left/image_raw", make_image(0), START, "camera")
    expect(tmp_path / "mono", "no pair", "/kitti/camera_color_left/image_raw")
    with Recorder(tmp_path / "uncalibrated", "mcap") as bag:
        bag.image("/left/image_rect", make_image(0), START, "camera")
        bag.image("/right/image_rect", make_image(0), START, "camera")
    expect(tmp_path / "uncalibrated", "no camera_info", "no CameraInfo at all")
    with Recorder(tmp_path / "unsynchronised", "mcap") as bag:
        for i, side in enumerate(("left", "right")):
            bag.image(f"/{side}/image_rect", make_image(0), START + i * 10**9, "camera")
            bag.info(f"/{side}/camera_info", projection(-i * BASELINE), START)
    expect(tmp_path / "unsynchronised", "none of 1 left and 1 right", "20 ms")


def test_unusable_calibrations(tmp_path: Path) -> None:
    for name, left, right in (("zeros", np.zeros((3, 4)), projection(-1)), ("swapped", projection(), projection(1))):
        with Recorder(tmp_path / name, "mcap") as bag:
            for side, p in (("left", left), ("right", right)):
                bag.image(f"/{side}/image_rect", make_image(0), START, "camera")
                bag.info(f"/{side}/camera_info", p, START)
    expect(tmp_path / "zeros", "left camera_info", "not positive", error=CalibrationError)
    expect(tmp_path / "swapped", "baseline", "swapped", error=CalibrationError)


def test_damaged_bags(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive.bag", "ros1") as bag:
        stereo(bag, *STYLES["this package"])
    contents = (tmp_path / "drive.bag").read_bytes()
    (tmp_path / "drive.bag").write_bytes(contents[: len(contents) // 2])
    expect(tmp_path / "drive.bag", "cannot be read")
    (tmp_path / "empty.mcap").write_bytes(b"")
    expect(tmp_path / "empty.mcap", "cannot be read")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "metadata.yaml").write_text("[]")
    expect(tmp_path / "folder", "cannot be read")


def test_without_rosbags_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drive.mcap").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    expect(tmp_path / "drive.mcap", "needs the package rosbags", "pip install rosbags")
