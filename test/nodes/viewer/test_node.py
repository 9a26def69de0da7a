"""The node `viewer`: messages in, a recording out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")
pytest.importorskip("rerun", reason="rerun-sdk is not installed: pip install 'rerun-sdk>=0.34'")

import rclpy
from geometry_msgs.msg import PoseStamped
from helpers.nodes.domains import next_domain
from helpers.predictions import predict
from helpers.recordings import rows_of
from helpers.sequences import make_image
from nav_msgs.msg import Path as PathMessage
from occdepth_ros.msg import SemanticGrid
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float64

from occdepth_ros.nodes.conversions import time_message
from occdepth_ros.nodes.replay.messages import image_message, transform_message
from occdepth_ros.nodes.viewer.node import Viewer
from occdepth_ros.outputs.image import encode_depth
from occdepth_ros.outputs.points import encode_points
from occdepth_ros.outputs.semantic_grid import encode_semantic_grid

pytestmark = pytest.mark.ros
STAMP = 1_700_000_000_000_000_000


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = Viewer(context=context, parameter_overrides=[Parameter("save", value=str(tmp_path / "live.rrd"))])
    yield node
    node.close()
    node.destroy_node()
    rclpy.shutdown(context=context)


def receive(viewer: Viewer, topic: str, message: object) -> None:
    """Call the callback of a topic as the executor does."""
    callbacks = {s.topic_name: s.callback for s in viewer.subscriptions}
    callbacks[topic](message)


def send_all(viewer: Viewer, labels: np.ndarray) -> None:
    prediction = predict(labels, stamp_ns=STAMP)
    receive(viewer, "/stereo_occ/grid", deserialize_message(encode_semantic_grid(prediction, "velodyne"), SemanticGrid))
    image = image_message(make_image(1), "camera_left_optical", grey=False)
    image.header.stamp = time_message(STAMP)
    receive(viewer, "/left/image_rect", image)
    receive(viewer, "/right/image_rect", image)
    receive(viewer, "/stereo_occ/depth", deserialize_message(encode_depth(prediction, "camera"), Image))
    info = CameraInfo(width=160, height=48)
    info.header.frame_id, info.header.stamp = "camera_left_optical", time_message(STAMP)
    info.p = [90.0, 0.0, 80.0, 0.0, 0.0, 90.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.k = [90.0, 0.0, 80.0, 0.0, 90.0, 24.0, 0.0, 0.0, 1.0]
    receive(viewer, "/left/camera_info", info)
    receive(viewer, "/stereo_occ/map/points", deserialize_message(encode_points(prediction, "map"), PointCloud2))
    path = PathMessage(poses=[PoseStamped(), PoseStamped()])
    receive(viewer, "/stereo_occ/map/path", path)
    receive(viewer, "/stereo_occ/debug/processing_time/total_ms", Float64(data=12.0))


def test_every_topic_is_in_the_recording(viewer: Viewer, tmp_path: Path) -> None:
    for parent, child in (("map", "velodyne"), ("velodyne", "camera_left_optical")):
        viewer._buffer.set_transform_static(transform_message(np.eye(4), parent, child, 0), "test")
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[:, :, 0], labels[2, 2, 1] = 9, 1
    send_all(viewer, labels)
    viewer.close()
    rows = rows_of(tmp_path / "live.rrd")
    vehicle = "/world/vehicle"
    assert set(rows) == {
        *("/world", "/legend", vehicle, f"{vehicle}/left", f"{vehicle}/left/image", f"{vehicle}/right/image"),
        *(f"{vehicle}/left/depth", f"{vehicle}/voxels/seen", f"{vehicle}/voxels/completed", "/world/trajectory"),
        *("/world/map/seen", "/world/map/completed", "/world/path", "/timings/total"),
    }


def test_messages_that_cannot_be_shown_and_missing_transforms_do_not_stop_the_node(
    viewer: Viewer, tmp_path: Path
) -> None:
    damaged = Image(width=4, height=4, encoding="rgb8", step=12)
    receive(viewer, "/left/image_rect", damaged)
    receive(viewer, "/stereo_occ/depth", Image(width=4, height=4, encoding="32FC1", step=16))
    receive(viewer, "/stereo_occ/grid", SemanticGrid(size_x=3, size_y=3, size_z=3, resolution=0.2))
    receive(viewer, "/stereo_occ/map/points", PointCloud2())
    send_all(viewer, np.zeros((2, 2, 2), np.uint8))
    viewer.close()
    rows = rows_of(tmp_path / "live.rrd")
    assert "/world/vehicle/left/image" in rows
    assert "/world/vehicle" not in rows
