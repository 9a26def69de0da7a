"""The output topics: encoded only when somebody listens, each with its own switch and rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from occdepth_ros.msg import SemanticGrid
from occdepth_ros.nodes.qos import LATCHED, RESULT, fresh
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.outputs.depth_image import encode_depth
from occdepth_ros.outputs.markers import encode_markers
from occdepth_ros.outputs.occupancy_grid import encode_occupancy_grid
from occdepth_ros.outputs.octomap import encode_octomap_binary, encode_octomap_full
from occdepth_ros.outputs.points import encode_points
from occdepth_ros.outputs.semantic_grid import encode_semantic_grid
from occdepth_ros.prediction import OccupancyPrediction

Encoder = Callable[[OccupancyPrediction, Settings, str], bytes]
"""Prediction, settings and the left camera's frame in, one serialised message out."""


@dataclass(frozen=True)
class OutputSpec:
    """One output topic.

    Args:
        name: topic below `~/`, and stem of the parameters `publish_<name>` and `<name>_rate`.
        message: its type.
        qos: its quality of service.
        encode: makes the serialised message.
        group: prefix of the parameters instead of the name, for topics that share one switch and one rate.
    """

    name: str
    message: type[Any]
    qos: QoSProfile
    encode: Encoder
    group: str = ""

    @property
    def switch(self) -> str:
        """Name of the parameter that switches the topic on."""
        return f"publish_{self.group or self.name}"

    @property
    def rate(self) -> str:
        """Name of the parameter with the highest rate."""
        return f"{self.group or self.name}_rate"


OUTPUTS = (
    OutputSpec(
        "octomap_binary",
        Octomap,
        LATCHED,
        lambda p, s, _: encode_octomap_binary(p, p.grid.frame_id, s.octomap_include, s.min_confidence),
    ),
    OutputSpec(
        "octomap_full",
        Octomap,
        LATCHED,
        lambda p, s, _: encode_octomap_full(p, p.grid.frame_id, s.octomap_include, s.min_confidence),
    ),
    OutputSpec(
        "markers",
        MarkerArray,
        RESULT,
        lambda p, s, _: encode_markers(p, p.grid.frame_id, s.markers_include, s.max_markers, s.min_confidence),
    ),
    OutputSpec(
        "points",
        PointCloud2,
        RESULT,
        lambda p, s, _: encode_points(p, p.grid.frame_id, s.points_include, s.min_confidence),
    ),
    OutputSpec("grid", SemanticGrid, RESULT, lambda p, s, _: encode_semantic_grid(p, p.grid.frame_id)),
    OutputSpec(
        "occupancy_grid",
        OccupancyGrid,
        LATCHED,
        lambda p, s, _: encode_occupancy_grid(
            p,
            p.grid.frame_id,
            s.occupancy_grid_include,
            s.occupancy_min_height,
            s.occupancy_max_height,
            s.min_confidence,
        ),
    ),
    OutputSpec("depth", Image, RESULT, lambda p, s, camera_frame: encode_depth(p, camera_frame)),
)


class RateLimit:
    """Lets events pass at a highest rate; small jitter of the input does not halve the output."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self, rate: float, now: float) -> bool:
        """Whether an event may pass now; `rate` in Hz, 0 is unlimited."""
        return rate <= 0 or now >= self._next - 0.2 / rate

    def passed(self, rate: float, now: float) -> None:
        """Note that an event passed."""
        if rate > 0:
            self._next = max(self._next + 1 / rate, now + 0.8 / rate)


class Output:
    """One topic with its publisher.

    Args:
        spec: what it is.
        publisher: where to.
    """

    def __init__(self, spec: OutputSpec, publisher: LifecyclePublisher) -> None:
        self.spec = spec
        self.publisher = publisher
        self.count = 0
        self.size = 0
        self._limit = RateLimit()
        self._published: OccupancyPrediction | None = None

    def encode(self, prediction: OccupancyPrediction, settings: Settings, camera_frame: str) -> bytes | None:
        """The serialised message, or None where it is switched off, unheard, too early, or already published."""
        now = time.monotonic()
        rate = getattr(settings, self.spec.rate)
        if (
            not getattr(settings, self.spec.switch)
            or not self.publisher.get_subscription_count()
            or self._published is prediction
            or not self._limit.is_due(rate, now)
        ):
            return None
        self._limit.passed(rate, now)
        self._published = prediction
        return self.spec.encode(prediction, settings, camera_frame)

    def publish(self, message: bytes) -> None:
        """Hand a serialised message to the middleware."""
        self.publisher.publish(message)
        self.count += 1
        self.size = len(message)


class OutputSet:
    """All output topics, and the newest prediction for those who come later.

    Args:
        create: makes a lifecycle publisher from type, topic and quality of service.
        failed: told the topic and what its encoder raised; the other topics go on.
        specs: the topics.
    """

    def __init__(
        self,
        create: Callable[..., LifecyclePublisher],
        failed: Callable[[str, Exception], None],
        specs: Iterable[OutputSpec] = OUTPUTS,
    ) -> None:
        self.outputs = [Output(spec, create(spec.message, f"~/{spec.name}", fresh(spec.qos))) for spec in specs]
        self._failed = failed
        self._latest: tuple[OccupancyPrediction, str] | None = None

    def publish(self, prediction: OccupancyPrediction, settings: Settings, camera_frame: str) -> tuple[float, float]:
        """Encode and publish where due; returns the milliseconds of encoding and of publishing."""
        self._latest = (prediction, camera_frame)
        return self._publish(self.outputs, settings)

    def serve_late(self, settings: Settings) -> None:
        """Publish the newest prediction on latched topics that did not carry it yet.

        Somebody may have come after it, or the rate may have held it back when the images stopped.
        """
        if self._latest is not None:
            self._publish((o for o in self.outputs if o.spec.qos is LATCHED), settings)

    def wanted(self, settings: Settings) -> bool:
        """Whether a topic is switched on and has a subscriber."""
        return any(getattr(settings, o.spec.switch) and o.publisher.get_subscription_count() > 0 for o in self.outputs)

    def forget(self) -> None:
        """Drop the newest prediction."""
        self._latest = None

    def _publish(self, outputs: Iterable[Output], settings: Settings) -> tuple[float, float]:
        assert self._latest is not None
        prediction, camera_frame = self._latest
        encoding = publishing = 0.0
        for output in outputs:
            start = time.perf_counter()
            try:
                message = output.encode(prediction, settings, camera_frame)
            except Exception as error:  # one topic must not take the others down
                self._failed(output.spec.name, error)
                continue
            encoded = time.perf_counter()
            if message is not None:
                output.publish(message)
            encoding += encoded - start
            publishing += time.perf_counter() - encoded
        return 1e3 * encoding, 1e3 * publishing
