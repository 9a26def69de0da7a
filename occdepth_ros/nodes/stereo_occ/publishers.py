"""The output topics: encoded only if they have subscribers, each with a switch and a maximum rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from octomap_msgs.msg import Octomap
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from occdepth_ros.camera import StereoRig
from occdepth_ros.msg import SemanticGrid
from occdepth_ros.nodes.qos import LATCHED, RESULT, fresh
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.outputs.image import encode_camera_info, encode_depth, encode_rgb
from occdepth_ros.outputs.markers import encode_markers
from occdepth_ros.outputs.occupancy_grid import encode_occupancy_grid
from occdepth_ros.outputs.octomap import encode_octomap_binary, encode_octomap_full
from occdepth_ros.outputs.points import encode_points
from occdepth_ros.outputs.semantic_grid import encode_semantic_grid
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization.panels import colored_depth, draw_legend


@dataclass(frozen=True)
class Result:
    """One prediction, with the frame and the cameras of its messages.

    Args:
        prediction: the occupancy.
        camera_frame: optical frame of the left camera.
        rig: cameras of the prediction; None for a map, which merges several predictions.
    """

    prediction: OccupancyPrediction
    camera_frame: str
    rig: StereoRig | None = None

    @property
    def grid_frame(self) -> str:
        """Frame of the voxel grid."""
        return self.prediction.grid.frame_id

    def border(self, settings: Settings) -> int:
        """Return the width of the omitted border, voxels; 0 for a map."""
        return settings.border_voxels if self.rig is not None else 0


Encoder = Callable[[Result, Settings], bytes]
"""Returns one serialised message."""


@dataclass(frozen=True)
class OutputSpec:
    """One output topic.

    Args:
        name: topic below `~/`, and part of the names of the parameters `publish_<name>` and `<name>_rate`.
        message: message type.
        qos: quality of service.
        encode: returns the serialised message.
        is_constant: whether the message depends only on the class table; it is then published once.
        group: replaces the name in the names of the parameters, for topics that share a switch and a rate.
    """

    name: str
    message: type[Any]
    qos: QoSProfile
    encode: Encoder
    is_constant: bool = False
    group: str = ""

    @property
    def switch(self) -> str:
        """Name of the parameter that enables the topic."""
        return f"publish_{self.group or self.name}"

    @property
    def rate(self) -> str:
        """Name of the parameter with the maximum rate."""
        return f"{self.group or self.name}_rate"


def _octomap_binary(result: Result, settings: Settings) -> bytes:
    options = settings.octomap_include, settings.min_confidence, result.border(settings)
    return encode_octomap_binary(result.prediction, result.grid_frame, *options)


def _octomap_full(result: Result, settings: Settings) -> bytes:
    options = settings.octomap_include, settings.min_confidence, result.border(settings)
    return encode_octomap_full(result.prediction, result.grid_frame, *options)


def _markers(result: Result, settings: Settings) -> bytes:
    return encode_markers(
        result.prediction,
        result.grid_frame,
        settings.markers_include,
        settings.max_markers,
        settings.min_confidence,
        border=result.border(settings),
        rig=result.rig,
    )


def _points(result: Result, settings: Settings) -> bytes:
    options = settings.points_include, settings.min_confidence, result.border(settings)
    return encode_points(result.prediction, result.grid_frame, *options)


def _occupancy_grid(result: Result, settings: Settings) -> bytes:
    return encode_occupancy_grid(
        result.prediction,
        result.grid_frame,
        settings.occupancy_grid_include,
        settings.occupancy_min_height,
        settings.occupancy_max_height,
        settings.min_confidence,
        max_step=settings.occupancy_max_step,
        completed_cost=settings.occupancy_completed_cost,
    )


def _legend(result: Result, settings: Settings) -> bytes:
    classes = result.prediction.classes
    image = draw_legend(classes, np.arange(len(classes)), LEGEND_WIDTH)
    return encode_rgb(image, result.prediction.stamp_ns, result.camera_frame)


def _depth_color(result: Result, settings: Settings) -> bytes:
    return encode_rgb(colored_depth(result.prediction.depth), result.prediction.stamp_ns, result.camera_frame)


def _camera_info(result: Result, settings: Settings) -> bytes:
    assert result.rig is not None
    return encode_camera_info(result.rig, result.prediction.stamp_ns, result.camera_frame)


LEGEND_WIDTH = 460
"""Width of `~/legend`, pixels; legible in a panel of RViz."""

OUTPUTS = (
    OutputSpec("octomap_binary", Octomap, LATCHED, _octomap_binary),
    OutputSpec("octomap_full", Octomap, LATCHED, _octomap_full),
    OutputSpec("markers", MarkerArray, LATCHED, _markers),
    OutputSpec("points", PointCloud2, RESULT, _points),
    OutputSpec("grid", SemanticGrid, RESULT, lambda r, _: encode_semantic_grid(r.prediction, r.grid_frame)),
    OutputSpec("occupancy_grid", OccupancyGrid, LATCHED, _occupancy_grid),
    OutputSpec("depth", Image, RESULT, lambda r, _: encode_depth(r.prediction, r.camera_frame)),
    OutputSpec("depth_color", Image, RESULT, _depth_color),
    # next to the depth image, because RViz's DepthCloud subscribes to this name
    OutputSpec("camera_info", CameraInfo, RESULT, _camera_info),
    OutputSpec("legend", Image, LATCHED, _legend, is_constant=True),
)


class RateLimit:
    """Limits the rate of events, with a tolerance of a fifth of the period for jitter."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self, rate: float, now: float) -> bool:
        """Return whether an event is allowed at `now` (seconds); `rate` in Hz, 0 = unlimited."""
        return rate <= 0 or now >= self._next - 0.2 / rate

    def passed(self, rate: float, now: float) -> None:
        """Record an event at `now`, seconds."""
        if rate > 0:
            self._next = max(self._next + 1 / rate, now + 0.8 / rate)


class Output:
    """One topic with its publisher and its counters."""

    def __init__(self, spec: OutputSpec, publisher: LifecyclePublisher) -> None:
        self.spec = spec
        self.publisher = publisher
        self.count = 0
        self.size = 0
        self._limit = RateLimit()
        self._published: object = None

    def encode(self, result: Result, settings: Settings) -> bytes | None:
        """Return the serialised message; None if the topic is disabled, not due or up to date, or has no subscriber.

        Raises:
            Exception: raised by the encoder.
        """
        now = time.monotonic()
        rate = getattr(settings, self.spec.rate)
        content = result.prediction.classes if self.spec.is_constant else result.prediction
        if (
            not getattr(settings, self.spec.switch)
            or not self.publisher.get_subscription_count()
            or self._published is content
            or not self._limit.is_due(rate, now)
        ):
            return None
        self._limit.passed(rate, now)
        self._published = content
        return self.spec.encode(result, settings)

    def publish(self, message: bytes) -> None:
        """Publish a serialised message."""
        self.publisher.publish(message)
        self.count += 1
        self.size = len(message)


class OutputSet:
    """All output topics; keeps the newest result for late subscribers.

    Args:
        create: creates a lifecycle publisher from type, topic and quality of service.
        failed: called with the topic and the exception of its encoder; the other topics are still published.
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
        self.latest: Result | None = None

    def publish(self, result: Result, settings: Settings) -> tuple[float, float]:
        """Encode and publish all topics that are due; returns the times of encoding and publishing, milliseconds."""
        self.latest = result
        return self._publish(self.outputs, settings)

    def serve_late(self, settings: Settings) -> None:
        """Publish the newest result on latched topics on which it has not been published.

        A subscriber may have connected after the result, or the rate limit may have delayed it.
        """
        if self.latest is not None:
            self._publish((o for o in self.outputs if o.spec.qos is LATCHED), settings)

    def wanted(self, settings: Settings) -> bool:
        """Return whether at least one topic is enabled and has a subscriber."""
        return any(getattr(settings, o.spec.switch) and o.publisher.get_subscription_count() > 0 for o in self.outputs)

    def forget(self) -> None:
        """Discard the newest result."""
        self.latest = None

    def _publish(self, outputs: Iterable[Output], settings: Settings) -> tuple[float, float]:
        assert self.latest is not None
        encoding = publishing = 0.0
        for output in outputs:
            start = time.perf_counter()
            try:
                message = output.encode(self.latest, settings)
            except Exception as error:  # an error in one topic must not stop the others
                self._failed(output.spec.name, error)
                continue
            encoded = time.perf_counter()
            if message is not None:
                output.publish(message)
            encoding += encoded - start
            publishing += time.perf_counter() - encoded
        return 1e3 * encoding, 1e3 * publishing
