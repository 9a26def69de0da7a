"""Nodes as processes of their own, and a listener to everything that they publish."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
import tf2_ros
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64, Header
from visualization_msgs.msg import MarkerArray

from helpers.nodes.domains import next_domain
from occdepth_ros.nodes.qos import SENSOR_DATA
from occdepth_ros.nodes.stereo_occ.monitoring.timing import STAGES
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS

DEEP_QUEUE = QoSProfile(depth=20)
"""Deep enough for a listener that is late on a busy machine."""
DOMAIN = next_domain()


class Command:
    """A Python program in a separate process group."""

    def __init__(self, arguments: Sequence[str], log: Path, **environment: str) -> None:
        self.log = log
        self._file = log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "OMP_NUM_THREADS": "1", **environment},
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, sign)
        try:
            return self.process.wait(60.0)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._file.close()

    def text(self) -> str:
        return self.log.read_text(errors="replace")


class Process(Command):
    """A node."""

    def __init__(self, module: str, log: Path, *, files: Sequence[Path] = (), **parameters: Any) -> None:
        given = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        given += [item for file in files for item in ("--params-file", str(file))]
        super().__init__(["-m", module, "--ros-args", *given], log)


class Listener:
    """Hears everything in the domain."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("listener", context=self.context)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self.buffer = tf2_ros.Buffer()
        self.tf = tf2_ros.TransformListener(self.buffer, self.node)
        for spec in OUTPUTS:
            self.subscribe(spec.message, f"/stereo_occ/{spec.name}", DEEP_QUEUE)
        for stage in STAGES:
            self.subscribe(Float64, f"/stereo_occ/debug/processing_time/{stage}_ms", DEEP_QUEUE)
        self.subscribe(DiagnosticArray, "/diagnostics", 10)
        for side in ("left", "right"):
            self.subscribe(CameraInfo, f"/{side}/camera_info", SENSOR_DATA)
            self.subscribe(Image, f"/{side}/image_rect", SENSOR_DATA)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def subscribe(self, kind: type | None, topic: str, qos: Any, key: str = "") -> None:
        self.node.create_subscription(kind, topic, self.received[key or topic].append, qos)

    def outputs(self, name: str) -> list[Any]:
        return self.received[f"/stereo_occ/{name}"]

    def wait(self, condition: Any, what: str, timeout: float, *processes: Command) -> None:
        end = time.monotonic() + timeout
        while not condition():
            counts = {topic: len(messages) for topic, messages in self.received.items()}
            logs = "\n".join(process.text()[-3000:] for process in processes)
            assert time.monotonic() < end, f"{what}; received {counts}\n{logs}"
            time.sleep(0.02)

    def close(self) -> None:
        self.executor.shutdown()
        self.thread.join(5.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def stamp_of_header(header: Any) -> int:
    """Return the stamp of a header, nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def header_of(message: Any) -> Any:
    """Return the header of a message; of its first marker or its octree where it has none of its own."""
    if isinstance(message, MarkerArray):
        return message.markers[0].header
    if hasattr(message, "octomap"):
        return message.octomap.header
    if hasattr(message, "frame_id"):  # foxglove_msgs have the fields of a header
        return Header(stamp=message.timestamp, frame_id=message.frame_id)
    if hasattr(message, "timestamp"):  # px4_msgs have microseconds
        seconds, micros = divmod(message.timestamp, 1_000_000)
        return Header(stamp=Time(sec=seconds, nanosec=1000 * micros))
    return message.header


def call(listener: Listener, kind: type, service: str, request: Any) -> Any:
    """Call a service of the node and return its response."""
    client = listener.node.create_client(kind, f"/stereo_occ/{service}")
    assert client.wait_for_service(60.0)
    answer = client.call_async(request)
    listener.wait(answer.done, f"no answer of {service}", 120)
    return answer.result()
