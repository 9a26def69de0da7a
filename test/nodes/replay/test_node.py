"""The replay node as a process, listened to over DDS."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.nodes.domains import next_domain
from helpers.sequences import BASELINE, FOCAL, HEIGHT, LIDAR_TO_CAMERA, WIDTH, kitti_odometry, lidar_poses, make_image

pytestmark = pytest.mark.ros
for module in ("rclpy", "tf2_ros", "sensor_msgs", "tf2_msgs"):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"no {module}: the replay node needs a ROS 2 environment", allow_module_level=True)

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from occdepth_ros.nodes.replay.parameters import ReplaySettings  # noqa: E402
from occdepth_ros.nodes.stereo_occ.parameters import Settings  # noqa: E402

DOMAIN = next_domain()
BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Deep enough for a listener that is late on a busy machine."""
CAMERA = {
    "left/image_rect": Image,
    "right/image_rect": Image,
    "left/camera_info": CameraInfo,
    "right/camera_info": CameraInfo,
}
Messages = dict[str, list[Any]]


class Listener:
    """Collects every message of the replay's topics."""

    def __init__(self, prefix: str = "/", *, reliable: bool = False) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received: Messages = defaultdict(list)
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic, kind in CAMERA.items():
            # best effort on one side, reliable on the other: both are served
            qos = BEST_EFFORT if topic.startswith("left") and not reliable else 10
            self.node.create_subscription(kind, prefix + topic, self.received[topic].append, qos)
        self.node.create_subscription(Clock, "/clock", self.received["clock"].append, BEST_EFFORT)
        self.node.create_subscription(TFMessage, "/tf", self.received["tf"].append, 100)
        self.node.create_subscription(TFMessage, "/tf_static", self.received["tf_static"].append, latched)

    def collect(self, process: subprocess.Popen[str], limit_s: float = 120.0) -> Messages:
        deadline = time.monotonic() + limit_s
        while process.poll() is None and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        for _ in range(20):
            self.executor.spin_once(timeout_sec=0.01)
        return self.received

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def replay(*arguments: str, **parameters: object) -> subprocess.Popen[str]:
    options = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "occdepth_ros.nodes.replay.node", "--ros-args", *options, *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def pose_of(transform: Any) -> np.ndarray:
    t, q = transform.translation, transform.rotation
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0, 0, 0, 1],
        ]
    )


def test_every_topic_publishes_the_recorded_frames(tmp_path: Path, listener: Listener) -> None:
    process = replay(source=kitti_odometry(tmp_path / "00", 4), count=6, rate=0.5)
    received = listener.collect(process)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "replay: 6 pairs" in output

    stamps = [i * 100_000_000 for i in range(6)]
    for topic in CAMERA:
        assert [stamp_of(m) for m in received[topic]] == stamps, topic
    for i, (left, right) in enumerate(zip(received["left/image_rect"], received["right/image_rect"], strict=True)):
        assert (left.encoding, left.height, left.width, left.step) == ("rgb8", HEIGHT, WIDTH, 3 * WIDTH)
        assert (left.header.frame_id, right.header.frame_id) == ("camera_left_optical", "camera_right_optical")
        np.testing.assert_array_equal(np.asarray(left.data).reshape(HEIGHT, WIDTH, 3), make_image(i % 4))
        np.testing.assert_array_equal(np.asarray(right.data).reshape(HEIGHT, WIDTH, 3), make_image(100 + i % 4))

    left, right = received["left/camera_info"][0], received["right/camera_info"][0]
    assert (left.width, left.height, left.distortion_model) == (WIDTH, HEIGHT, "plumb_bob")
    np.testing.assert_allclose(left.p, [FOCAL, 0, 80, 0, 0, FOCAL, 24, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(right.p, [FOCAL, 0, 80, -FOCAL * BASELINE, 0, FOCAL, 24, 0, 0, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(left.k, [FOCAL, 0, 80, 0, FOCAL, 24, 0, 0, 1])
    assert list(left.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(left.d) == [0] * 5

    clock = [m.clock.sec * 10**9 + m.clock.nanosec for m in received["clock"]]
    assert clock == sorted(clock)
    assert set(stamps) <= set(clock)
    assert len(clock) > 12, "the clock runs between the frames too"

    static = {t.child_frame_id: t for m in received["tf_static"] for t in m.transforms}
    camera_from_lidar = np.vstack([LIDAR_TO_CAMERA, [0, 0, 0, 1]])
    camera_from_lidar[0, 3] += 0.06
    for frame, shift in (("camera_left_optical", 0.0), ("camera_right_optical", BASELINE)):
        assert static[frame].header.frame_id == "velodyne"
        expected = np.linalg.inv(camera_from_lidar)
        expected[:3, 3] += expected[:3, 0] * shift
        np.testing.assert_allclose(pose_of(static[frame].transform), expected, atol=1e-9)

    moving = [t for m in received["tf"] for t in m.transforms]
    assert [stamp_of(t) for t in moving] == stamps
    for i, transform in enumerate(moving):
        assert (transform.header.frame_id, transform.child_frame_id) == ("map", "velodyne")
        np.testing.assert_allclose(pose_of(transform.transform), lidar_poses(4)[i % 4], atol=1e-9)


def test_grey_images_present_stamps_and_frame_names(tmp_path: Path, listener: Listener) -> None:
    before = time.time_ns()
    process = replay(
        source=kitti_odometry(tmp_path / "00", 3, grey=True),
        stamps="now",
        left_frame="eye",
        grid_frame="base_link",
        start=1,
    )
    received = listener.collect(process)
    process.communicate(timeout=60)
    images = received["left/image_rect"]
    assert len(images) == 2
    assert (images[0].encoding, images[0].step, images[0].header.frame_id) == ("mono8", WIDTH, "eye")
    np.testing.assert_array_equal(np.asarray(images[0].data).reshape(HEIGHT, WIDTH), make_image(1, grey=True))
    assert before < stamp_of(images[0]) < stamp_of(images[1]) < time.time_ns()
    assert [stamp_of(m) for m in received["right/camera_info"]] == [stamp_of(m) for m in images]
    assert {t.child_frame_id for m in received["tf"] for t in m.transforms} == {"base_link"}


def test_topics_follow_the_namespace_and_the_sample_is_the_default() -> None:
    # best effort may lose one of such large images
    listener = Listener("/robot/", reliable=True)
    try:
        process = replay("-r", "__ns:=/robot", count=2)
        received = listener.collect(process)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert [len(received[topic]) for topic in CAMERA] == [2, 2, 2, 2]
    finally:
        listener.close()


def test_the_replay_announces_its_end(tmp_path: Path, listener: Listener) -> None:
    ends: list[Header] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.node.create_subscription(Header, "/replay_ended", ends.append, latched)
    process = replay(source=kitti_odometry(tmp_path / "00", 3), rate=0.0)
    received = listener.collect(process)
    process.communicate(timeout=60)
    assert [end.stamp for end in ends] == [received["left/image_rect"][-1].header.stamp]


@pytest.mark.parametrize("node", ["replay", "stereo_occ"])
def test_help_lists_the_parameters(node: str) -> None:
    command = [sys.executable, "-m", f"occdepth_ros.nodes.{node}.node", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert f"ros2 run occdepth_ros {node}" in done.stdout
    declared = (ReplaySettings if node == "replay" else Settings).declared()
    assert all(f"  {name} (" in done.stdout for name in declared)


def test_a_cut_image_is_named_and_its_frame_left_out(tmp_path: Path, listener: Listener) -> None:
    sequence = kitti_odometry(tmp_path / "00", 3)
    victim = sequence / "image_3" / "000000.png"
    victim.write_bytes(victim.read_bytes()[:500])
    process = replay(source=sequence, rate=0.0, wait_for_subscribers=1)
    received = listener.collect(process)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "damaged_image: a frame is left out" in errors
    assert "000000.png" in errors
    assert "2 pairs" in out
    assert "1 damaged frames left out" in out
    assert len(received["left/camera_info"]) == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"source": "nowhere"}, "replay: nowhere: the path does not exist"),
        ({"rate": -1}, "replay: rate: -1.0 is not within 0 to 1000"),
        ({"stamps": "never"}, "replay: stamps: 'never' is not one of recorded, now"),
    ],
)
def test_user_errors_are_one_line_and_code_2(parameters: dict[str, object], message: str) -> None:
    process = replay(**parameters)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
