"""Publishes `/diagnostics` with diagnostic_updater: one status per component of the node."""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater
from rclpy.node import Node

from occdepth_ros.nodes.faults import Component, FaultBoard, describe
from occdepth_ros.nodes.load import CpuLoad
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
from occdepth_ros.nodes.stereo_occ.monitoring.real_time import latency_text
from occdepth_ros.nodes.stereo_occ.pipeline import Pipeline
from occdepth_ros.nodes.stereo_occ.sync import SIDES, PairSynchronizer
from occdepth_ros.nodes.stereo_occ.worker import TwoStageWorker
from occdepth_ros.stereo.calibration.extrinsics_checks import CameraPose

USE_FQN = "diagnostic_updater.use_fqn"
"""Parameter of diagnostic_updater: whether the names of statuses contain the namespace of the node."""


class _Updater(Updater):
    """An updater whose timer survives a failed publication."""

    def publish(self, msg: DiagnosticStatus | list[DiagnosticStatus]) -> None:
        """Publish; a failure is logged, because an exception in a timer would end the node."""
        try:
            super().publish(msg)
        except Exception as error:
            self.node.get_logger().error(f"/diagnostics was not published: {describe(error)}")


class NodeDiagnostics:
    """Publishes the faults, counters and statistics of the node.

    The name of each status begins with the fully qualified name of the node, which is also the hardware id, so that
    the statuses of several robots differ. Counters are set to zero at every activation and kept until cleanup. The
    number of pairs is the sum of processed, unusable and dropped pairs, plus at most two pairs in progress.

    Args:
        node: node of the diagnostics.
        faults: present faults.
        state: returns the label of the lifecycle state.
    """

    def __init__(self, node: Node, faults: FaultBoard, state: Callable[[], str]) -> None:
        self._faults = faults
        self._state = state
        self.pipeline: Pipeline | None = None
        self.synchronizer: PairSynchronizer | None = None
        self.worker: TwoStageWorker | None = None  # type: ignore[type-arg]
        self._cpu = CpuLoad()
        if not node.has_parameter(USE_FQN):
            node.declare_parameter(USE_FQN, True)
        self._updater = _Updater(node, period=1.0)
        if node.get_parameter(USE_FQN).value:
            # the updater would join the root namespace and the name to "//stereo_occ"
            self._updater.node_name = node.get_fully_qualified_name()
        self._updater.setHardwareID(node.get_fully_qualified_name())
        tasks = {
            Component.INPUT: self._input,
            Component.SYNC: self._synchronisation,
            Component.CALIBRATION: self._calibration,
            Component.EXTRINSICS: self._extrinsics,
            Component.MODEL: self._model,
            Component.OUTPUT: self._outputs,
        }
        for topic, fill in tasks.items():
            self._updater.add(topic.value, self._task(topic, fill))

    def update(self) -> None:
        """Publish immediately, without waiting for the period."""
        self._updater.force_update()

    def _task(
        self, topic: Component, fill: Callable[[DiagnosticStatusWrapper], None]
    ) -> Callable[[DiagnosticStatusWrapper], DiagnosticStatusWrapper]:
        def run(status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
            present = self._faults.present(topic)
            if present:
                level = DiagnosticStatus.ERROR if any(f.is_error for f in present) else DiagnosticStatus.WARN
                status.summary(level, " | ".join(f"{f.name}: {f.text}" for f in present))
                status.add("faults", " ".join(f.name for f in present))
            else:
                status.summary(DiagnosticStatus.OK, self._state())
            try:
                fill(status)
            except Exception as error:  # an error in a report must not end the node
                status.add("report failed", f"{type(error).__name__}: {error}")
            return status

        return run

    def _input(self, status: DiagnosticStatusWrapper) -> None:
        sync = self.synchronizer
        now = time.monotonic()
        for side in SIDES if sync else ():
            assert sync is not None
            arrival = sync.last_arrival[side]
            status.add(f"{side} images", str(sync.received[side]))
            status.add(f"{side} age s", "never" if arrival is None else f"{now - arrival:.2f}")
        last = self._faults.last
        status.add("last error", f"{last.name}: {last.text}" if last else "none")

    def _synchronisation(self, status: DiagnosticStatusWrapper) -> None:
        if self.synchronizer is not None:
            status.add("pairs", str(self.synchronizer.pairs))
            for side in SIDES:
                status.add(f"{side} without partner", str(self.synchronizer.dropped[side]))
                status.add(f"{side} out of order", str(self.synchronizer.out_of_order[side]))
        if self.worker is not None:
            status.add("dropped pairs", str(self.worker.slot.dropped))

    def _calibration(self, status: DiagnosticStatusWrapper) -> None:
        rig = self.pipeline.calibration.current if self.pipeline else None
        if rig is not None:
            status.add("image", f"{rig.left.width}x{rig.left.height}")
            status.add("focal length px", f"{rig.left.projection[0, 0]:.2f}")
            status.add("baseline m", f"{rig.baseline:.4f}")

    def _extrinsics(self, status: DiagnosticStatusWrapper) -> None:
        pose = self.pipeline.extrinsics.last if self.pipeline else None
        if pose is not None:
            status.add("source", pose.source)
            status.add("TF age s", f"{pose.age:.3f}")
        checks = self.pipeline.rig_checks if self.pipeline else None
        if checks is not None and checks.stated is not None:
            status.add("left camera stated", str(CameraPose.of(checks.stated.left_from_grid)))
            measured = checks.measured
            status.add("left camera above ground measured", str(measured.pose) if measured else "not yet")

    def _model(self, status: DiagnosticStatusWrapper) -> None:
        if self.pipeline is None:
            return
        host, settings = self.pipeline.host, self.pipeline.settings
        status.add("model", host.name)
        status.add("requested model", settings.model)
        status.add("weights", settings.weights or "default weights of the model")
        status.add("device", host.device)
        memory = ModelHost.gpu_memory()
        if memory is not None:
            status.add("GPU memory MiB", f"{memory.allocated:.0f} allocated, {memory.reserved:.0f} reserved")
            status.add("GPU memory total MiB", f"{memory.total:.0f}")
        load = ModelHost.gpu_load()
        if load is not None:
            status.add("GPU load %", f"{load:.0f}")

    def _outputs(self, status: DiagnosticStatusWrapper) -> None:
        pipeline = self.pipeline
        if pipeline is None:
            return
        status.add("rate Hz", f"{pipeline.processing.rate():.2f}")
        for name, statistics in (("processing", pipeline.processing), ("latency", pipeline.latency)):
            status.add(f"{name} ms p50 p95 max", latency_text(*statistics.percentiles(50, 95, 100)))
        status.add("latency ms p99", latency_text(*pipeline.latency.percentiles(99)))
        status.add("jitter ms mean max", latency_text(*pipeline.latency.jitter()))
        status.add("CPU load % of one core", f"{self._cpu.percent():.0f}")
        status.add("processed pairs", str(pipeline.processed))
        status.add("unusable pairs", str(pipeline.failed))
        for output in pipeline.outputs.outputs:
            status.add(output.spec.name, f"{output.count} messages, last {output.size} bytes")
