"""Creation of the components of the node from its parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.lifecycle import LifecycleNode

from occdepth_ros.nodes.faults import FaultBoard
from occdepth_ros.nodes.qos import overridable
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.extrinsics import Extrinsics
from occdepth_ros.nodes.stereo_occ.map.server import MapServer
from occdepth_ros.nodes.stereo_occ.model_host import ModelHost, nominal_rig
from occdepth_ros.nodes.stereo_occ.monitoring.timing import TimingPublishers
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.pipeline import Pipeline
from occdepth_ros.nodes.stereo_occ.publishers import OutputSet


def create_pipeline(
    node: LifecycleNode,
    settings: Settings,
    host: ModelHost,
    faults: FaultBoard,
    output_failed: Callable[[str, Exception], None],
    debug: Callable[[Callable[[], str]], None],
) -> Pipeline:
    """Create the pipeline with the publishers and services of the node, and warm up its outputs if configured.

    Args:
        node: owner of publishers, services and TF.
        settings: the parameters.
        host: the loaded model.
        faults: receives the faults of pairs and of the map.
        output_failed: called with the name of an output and the exception that it raised.
        debug: logs the text that a function returns, if debug messages are enabled.

    Raises:
        OccDepthError: the map cannot be created.
    """
    create = partial(node.create_lifecycle_publisher, qos_overriding_options=overridable())
    pipeline = Pipeline(
        settings,
        host,
        StereoCalibration(rectify=settings.rectify),
        Extrinsics(node, settings),
        OutputSet(create, output_failed),
        MapServer(node, settings, create, output_failed, faults) if settings.map_mode != "off" else None,
        TimingPublishers(node.create_lifecycle_publisher),
        faults,
        lambda: int(node.get_clock().now().nanoseconds),
        debug,
        lambda text: node.get_logger().info(text),
    )
    if settings.warm_up:
        pipeline.outputs.warm_up(settings, nominal_rig(settings))
    return pipeline
