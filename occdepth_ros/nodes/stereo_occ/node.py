"""The lifecycle node `stereo_occ`: stereo images in, semantic occupancy out."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.errors import OccDepthError
from occdepth_ros.nodes.faults import Component, Fault, FaultBoard, NamedError
from occdepth_ros.nodes.parameter_binding import ParameterBinding
from occdepth_ros.nodes.qos import SENSOR_DATA, fresh, overridable
from occdepth_ros.nodes.signals import interrupted_once
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.diagnostics import NodeDiagnostics
from occdepth_ros.nodes.stereo_occ.extrinsics import Extrinsics
from occdepth_ros.nodes.stereo_occ.map_server import MapServer, map_config
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.pipeline import Pipeline
from occdepth_ros.nodes.stereo_occ.publishers import OutputSet
from occdepth_ros.nodes.stereo_occ.sync import SIDES, ImagePair, PairSynchronizer
from occdepth_ros.nodes.stereo_occ.timing import TimingPublishers
from occdepth_ros.nodes.stereo_occ.watch import StreamWatch
from occdepth_ros.nodes.stereo_occ.worker import Worker

LOG_PERIOD = 30.0
"""Seconds between two log lines of one lasting fault."""
JUMP_FAULT_LASTS = 10.0
"""Seconds that a jump of the clock stays in the diagnostics."""


class StereoOccNode(LifecycleNode):
    """Configuring loads the model and makes the topics; while active, pairs are predicted and published.

    Raises:
        OccDepthError: a parameter given at start cannot be used.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("stereo_occ", **options)
        self.faults = FaultBoard()
        self.pipeline: Pipeline | None = None
        self.synchronizer: PairSynchronizer | None = None
        self.worker: Worker[ImagePair] | None = None
        self.label = "unconfigured"
        self._logged: dict[str, float] = {}
        self._summary = ""
        self._told: set[str] = set()
        self._subscriptions_made: list[Subscription] = []
        self._watch: StreamWatch | None = None
        self._binding = ParameterBinding(
            self,
            Settings,
            lambda: self.pipeline is not None,
            self._settings_changed,
            read_only=frozenset({"autostart"}),
        )
        self._diagnostics = NodeDiagnostics(self, self.faults, lambda: self.label)
        # the clock of the cameras may stop; silence must be noticed all the same
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._watch_timer = self.create_timer(0.25, self._check_streams, clock=self._steady)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(seconds=-0.5), on_clock_change=False),
            post_callback=lambda jump: self._clock_jumped(-jump.delta.nanoseconds * 1e-9),
        )
        if self._binding.values().autostart:
            self._start_timer = self.create_timer(0.0, self._bring_up, clock=self._steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, and make the topics."""
        try:
            settings = self._binding.values()
            if settings.map_mode != "off":
                map_config(settings)
            host = ModelHost(settings, self.faults)
            host.load()
        except OccDepthError as error:
            if not self.faults.present(Component.MODEL):
                self.faults.put("configure", Component.MODEL, str(error))
            self.get_logger().error("not configured; mend what the fault says, then configure and activate again")
            return TransitionCallbackReturn.FAILURE
        self.faults.clear("configure")
        create = partial(self.create_lifecycle_publisher, qos_overriding_options=overridable())
        self.pipeline = Pipeline(
            settings,
            host,
            StereoCalibration(rectify=settings.rectify),
            Extrinsics(self, settings),
            OutputSet(create, self._output_failed),
            MapServer(self, settings, create, self._output_failed, self.faults) if settings.map_mode != "off" else None,
            TimingPublishers(self.create_lifecycle_publisher),
            self.faults,
            lambda: int(self.get_clock().now().nanoseconds),
        )
        self.worker = Worker(self.pipeline.process, self.pipeline.idle, self._pair_failed)
        self._diagnostics.pipeline, self._diagnostics.worker = self.pipeline, self.worker
        self.label = "inactive"
        self.get_logger().info(f"configured: {host.name} on {host.device}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start to predict."""
        assert self.pipeline is not None and self.worker is not None
        result = super().on_activate(state)
        settings = self.pipeline.settings
        self.synchronizer = PairSynchronizer(
            self.worker.slot.put,
            self._clock_jumped,
            approximate=settings.approximate_sync,
            slop=settings.slop,
            queue_size=settings.queue_size,
        )
        names = {}
        for side in SIDES:
            names[side] = self._subscribe(Image, f"{side}/image_rect", partial(self._image, side))
            self._subscribe(CameraInfo, f"{side}/camera_info", partial(self._calibration, side))
        self.pipeline.calibration.topics = (names["left"], names["right"])
        self._watch = StreamWatch(self.synchronizer, self.pipeline.calibration, self.faults, names)
        self._diagnostics.synchronizer = self.synchronizer
        self.worker.start()
        if self.pipeline.world is not None:
            self.pipeline.world.start()
        self.label = "active"
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to listen and to predict; latched outputs stay."""
        self._stop()
        self.label = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model and the topics back."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good."""
        self._release()
        self.label = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after a transition failed half-way."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the thread and release everything, from whatever state."""
        self._release()
        self._jump_handle.unregister()

    def _bring_up(self) -> None:
        self._start_timer.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _subscribe(self, message: type, topic: str, callback: Any) -> str:
        made = self.create_subscription(
            message, topic, callback, fresh(SENSOR_DATA), qos_overriding_options=overridable()
        )
        self._subscriptions_made.append(made)
        return str(made.topic_name)

    def _image(self, side: str, message: Image) -> None:
        if self.synchronizer is None:
            return
        try:
            self.synchronizer.add(side, message)
        except NamedError as error:
            self.faults.put(error.name, error.component, str(error))

    def _calibration(self, side: str, message: CameraInfo) -> None:
        if self.pipeline is not None and self.worker is not None:
            self.pipeline.calibration.update(side, message)
            if self.pipeline.waiting is not None:
                self.worker.slot.wake()

    def _stop(self) -> None:
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        self._subscriptions_made.clear()
        if self.worker is not None:
            self.worker.stop()
        if self.pipeline is not None and self.pipeline.world is not None:
            self.pipeline.world.stop()
        self.synchronizer = self._watch = None
        self._diagnostics.synchronizer = None
        for topic in (Component.INPUT, Component.SYNC, Component.CALIBRATION, Component.EXTRINSICS):
            self.faults.clear_component(topic)

    def _release(self) -> None:
        self._stop()
        if self.pipeline is not None:
            self.pipeline.extrinsics.close()
            self.pipeline.host.release()
            made = [o.publisher for o in self.pipeline.outputs.outputs]
            if self.pipeline.world is not None:
                self.pipeline.world.close()
                made += [o.publisher for o in self.pipeline.world.outputs.outputs]
            for publisher in (*made, *self.pipeline.timings.publishers.values()):
                self._managed_entities.discard(publisher)
                self.destroy_publisher(publisher)
        self.pipeline = self.worker = None
        self._diagnostics.pipeline = self._diagnostics.worker = None
        self.faults.clear_component(Component.MODEL)
        self.faults.clear_component(Component.OUTPUT)
        self.label = "unconfigured"

    def _settings_changed(self, settings: Settings) -> None:
        if self.pipeline is not None:
            self.pipeline.settings = settings
            if self.pipeline.world is not None:
                self.pipeline.world.settings = settings

    def _check_streams(self) -> None:
        if self._watch is not None and self.pipeline is not None:
            self._watch.check(self.pipeline.settings.input_timeout)
        if self.pipeline is not None and self.pipeline.rig_checks.summary != self._summary:
            self._summary = self.pipeline.rig_checks.summary
            self.get_logger().info(self._summary)
        present = {fault.name: fault for fault in self.faults.present()}
        for fault in present.values():
            self._log(fault)
        for name in self._told - present.keys():
            self._logged.pop(name, None)
            self.get_logger().info(f"{name}: over")
        # the updater's own period is counted by a clock that may have stopped with the cameras
        if self._told != present.keys():
            self._told = set(present)
            self._diagnostics.update()

    def _clock_jumped(self, seconds: float) -> None:
        if self.synchronizer is None or self.worker is None or self.pipeline is None:
            return
        self.synchronizer.reset()
        self.worker.slot.clear()
        self.pipeline.waiting = None
        self.pipeline.extrinsics.reset()
        text = f"the clock jumped back by {seconds:.3f} s: everything that waited was forgotten."
        self.faults.put("clock_jump", Component.SYNC, text, is_error=False, lasts=JUMP_FAULT_LASTS)

    def _pair_failed(self, error: Exception) -> None:
        if self.pipeline is not None:
            named = self.pipeline.note_bad(error)
            self.faults.put(named.name, named.component, str(named))

    def _output_failed(self, output: str, error: Exception) -> None:
        self.faults.put(f"output_{output}", Component.OUTPUT, f"~/{output}: {error}", lasts=JUMP_FAULT_LASTS)

    def _log(self, fault: Fault) -> None:
        now = time.monotonic()
        if now - self._logged.get(fault.name, -LOG_PERIOD) < LOG_PERIOD:
            return
        self._logged[fault.name] = now
        # rclpy binds a severity to the line of the call, so each has its own
        if fault.is_error:
            self.get_logger().error(f"{fault.name}: {fault.text}")
        else:
            self.get_logger().warning(f"{fault.name}: {fault.text}")


@interrupted_once()
def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop.

    Returns:
        0 when it was told to, 2 on an error that the user can repair.
    """
    # torch's threads would spin while they wait, on cores that DDS and the callbacks need; OpenMP reads this on loading
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    node = None
    try:
        rclpy.init(args=arguments)
        node = StereoOccNode()
    except (OccDepthError, RuntimeError) as error:  # rclpy's own errors are RuntimeErrors
        print(f"stereo_occ: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
