"""The node in this process, fed without DDS: a small textured wall, a small grid, the stereo baseline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.logging import LoggingSeverity
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.nodes.stereo_occ.node import StereoOccNode
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS
from occdepth_ros.nodes.stereo_occ.sync import ImagePair

WIDTH, HEIGHT, FOCAL, BASELINE, DISPARITY = 160, 96, 100.0, 0.5, 12
FRAME = "camera_left_optical"
SETTINGS: dict[str, Any] = {
    "model": "stereo-geometry",
    "grid_size": [32, 32, 16],
    "grid_origin": [0.0, -3.2, -1.6],
    "map_size": [64, 64, 32],
    "autostart": False,
    "warm_up": False,
}


class LocalNode:
    """A node that is configured and activated by calls, and receives messages by calls.

    No executor spins the node. A transition therefore never removes entities that another thread waits for; only the
    worker of the node is a thread of its own.

    Args:
        node: the node.
    """

    def __init__(self, node: StereoOccNode) -> None:
        self.node = node
        self.stamp_ns = 100_000_000_000
        self._left, self._right = _images()

    def up(self) -> bool:
        """Configure and activate; returns whether the node is active."""
        self.node.trigger_configure()
        if self.node.label == "inactive":
            self.node.trigger_activate()
        return self.node.label == "active"

    def down(self) -> None:
        """Deactivate and clean up."""
        if self.node.label == "active":
            self.node.trigger_deactivate()
        if self.node.label == "inactive":
            self.node.trigger_cleanup()

    def provide(self) -> None:
        """Give the calibration and the static transform."""
        for side in ("left", "right"):
            self.node._calibration(side, info_message(side))
        assert self.node.pipeline is not None
        buffer = self.node.pipeline.extrinsics._buffer
        buffer.set_transform_static(_transform("velodyne", FRAME, (-0.5, 0.5, -0.5, 0.5)), "soak")
        buffer.set_transform_static(_transform("map", "velodyne", (0.0, 0.0, 0.0, 1.0)), "soak")

    def pair(self) -> ImagePair:
        """Return the next pair."""
        self.stamp_ns += 100_000_000
        messages = []
        for image in (self._left, self._right):
            changed = image.copy()
            changed[0, 0] = self.stamp_ns // 100_000_000 % 251
            messages.append(image_message(changed, self.stamp_ns))
        return ImagePair(messages[0], messages[1], time.monotonic())

    def process(self, pair: ImagePair, timeout: float = 30.0) -> bool:
        """Process one pair in the worker thread; returns whether it was predicted.

        Raises:
            TimeoutError: the worker did not handle the pair.
        """
        pipeline, worker = self.node.pipeline, self.node.worker
        assert pipeline is not None and worker is not None
        end = time.monotonic() + timeout
        # otherwise the end of the pair before, which is still being published, counts as that of this one
        while worker.is_busy:
            if time.monotonic() > end:
                raise TimeoutError("the worker did not finish the pair before")
            time.sleep(0.001)
        before, failed = pipeline.processed, pipeline.failed
        waiting = pipeline.waiting
        worker.slot.put(pair)
        while (pipeline.processed, pipeline.failed) == (before, failed) and pipeline.waiting is waiting:
            if time.monotonic() > end:
                raise TimeoutError("the worker did not handle a pair")
            time.sleep(0.001)
        return pipeline.processed > before


@contextmanager
def local_node(**parameters: Any) -> Iterator[LocalNode]:
    """Create the node in a separate context, with subscribers of all outputs that have a message type."""
    context = rclpy.Context()
    rclpy.init(context=context)
    overrides = [Parameter(name, value=value) for name, value in {**SETTINGS, **parameters}.items()]
    node = StereoOccNode(context=context, parameter_overrides=overrides)
    node.get_logger().set_level(LoggingSeverity.FATAL)
    listener = rclpy.create_node("soak_listener", context=context)
    for spec in OUTPUTS:
        if spec.message is not None:
            listener.create_subscription(spec.message, f"/stereo_occ/{spec.name}", lambda message: None, spec.qos)
    try:
        yield LocalNode(node)
    finally:
        node.close()
        node.destroy_node()
        listener.destroy_node()
        rclpy.shutdown(context=context)


def image_message(image: npt.NDArray[np.uint8], stamp_ns: int) -> Image:
    """Return an rgb8 image."""
    message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=image.size // image.shape[0])
    message.header.frame_id = FRAME
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.data = image.tobytes()
    return message


def info_message(side: str) -> CameraInfo:
    """Return the calibration of one side."""
    message = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
    message.header.frame_id = FRAME
    message.d = [0.0] * 5
    message.k = [FOCAL, 0.0, WIDTH / 2, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    shift = 0.0 if side == "left" else -FOCAL * BASELINE
    message.p = [FOCAL, 0.0, WIDTH / 2, shift, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def _images() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    texture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH + DISPARITY), np.uint8)
    left, right = texture[:, :WIDTH], texture[:, DISPARITY : DISPARITY + WIDTH]
    return np.repeat(left[..., None], 3, -1), np.repeat(right[..., None], 3, -1)


def _transform(parent: str, child: str, rotation: tuple[float, float, float, float]) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    q = message.transform.rotation
    q.x, q.y, q.z, q.w = rotation
    return message
