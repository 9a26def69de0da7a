"""The node `replay`: publishes a recorded stereo sequence as live camera topics, TF and /clock.

python -m occdepth_ros.nodes.replay.node --ros-args -p source:=/data/kitti/dataset/sequences/00 -p rate:=0.5
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import ImageError, OccDepthError, SourceError
from occdepth_ros.nodes.conversions import time_message
from occdepth_ros.nodes.parameter_binding import declare_parameters
from occdepth_ros.nodes.qos import LATCHED, REPLAY_ENDED, REPLAYED, fresh, overridable
from occdepth_ros.nodes.replay.messages import camera_infos, image_message, transform_message
from occdepth_ros.nodes.replay.parameters import NOW, ReplaySettings
from occdepth_ros.nodes.replay.schedule import Pace, Timeline, frame_order, read_ahead
from occdepth_ros.nodes.signals import ignore_interrupts, interrupted_once
from occdepth_ros.nodes.usage import help_requested, usage
from occdepth_ros.sources import SourceOptions, StereoSource, open_source
from occdepth_ros.sources.readable import DAMAGED, first_readable

DISCOVERY_S = 1.0
"""Delay after the subscribers were discovered, seconds: they may discover the publisher later."""
ACKNOWLEDGE_S = 10.0
"""Maximum time to wait for reliable subscribers to acknowledge the last pairs, seconds."""
LINGER_S = 1.0
"""Time for best-effort subscribers, which send no acknowledgement, to read the last pairs, seconds."""
SUMMARY = (
    "Publishes a recorded stereo sequence as left/image_rect, right/image_rect, left/camera_info, right/camera_info, "
    "TF and /clock, and replay_ended after the last pair."
)


@dataclass
class Prepared:
    """One pair, as messages without stamps, with its recorded stamp (ns) and its pose `[4, 4]`."""

    stamp_ns: int
    images: tuple[Image, Image]
    pose: Matrix | None
    rig: StereoRig | None = None


class Replay(Node):
    """Publishes a recorded sequence once or repeatedly.

    Raises:
        OccDepthError: a parameter is invalid, or the sequence cannot be read.
    """

    def __init__(self) -> None:
        super().__init__("replay")
        self.settings = declare_parameters(self, ReplaySettings, read_only=frozenset(ReplaySettings.declared()))
        self.source: StereoSource = self._open()
        self.order = frame_order(len(self.source), self.settings)
        self.grid_frame = self.settings.grid_frame or self.source.grid_frame
        self.infos = camera_infos(self.source.rig, self.settings.left_frame, self.settings.right_frame)
        self.image_publishers = [self._camera_publisher(Image, f"{side}/image_rect") for side in ("left", "right")]
        self.info_publishers = [self._camera_publisher(CameraInfo, f"{side}/camera_info") for side in ("left", "right")]
        self.clock_publisher = self.create_publisher(Clock, "/clock", REPLAYED) if self.settings.clock_hz > 0 else None
        self.end_publisher = self.create_publisher(Header, REPLAY_ENDED, fresh(LATCHED))
        self.tf = TransformBroadcaster(self)
        self.static_tf = StaticTransformBroadcaster(self)
        self.timeline = Timeline(round(self.source.period_s() * 1e9))
        self.pace = Pace(self.settings.rate)
        self.moments: tuple[float, ...] = ()
        self.published = 0
        self.damaged = 0
        self._last_stamp_ns: int | None = None

    def _open(self) -> StereoSource:
        settings = self.settings
        options = SourceOptions(settings.topics, settings.left_topic, settings.right_topic, settings.grid_frame)
        try:
            source = open_source(settings.source, options)
        except SourceError:
            if not settings.grid_frame:
                raise
            # a name that is not in the TF of the sequence renames its grid frame
            source = open_source(settings.source, replace(options, grid_frame=""))
        about = source.description
        self.get_logger().info(
            f"{about.images or source.name}; {about.choice or 'the only stereo pair'}; pose from {about.pose}"
        )
        for warning in about.warnings:
            self.get_logger().warning(f"{warning.name}: {warning}")
        return source

    def _camera_publisher(self, kind: type, topic: str) -> Publisher:
        return self.create_publisher(kind, topic, REPLAYED, qos_overriding_options=overridable())

    def play(self) -> None:
        """Publish all frames at their times; returns early if ROS shuts down.

        Raises:
            OccDepthError: no frame can be read, or the poses of a recording cannot be used.
        """
        self.get_logger().info(f"{self.source.name}: {len(self.source)} frames, period {self.source.period_s():.3f} s")
        try:
            self._publish_rig()
            self._wait_for_subscribers()
            self._publish_all()
            self._publish_end()
            self._drain()
        except KeyboardInterrupt:
            pass
        except RuntimeError:  # raised by rclpy when ROS shuts down during a call
            if rclpy.ok():
                raise
        self._summarise()

    def _publish_all(self) -> None:
        damaged: ImageError | None = None
        for prepared in read_ahead(self.order, self._prepare):
            if isinstance(prepared, ImageError):
                self.damaged += 1
                damaged = prepared
                self.get_logger().warning(f"{DAMAGED}: a frame is left out: {prepared}")
                if not self.published and self.damaged >= len(self.source):
                    raise prepared
                continue
            stamp = self.timeline.stamp(prepared.stamp_ns)
            if prepared.pose is None and not self.published:
                self.get_logger().warning(
                    f"the sequence has no poses: TF has no transform to {self.grid_frame!r} from a fixed frame"
                )
            if not self._wait_until(self.pace.due(stamp)):
                return
            self._publish(prepared, stamp)
            self.moments = (self.moments[0] if self.moments else time.monotonic(), time.monotonic())
            self.published += 1
        if damaged is not None and not self.published:
            raise damaged

    def _prepare(self, index: int) -> Prepared | ImageError:
        """Read one frame; return the error if its images are damaged."""
        try:
            frame = self.source[index]
        except ImageError as error:
            return error
        left = image_message(frame.left, self.settings.left_frame, grey=frame.grey)
        right = image_message(frame.right, self.settings.right_frame, grey=frame.grey)
        return Prepared(frame.stamp_ns, (left, right), frame.world_from_grid, frame.rig)

    def _wait_for_subscribers(self) -> None:
        requested = self.settings.wait_for_subscribers
        publishers = (*self.image_publishers, *self.info_publishers)
        waited = 0.0
        while rclpy.ok() and min(publisher.get_subscription_count() for publisher in publishers) < requested:
            if round(waited, 2) % 5 == 0:
                self.get_logger().info(f"waiting until every camera topic has {requested} subscriber(s)")
            time.sleep(0.05)
            waited += 0.05
        if requested:
            time.sleep(DISCOVERY_S)

    def _wait_until(self, due: float) -> bool:
        """Sleep until `due` (steady clock, seconds) and publish /clock meanwhile. Returns False if ROS shuts down."""
        while rclpy.ok():
            now = time.monotonic()
            if now >= due:
                return True
            tick = now + 1 / self.settings.clock_hz if self.settings.clock_hz > 0 else due
            time.sleep(max(min(tick, due, now + 0.1) - now, 0))
            moment = time.monotonic()
            stamp = time.time_ns() if self.settings.stamps == NOW else self.pace.stamp_at(moment)
            if moment < due and stamp is not None:
                self._publish_clock(stamp)
        return False

    def _publish_clock(self, stamp_ns: int) -> None:
        if self.clock_publisher is not None:
            self.clock_publisher.publish(Clock(clock=time_message(stamp_ns)))

    def _publish_rig(self) -> None:
        if first_readable(self.source, range(self.settings.start, len(self.source))).rig is None:
            # static transforms are valid at all times, so their stamp is 0
            self.static_tf.sendTransform(self._camera_transforms(self.source.rig, 0))

    def _camera_transforms(self, rig: StereoRig, stamp_ns: int) -> list[TransformStamped]:
        cameras = ((rig.left_from_grid, self.settings.left_frame), (rig.right_from_grid, self.settings.right_frame))
        return [
            transform_message(np.asarray(np.linalg.inv(pose)), self.grid_frame, frame, stamp_ns)
            for pose, frame in cameras
        ]

    def _publish(self, prepared: Prepared, recorded_ns: int) -> None:
        stamp_ns = time.time_ns() if self.settings.stamps == NOW else recorded_ns
        stamp = time_message(stamp_ns)
        self._publish_clock(stamp_ns)
        if prepared.pose is not None:
            self.tf.sendTransform(transform_message(prepared.pose, self.settings.map_frame, self.grid_frame, stamp_ns))
        if prepared.rig is not None:
            self.tf.sendTransform(self._camera_transforms(prepared.rig, stamp_ns))
        for info, publisher in zip(self.infos, self.info_publishers, strict=True):
            info.header.stamp = stamp
            publisher.publish(info)
        self._last_stamp_ns = stamp_ns
        for image, publisher in zip(prepared.images, self.image_publishers, strict=True):
            image.header.stamp = stamp
            publisher.publish(image)

    def _publish_end(self) -> None:
        if self._last_stamp_ns is not None:
            message = Header()
            message.stamp = time_message(self._last_stamp_ns)
            self.end_publisher.publish(message)

    def _drain(self) -> None:
        """Wait until the subscribers have received the last pair, because destroying the publishers discards it."""
        deadline = time.monotonic() + ACKNOWLEDGE_S
        for publisher in (*self.image_publishers, *self.info_publishers, self.end_publisher):
            left = deadline - time.monotonic()
            if left > 0 and rclpy.ok():
                publisher.wait_for_all_acked(Duration(seconds=left))
        if rclpy.ok() and any(publisher.get_subscription_count() for publisher in self.image_publishers):
            time.sleep(LINGER_S)

    def _summarise(self) -> None:
        seconds = self.moments[1] - self.moments[0] if self.moments else 0.0
        hz = (self.published - 1) / seconds if seconds > 0 else 0.0
        requested = f" of {self.settings.rate / self.source.period_s():.2f}" if self.settings.rate else ""
        late = f", {self.pace.late} late" if self.pace.late else ""
        damaged = f", {self.damaged} damaged frames left out" if self.damaged else ""
        print(f"replay: {self.published} pairs in {seconds:.2f} s, {hz:.2f}{requested} Hz{late}{damaged}", flush=True)


@interrupted_once()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node.

    Returns:
        0 at the end of the sequence, after an interrupt or with --help, 2 on an error that the user can correct.
    """
    if help_requested(arguments):
        print(usage("replay", SUMMARY, ReplaySettings))
        return 0
    rclpy.init(args=list(arguments) if arguments is not None else None)
    executor = SingleThreadedExecutor()
    spinner = threading.Thread(target=_spin, args=(executor,), daemon=True)
    node: Replay | None = None
    try:
        node = Replay()
        executor.add_node(node)
        # the executor answers parameter services while this thread publishes
        spinner.start()
        node.play()
    except OccDepthError as error:
        print(f"replay: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        pass
    finally:
        ignore_interrupts()
        rclpy.try_shutdown()
        if spinner.ident is not None:
            # the thread must end before the node that it spins is destroyed
            spinner.join()
        executor.shutdown()
        if node is not None:
            node.destroy_node()
    return 0


def _spin(executor: SingleThreadedExecutor) -> None:
    # the timeout is necessary because a shutdown at the beginning of an unlimited wait can be missed
    with suppress(ExternalShutdownException):
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.2)


if __name__ == "__main__":
    sys.exit(main())
