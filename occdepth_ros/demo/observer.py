"""Subscribes to every topic of the contract, counts the messages, and measures rates and latencies."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float64
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from occdepth_ros.msg import SemanticGrid

STAGES = ("sync", "preprocess", "inference", "postprocess", "publish", "total")
LEFT, RIGHT = "/left/image_rect", "/right/image_rect"
GRID, DEPTH = "/stereo_occ/grid", "/stereo_occ/depth"
INPUTS: Mapping[str, type] = {
    LEFT: Image,
    RIGHT: Image,
    "/left/camera_info": CameraInfo,
    "/right/camera_info": CameraInfo,
    "/tf": TFMessage,
    "/tf_static": TFMessage,
    "/clock": Clock,
}
OUTPUTS: Mapping[str, type] = {
    "/stereo_occ/octomap_binary": Octomap,
    "/stereo_occ/octomap_full": Octomap,
    "/stereo_occ/markers": MarkerArray,
    "/stereo_occ/points": PointCloud2,
    GRID: SemanticGrid,
    "/stereo_occ/occupancy_grid": OccupancyGrid,
    DEPTH: Image,
    "/stereo_occ/depth_color": Image,
    "/stereo_occ/camera_info": CameraInfo,
    "/stereo_occ/legend": Image,
}
STATUS: Mapping[str, type] = {
    **{f"/stereo_occ/debug/processing_time/{stage}_ms": Float64 for stage in STAGES},
    "/diagnostics": DiagnosticArray,
}
CONTRACT: Mapping[str, type] = {**INPUTS, **OUTPUTS, **STATUS}
"""Every topic of the contract and its type."""

MAX_SCORED, MAX_UNSCORED = 24, 4
"""Maximum number of stored results of frames with and without ground truth; one result has several megabytes."""


@dataclass
class TopicRecord:
    """Number, size and arrival times (ns) of the messages on one topic."""

    count: int = 0
    bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, size: int, received_ns: int) -> None:
        """Count one message of `size` bytes."""
        self.first_ns = self.first_ns if self.count else received_ns
        self.last_ns = received_ns
        self.count += 1
        self.bytes += size

    @property
    def hz(self) -> float:
        """Mean rate, Hz; 0 for fewer than two messages."""
        span = (self.last_ns - self.first_ns) / 1e9
        return (self.count - 1) / span if span > 0 else 0.0


@dataclass
class Observations:
    """All received messages and the values computed from them.

    Args:
        topics: traffic by topic.
        published_ns: time at which the publisher sent the first image of a pair, ns, by stamp.
        frame_of: index of the frame in the source, by the stamp of the pair.
        latency_ms: latencies by output topic, ms.
        answered: time at which the occupancy grid of a pair was received, ns, by stamp.
        kept: serialised messages by stamp and topic, for the results that are scored and drawn.
        stages_ms: processing times by stage, ms.
        diagnostics: last content of each status, by name.
        errors: message of each status whose last level is ERROR, by name.
    """

    topics: dict[str, TopicRecord] = field(default_factory=lambda: {name: TopicRecord() for name in CONTRACT})
    published_ns: dict[int, int] = field(default_factory=dict)
    paired: set[int] = field(default_factory=set)
    frame_of: dict[int, int] = field(default_factory=dict)
    latency_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in OUTPUTS})
    answered: dict[int, int] = field(default_factory=dict)
    kept: dict[int, dict[str, bytes]] = field(default_factory=dict)
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def silent(self) -> list[str]:
        """Topics of the contract without a message."""
        return [name for name, record in self.topics.items() if record.count == 0]

    @property
    def dropped(self) -> int:
        """Number of complete pairs for which no grid was received."""
        return len(self.paired - self.answered.keys())


class Observer:
    """Subscribes to all topics of the contract on `node`; only left images and diagnostics are deserialised.

    Args:
        node: node of the subscriptions.
    """

    def __init__(self, node: Node) -> None:
        self.seen = Observations()
        self.frame_of_image: dict[int, int] = {}
        """Frame in the source by the CRC-32 of the bytes of its left image."""
        self.with_ground_truth: set[int] = set()
        """Frames with ground truth; only the first result of each frame is kept."""
        self._lock = threading.Lock()
        for name, kind in CONTRACT.items():
            node.create_subscription(kind, name, self._receiver(name), _quality_for(name), raw=True)

    def restart(self) -> None:
        """Begin new observations; the names and images of the frames are kept."""
        with self._lock:
            self.seen = Observations()

    def _receiver(self, name: str) -> Callable[[bytes, dict[str, Any]], None]:
        def receive(message: bytes, info: dict[str, Any]) -> None:
            with self._lock:
                self._note(name, message, int(info["source_timestamp"]), int(info["received_timestamp"]))

        return receive

    def _note(self, name: str, message: bytes, sent_ns: int, received_ns: int) -> None:
        seen = self.seen
        seen.topics[name].add(len(message), received_ns)
        if name in (LEFT, RIGHT):
            self._note_image(name, message, sent_ns)
        elif name in OUTPUTS:
            stamp = stamp_of(message, kind=OUTPUTS[name])
            if stamp in seen.published_ns:
                seen.latency_ms[name].append((received_ns - seen.published_ns[stamp]) / 1e6)
            if name == GRID:
                seen.answered.setdefault(stamp, received_ns)
            if name in (GRID, DEPTH):
                self._keep(stamp, name, message)
        elif name.endswith("_ms"):
            stage = name.rsplit("/", 1)[1].removesuffix("_ms")
            seen.stages_ms[stage].append(float(np.frombuffer(message, "<f8", 1, 4)[0]))
        elif name == "/diagnostics":
            for status in deserialize_message(message, DiagnosticArray).status:
                values = {entry.key: entry.value for entry in status.values}
                seen.diagnostics[status.name] = {"message": status.message, **values}
                seen.errors.pop(status.name, None)
                if status.level == DiagnosticStatus.ERROR:
                    seen.errors[status.name] = status.message

    def _note_image(self, name: str, message: bytes, sent_ns: int) -> None:
        stamp = stamp_of(message, kind=Image)
        if stamp in self.seen.published_ns:
            self.seen.paired.add(stamp)
        self.seen.published_ns[stamp] = min(sent_ns, self.seen.published_ns.get(stamp, sent_ns))
        if name == LEFT:
            frame = self.frame_of_image.get(zlib.crc32(deserialize_message(message, Image).data))
            if frame is not None:
                self.seen.frame_of[stamp] = frame

    def _keep(self, stamp: int, name: str, message: bytes) -> None:
        kept, frame_of = self.seen.kept, self.seen.frame_of
        if stamp not in kept:
            frames = [frame_of[other] for other in kept]
            frame = frame_of.get(stamp)
            if frame is None or frame in frames:
                return
            scored = frame in self.with_ground_truth
            alike = sum((other in self.with_ground_truth) == scored for other in frames)
            if alike >= (MAX_SCORED if scored else MAX_UNSCORED):
                return
        kept.setdefault(stamp, {})[name] = message


def stamp_of(message: bytes, *, kind: type) -> int:
    """Return the stamp (ns) of a serialised message whose type begins with a header or a list of headers.

    CDR (OMG DDS-XTypes, plain encoding): four bytes of encapsulation, then little-endian members in order. Returns -1
    for a message that is too short.
    """
    offset = 8 if kind in (MarkerArray, TFMessage) else 4
    if len(message) < offset + 8:
        return -1
    seconds = int.from_bytes(message[offset : offset + 4], "little", signed=True)
    return seconds * 1_000_000_000 + int.from_bytes(message[offset + 4 : offset + 8], "little")


def _quality_for(name: str) -> QoSProfile:
    # reliable on all topics: the replay supports it, and messages lost in transport would count as dropped
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=20,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if name == "/tf_static" else DurabilityPolicy.VOLATILE,
    )
