"""Records the topics of a stereo rig into a bag, for `occdepth doctor rig --live`.

Images are recorded in bursts of consecutive messages, to limit the size of the recording. The serialised messages are
written unchanged.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from occdepth_ros.nodes.qos import LATCHED, SENSOR_DATA, fresh
from occdepth_ros.nodes.signals import interrupted_once

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO, TF = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
BURST, PERIOD = 0.35, 1.0
"""Images of the first `BURST` seconds of every `PERIOD` are kept."""
DISCOVERY = 3.0
"""Time limit for the appearance of topics, seconds."""


class RigRecorder(Node):
    """Subscribes to each requested topic of images, CameraInfo and TF when it appears.

    Args:
        bag: folder to write.
        topics: names of image topics, or a part of the names; empty = all image topics whose name contains left or
            right.
    """

    def __init__(self, bag: Path, topics: list[str]) -> None:
        super().__init__("rig_recorder")
        self._store = get_typestore(Stores.ROS2_HUMBLE)
        self._writer = Writer(bag, version=9, storage_plugin=StoragePlugin.SQLITE3)
        self._writer.open()
        self._topics = [topic for topic in topics if topic]
        self._known: set[str] = set()
        self._start = time.monotonic()
        self.images = 0
        self.create_timer(0.2, self._discover)

    def close(self) -> None:
        """Close the bag."""
        self._writer.close()

    def _discover(self) -> None:
        for name, kinds in self.get_topic_names_and_types():
            kind = kinds[0]
            if name in self._known or not self._is_requested(name, kind):
                continue
            self._known.add(name)
            self._subscribe(name, kind)

    def _is_requested(self, name: str, kind: str) -> bool:
        if kind in (INFO, TF):
            return True
        if kind not in IMAGES:
            return False
        if not self._topics:
            return "left" in name or "right" in name
        return any(topic.strip("/") in name for topic in self._topics)

    def _subscribe(self, name: str, kind: str) -> None:
        package, _, short = kind.split("/")
        message = getattr(__import__(f"{package}.msg", fromlist=[short]), short)
        connection = self._writer.add_connection(name, kind, typestore=self._store)

        def keep(contents: Any) -> None:
            if kind in IMAGES:
                if (time.monotonic() - self._start) % PERIOD > BURST:
                    return
                self.images += 1
            self._writer.write(connection, time.time_ns(), bytes(contents))

        qos = LATCHED if name.endswith("tf_static") else SENSOR_DATA
        self.create_subscription(message, name, keep, fresh(qos), raw=True)


@interrupted_once()
def main(arguments: list[str] | None = None) -> int:
    """Record a bag; the arguments are bag, seconds, topics. Returns 0 if images were recorded, else 3."""
    given = sys.argv[1:] if arguments is None else arguments
    bag, seconds, topics = Path(given[0]), float(given[1]), given[2:]
    rclpy.init(args=[])
    recorder = RigRecorder(bag, topics)
    end = time.monotonic() + seconds + DISCOVERY
    try:
        while time.monotonic() < end:
            rclpy.spin_once(recorder, timeout_sec=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        recorder.close()
        recorder.destroy_node()
        rclpy.try_shutdown()
    if not recorder.images:
        print("no images arrived", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
