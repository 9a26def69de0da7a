"""Processing of one pair in two threads: decode, calibrate and begin in one, complete and publish in the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rclpy.lifecycle import LifecyclePublisher

from occdepth_ros.camera import StereoRig
from occdepth_ros.nodes.conversions import ImageArray, image_of
from occdepth_ros.nodes.faults import Component, FaultBoard, NamedError, describe, naming
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.extrinsics import Extrinsics, GridPose
from occdepth_ros.nodes.stereo_occ.map.server import MapServer
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
from occdepth_ros.nodes.stereo_occ.model_pose import ModelPose
from occdepth_ros.nodes.stereo_occ.monitoring.timing import Statistics, TimingPublishers
from occdepth_ros.nodes.stereo_occ.output_specs import Result
from occdepth_ros.nodes.stereo_occ.pair_faults import PERIODIC, named, note_usable, put_warnings
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.publishers import OutputSet
from occdepth_ros.nodes.stereo_occ.rig_checks import RigChecks
from occdepth_ros.nodes.stereo_occ.sync import ImagePair
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.encodings import ImageDecoder
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks
from occdepth_ros.stereo.pair_checks.pair_warnings import periodic_warnings

TRANSIENT = ("camera_info", "missing_tf")
"""Faults of pairs that arrive before their CameraInfo or their transform."""
PATIENCE = 1.0
"""Time for which a pair before its CameraInfo or transform is kept unless a newer pair arrives, seconds."""
FAULT_LASTS = 10.0
"""Duration of a fault of a side product in the diagnostics, seconds."""


@dataclass(frozen=True)
class BegunPair:
    """A pair whose prediction was begun.

    Args:
        pair: the messages.
        pose: of the grid in the left camera.
        rig: calibration of the pair.
        complete: completes the prediction.
        started, prepared, handed_over: start of the processing, start of the prediction, and end of its first stage,
            seconds of `time.monotonic`.
    """

    pair: ImagePair
    pose: GridPose
    rig: StereoRig
    complete: Callable[[], OccupancyPrediction]
    started: float
    prepared: float
    handed_over: float


class Pipeline:
    """Predicts pairs and publishes the results.

    `begin` and `idle` are called by one thread, `finish` and `serve_late` by another one.

    Args:
        settings: the parameters.
        host, calibration, extrinsics, outputs, timings, faults: the components.
        world: the map; None if `map_mode` is "off".
        now_ns: returns the ROS time, nanoseconds.
        debug: logs the text that a function returns, if debug messages are enabled.
        info: logs a text.
    """

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        calibration: StereoCalibration,
        extrinsics: Extrinsics,
        outputs: OutputSet,
        world: MapServer | None,
        timings: TimingPublishers,
        faults: FaultBoard,
        now_ns: Callable[[], int],
        debug: Callable[[Callable[[], str]], None] = lambda text: None,
        info: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.settings = settings
        self.host = host
        self.calibration = calibration
        self.extrinsics = extrinsics
        self.outputs = outputs
        self.world = world
        self.timings = timings
        self.faults = faults
        self._now_ns = now_ns
        self._debug = debug
        self._model_pose = ModelPose(host, extrinsics, info)
        self._decoder = ImageDecoder()
        self.rig_checks = RigChecks(settings, host.grid)
        self._checks: tuple[tuple[float, int, int], InputChecks] | None = None
        self.processing = Statistics()
        self.latency = Statistics()
        self.published: Callable[[float], None] = lambda latency_ms: None
        """Called with the latency of each published pair, ms."""
        self.processed = 0
        self.failed = 0
        self.waiting: ImagePair | None = None
        self._unmeasured: tuple[ImageArray, ImageArray, int] | None = None

    def begin(self, pair: ImagePair) -> BegunPair:
        """Begin the prediction of one pair.

        Raises:
            OccDepthError: the pair or the calibration is invalid, or the model failed.
        """
        waited = pair is self.waiting
        if not waited:
            self.drop_waiting()
        self.waiting = None
        try:
            return self._begin(pair)
        except NamedError as error:
            if error.name in TRANSIENT and time.monotonic() - pair.arrived < PATIENCE:
                self.waiting = pair
                if not waited:
                    fault = error.name
                    self._debug(lambda: f"pair {pair.stamp_ns}: waiting for up to {PATIENCE:g} s ({fault})")
            raise

    def start(self) -> None:
        """Reset the counters and start the map; called on every activation."""
        self.processed = self.failed = 0
        self.waiting = self._unmeasured = None
        if self.world is not None:
            self.world.start()

    def stop(self) -> None:
        """Drop the waiting pair and stop the map; called on every deactivation."""
        self.drop_waiting()
        if self.world is not None:
            self.world.stop()

    def close(self) -> list[LifecyclePublisher]:
        """Release the model, TF and the map; returns all publishers, which the node destroys."""
        self.extrinsics.close()
        self.host.release()
        outputs = list(self.outputs.outputs)
        if self.world is not None:
            self.world.close()
            outputs += self.world.outputs.outputs
        return [*(output.publisher for output in outputs), *self.timings.publishers.values()]

    def use(self, settings: Settings) -> None:
        """Set the values of the parameters, which apply from the next pair on."""
        self.settings = settings
        if self.world is not None:
            self.world.settings = settings

    def name_inputs(self, left: str, right: str, choice: str) -> None:
        """Set the resolved names of the image topics, and why `auto_select` chose them, for warnings."""
        self.calibration.topics = (left, right)
        self.rig_checks.images = f"{left} and {right}"
        self.rig_checks.choice = choice

    def drop_waiting(self) -> None:
        """Drop the pair that waits for its CameraInfo or its transform, and count it as unusable."""
        if self.waiting is not None:
            self.failed += 1
            self.waiting = None

    def idle(self) -> BegunPair | None:
        """Begin the waiting pair again; measure the ground in the images of the last begun pair.

        Raises:
            OccDepthError: as in `begin`.
        """
        self._measure()
        return self.begin(self.waiting) if self.waiting is not None else None

    def serve_late(self) -> None:
        """Publish latched topics to late subscribers."""
        self.outputs.serve_late(self.settings)

    def _begin(self, pair: ImagePair) -> BegunPair:
        started = time.monotonic()
        camera_frame = pair.camera_frame
        with naming("image_data", Component.INPUT, "the images could not be decoded and rectified"):
            left, right = self.calibration.rectified(
                image_of(pair.left, "left/image_rect", self._decoder),
                image_of(pair.right, "right/image_rect", self._decoder),
            )
        with naming("pose", Component.EXTRINSICS, "the pose of the cameras could not be determined"):
            pose = self.extrinsics.pose(camera_frame, pair.stamp_ns, pair.right.header.frame_id)
            stated = self.calibration.rig(pose.left_from_grid, camera_frame)
            rig = self.rig_checks.checked(stated, pose)
            self._model_pose.set(pair.stamp_ns, self.settings)
        with naming("image_checks", Component.INPUT, "the images could not be checked"):
            checks = self._input_checks(rig)
            warnings = checks.check(left, right)
        prepared = time.monotonic()
        complete = self.host.begin(rig, left, right, pair.stamp_ns, blind=checks.static_pattern)
        self._unmeasured = left, right, pair.stamp_ns
        note_usable(self.faults, self.settings, self.calibration, self.rig_checks, camera_frame, pose.source)
        for warning in warnings:
            self.faults.put(warning.name, Component.INPUT, str(warning), is_error=False)
        return BegunPair(pair, pose, rig, complete, started, prepared, time.monotonic())

    def finish(self, begun: BegunPair, proceed: Callable[[], None] = lambda: None) -> None:
        """Complete the prediction of one pair and publish it.

        Args:
            begun: the pair.
            proceed: called when the prediction is complete and the next pair may begin.

        Raises:
            OccDepthError: the model failed; nothing was published.
        """
        pair, pose, rig = begun.pair, begun.pose, begun.rig
        camera_frame = pair.camera_frame
        resumed = time.monotonic()
        prediction = begun.complete()
        proceed()
        predicted = time.monotonic()
        encoding = self.outputs.publish(Result(prediction, camera_frame, rig), self.settings)
        if self.world is not None:
            self.world.offer(prediction, partial(self.extrinsics.world_from_grid, pair.stamp_ns))
        ended = time.monotonic()

        self.faults.clear("inference")
        self.faults.clear(PERIODIC)
        for text in periodic_warnings(self.host.ambiguous_share):
            self.faults.put(PERIODIC, Component.INPUT, text, is_error=False)
        self.processing.add(1e3 * (ended - pair.arrived))
        latency = (self._now_ns() - pair.stamp_ns) * 1e-6
        self.latency.add(latency)
        self.published(latency)
        self.processed += 1
        # for the worker, and between the stages for the pair before
        waited = 1e3 * (begun.started - pair.arrived + resumed - begun.handed_over)
        preparing = 1e3 * (begun.prepared - begun.started)
        predicting = 1e3 * (begun.handed_over - begun.prepared + predicted - resumed)
        publishing = 1e3 * (ended - predicted) - encoding
        self._debug(
            lambda: (
                f"pair {pair.stamp_ns}: waited {waited:.1f} ms, preprocess "
                f"{preparing:.1f} ms, model {predicting:.1f} ms, encode "
                f"{encoding:.1f} ms, publish {publishing:.1f} ms; grid pose from {pose.source}"
            )
        )
        if self.settings.publish_processing_time:
            # the predict call includes the preprocessing and postprocessing times that the model reports
            before, after = (prediction.timings_ms.get(stage, 0.0) for stage in ("preprocess", "postprocess"))
            stages = {
                "sync": waited,
                "preprocess": preparing + before,
                "inference": predicting - before - after,
                "postprocess": encoding + after,
                "publish": publishing,
                "total": 1e3 * (ended - pair.arrived),
            }
            try:
                self.timings.publish(stages)
            except Exception as error:
                text = f"~/debug/processing_time: {describe(error)}"
                self.faults.put("output_processing_time", Component.OUTPUT, text, lasts=FAULT_LASTS)

    def _measure(self) -> None:
        if self._unmeasured is None:
            return
        images, self._unmeasured = self._unmeasured, None
        try:
            self.rig_checks.measure(*images)
            put_warnings(self.faults, self.rig_checks.warnings, Component.EXTRINSICS)
        except Exception as error:  # the pair is predicted all the same
            text = f"the ground was not measured ({describe(error)}); the stated pose is not checked."
            self.faults.put("ground", Component.EXTRINSICS, text, is_error=False, lasts=FAULT_LASTS)

    def _input_checks(self, rig: StereoRig) -> InputChecks:
        """Return the input checks of this rig; a new calibration resets them."""
        # the fingerprint is not used, because the pose of a moving camera changes with every pair
        key = (rig.disparity_offset, rig.left.width, rig.left.height)
        if self._checks is None or self._checks[0] != key:
            self._checks = key, InputChecks(rig)
        self._checks[1].allow_unchanged = self.settings.allow_unchanged_images
        return self._checks[1]

    def note_bad(self, error: Exception, *, begun: bool = False) -> NamedError:
        """Count an unusable pair; return the error as a `NamedError`.

        Args:
            error: raised by `finish` where the pair was begun, otherwise by `begin` or `idle`.
            begun: whether it was.
        """
        if begun or self.waiting is None:
            self.failed += 1
        return named(error, self.host.name)
