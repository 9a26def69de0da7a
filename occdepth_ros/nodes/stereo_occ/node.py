"""The lifecycle node `stereo_occ`: predicts semantic occupancy from stereo images."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.logging import LoggingSeverity
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from occdepth_ros.errors import OccDepthError
from occdepth_ros.nodes.callback_groups import remove_destroyed
from occdepth_ros.nodes.duplicate_names import report_duplicate_names
from occdepth_ros.nodes.faults import Component, FaultBoard, NamedError, describe
from occdepth_ros.nodes.lifecycle import GuardedLifecycleNode
from occdepth_ros.nodes.parameter_binding import ParameterBinding
from occdepth_ros.nodes.qos import LATCHED, REPLAY_ENDED, fresh
from occdepth_ros.nodes.running import run_node
from occdepth_ros.nodes.stereo_occ.assembly import create_pipeline
from occdepth_ros.nodes.stereo_occ.camera_inputs import CameraInputs
from occdepth_ros.nodes.stereo_occ.diagnostics import NodeDiagnostics
from occdepth_ros.nodes.stereo_occ.map.server import map_config
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
from occdepth_ros.nodes.stereo_occ.monitoring.clock import check_clock
from occdepth_ros.nodes.stereo_occ.monitoring.fault_log import FaultLog
from occdepth_ros.nodes.stereo_occ.monitoring.real_time import RealTimeReport
from occdepth_ros.nodes.stereo_occ.monitoring.watch import StreamWatch
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.pipeline import BegunPair, Pipeline
from occdepth_ros.nodes.stereo_occ.sync import ImagePair, PairSynchronizer
from occdepth_ros.nodes.stereo_occ.worker import TwoStageWorker

JUMP_FAULT_LASTS = 10.0
"""Duration of a jump of the clock in the diagnostics, seconds."""

SUMMARY = (
    "Semantic occupancy from a stereo pair. Subscribes left/image_rect, right/image_rect, left/camera_info and "
    "right/camera_info; publishes ~/octomap_full, ~/markers, ~/grid and others while they have subscribers."
)


class StereoOccNode(GuardedLifecycleNode):
    """Lifecycle node that loads the model when it is configured and predicts pairs while it is active.

    Raises:
        OccDepthError: a start value of a parameter is invalid.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("stereo_occ", **options)
        self.faults = FaultBoard()
        self.pipeline: Pipeline | None = None
        self.synchronizer: PairSynchronizer | None = None
        self.worker: TwoStageWorker[ImagePair, BegunPair] | None = None
        self.label = "unconfigured"
        self._fault_log = FaultLog(self.get_logger())
        self._report = RealTimeReport(lambda: self.worker.slot.dropped if self.worker else 0, ModelHost.gpu_load)
        self._summary = ""
        self._inputs: CameraInputs | None = None
        self._watch: StreamWatch | None = None
        self._binding = ParameterBinding(
            self,
            Settings,
            lambda: self.pipeline is not None,
            lambda settings: self.pipeline.use(settings) if self.pipeline else None,
            read_only=frozenset({"autostart"}),
        )
        self._diagnostics = NodeDiagnostics(self, self.faults, lambda: self.label)
        # steady clock, because the simulated clock may stop together with the streams
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._watch_timer = self.create_timer(0.25, self._check_streams, clock=self._steady)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(seconds=-0.5), on_clock_change=False),
            post_callback=lambda jump: self._clock_jumped(-jump.delta.nanoseconds * 1e-9),
        )
        if self._binding.values().autostart:
            self._start_timer = self.create_timer(0.0, self._bring_up, clock=self._steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, and create the topics."""
        try:
            settings = self._binding.values()
            if settings.map_mode != "off":
                map_config(settings)
            host = ModelHost(settings, self.faults)
            host.load()
        except OccDepthError as error:
            if not self.faults.present(Component.MODEL):
                self.faults.put("configure", Component.MODEL, str(error))
            self.get_logger().error(
                f"configuration failed: {error} Correct the error, then configure and activate the node."
            )
            return TransitionCallbackReturn.FAILURE
        self.faults.clear("configure")
        pipeline = create_pipeline(self, settings, host, self.faults, self._output_failed, self._debug)
        self.pipeline = pipeline
        self.worker = TwoStageWorker(
            pipeline.begin,
            pipeline.finish,
            pipeline.idle,
            pipeline.serve_late,
            self._pair_failed,
            partial(self._pair_failed, begun=True),
        )
        pipeline.published = self._report.add
        self._diagnostics.pipeline, self._diagnostics.worker = pipeline, self.worker
        self._enter("inactive", f"configured with {host.name} on {host.device}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, set the counters to zero, and start the worker."""
        assert self.pipeline is not None and self.worker is not None
        result = super().on_activate(state)
        settings = self.pipeline.settings
        self.synchronizer = PairSynchronizer(
            self._paired,
            self._clock_jumped,
            approximate=settings.approximate_sync,
            slop=settings.slop,
            queue_size=settings.queue_size,
        )
        # before the inputs, because `_stop` destroys it with them and a signal may interrupt the activation
        self._end_subscription = self.create_subscription(Header, REPLAY_ENDED, self._replay_ended, fresh(LATCHED))
        self._inputs = CameraInputs(self, settings, self._image, self._calibration)
        names = self._name_inputs("")
        self._watch = StreamWatch(self.synchronizer, self.pipeline.calibration, self.faults, names, self._inputs.advice)
        self._diagnostics.synchronizer = self.synchronizer
        self.pipeline.start()
        self.worker.start()
        self._report.start()
        report_duplicate_names(self, self.faults)
        self._enter("active", f"subscribed to {names['left']} and {names['right']}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker; latched outputs and counters are kept."""
        self._stop()
        self._enter("inactive", "deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model and the topics."""
        self._release()
        self._enter("unconfigured", "cleaned up")
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the node cannot be configured again."""
        self._release()
        self._enter("finalized", "shut down")
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured after an exception in a transition."""
        self._release()
        self._enter("unconfigured", "a transition raised an exception")
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the worker and release everything, in any state."""
        self._release()
        self._jump_handle.unregister()

    def _bring_up(self) -> None:
        self._start_timer.cancel()
        # a lifecycle manager may have been faster
        if self.label == "unconfigured" and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _name_inputs(self, choice: str) -> dict[str, str]:
        """Pass the resolved names of the image topics and the reason of their choice to the pipeline; return them."""
        assert self.pipeline is not None and self._inputs is not None
        names = self._inputs.names
        self.pipeline.name_inputs(names["left"], names["right"], choice)
        return names

    def _select_inputs(self) -> None:
        assert self._inputs is not None
        if choice := self._inputs.select():
            names = self._name_inputs(choice)
            self.get_logger().warning(f"auto_select: subscribed to {names['left']} and {names['right']}: {choice}")

    def _enter(self, state: str, text: str) -> None:
        self.get_logger().info(f"{state}: {text}")
        self.label = state

    def _debug(self, text: Callable[[], str]) -> None:
        if (logger := self.get_logger()).is_enabled_for(LoggingSeverity.DEBUG):
            logger.debug(text())

    def _paired(self, pair: ImagePair) -> None:
        assert self.worker is not None and self.synchronizer is not None
        received = self.synchronizer.received
        self._debug(lambda: f"{pair.description()}; images left {received['left']}, right {received['right']}")
        self.worker.slot.put(pair)

    def _replay_ended(self, message: Header) -> None:
        if self._watch is not None:
            self._watch.replay_ended(int(message.stamp.sec) * 1_000_000_000 + int(message.stamp.nanosec))

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
        if self._inputs is not None:
            self._inputs.close()
            self.destroy_subscription(self._end_subscription)
        if self.worker is not None:
            self.worker.stop()
            self._log_report()
        if self.pipeline is not None:
            self.pipeline.stop()
        self.synchronizer = self._watch = self._inputs = None
        for component in (Component.INPUT, Component.SYNC, Component.CALIBRATION, Component.EXTRINSICS):
            self.faults.clear_component(component)
        self.faults.clear("slow_rate")
        remove_destroyed(self.default_callback_group)

    def _release(self) -> None:
        self._stop()
        if self.pipeline is not None:
            for publisher in self.pipeline.close():
                self._managed_entities.discard(publisher)
                self.destroy_publisher(publisher)
        self.pipeline = self.worker = None
        self._diagnostics.pipeline = self._diagnostics.worker = self._diagnostics.synchronizer = None
        self.faults.clear_component(Component.MODEL)
        self.faults.clear_component(Component.OUTPUT)
        remove_destroyed(self.default_callback_group)
        self.label = "unconfigured"

    def _check_streams(self) -> None:
        if self._watch and self._inputs and self.synchronizer and (pipeline := self.pipeline):
            handled = pipeline.processed + pipeline.failed
            self._watch.check(pipeline.settings.input_timeout, handled, pipeline.processing.percentiles(50)[0])
            check_clock(self.synchronizer, self._inputs.names, self.get_clock(), self.faults)
            if self._watch.has_no_input:
                self._select_inputs()
            self._inputs.adapt(is_lossy=any(f.name == "images_lost" for f in self.faults.present(Component.SYNC)))
        if self.pipeline is not None and self.pipeline.rig_checks.summary != self._summary:
            self._summary = self.pipeline.rig_checks.summary
            self.get_logger().info(self._summary)
        if self.pipeline is not None and self._report.due(self.pipeline.settings.report_period):
            self._log_report()
        # the timer of the updater stops if the simulated clock stops
        if self._fault_log.update(self.faults.present()):
            self._diagnostics.update()

    def _log_report(self) -> None:
        line = self._report.finish()
        if line and self.context.ok():
            self.get_logger().info(line)
        elif line:  # the publisher of the log ended with the context
            print(f"[INFO] [{self.get_name()}]: {line}", file=sys.stderr, flush=True)

    def _clock_jumped(self, seconds: float) -> None:
        if self.synchronizer is None or self.worker is None or self.pipeline is None:
            return
        self.synchronizer.reset()
        self.worker.slot.clear()
        self.pipeline.drop_waiting()
        self.pipeline.extrinsics.reset()
        text = f"the clock jumped back by {seconds:.3f} s: waiting images, pairs and transforms were dropped."
        self.faults.put("clock_jump", Component.SYNC, text, is_error=False, lasts=JUMP_FAULT_LASTS)

    def _pair_failed(self, error: Exception, *, begun: bool = False) -> None:
        if self.pipeline is not None:
            named = self.pipeline.note_bad(error, begun=begun)
            self.faults.put(named.name, named.component, str(named))

    def _output_failed(self, output: str, error: Exception) -> None:
        self.faults.put(f"output_{output}", Component.OUTPUT, f"~/{output}: {describe(error)}", lasts=JUMP_FAULT_LASTS)


def main(arguments: list[str] | None = None) -> int:
    """Run the node, see `run_node`."""
    # idle OpenMP threads sleep and leave the cores to DDS; OpenMP reads the variable when it is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return run_node("stereo_occ", SUMMARY, Settings, StereoOccNode, arguments, StereoOccNode.close)


if __name__ == "__main__":
    sys.exit(main())
