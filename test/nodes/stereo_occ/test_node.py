"""The running node: outputs, lateness, lifecycle, parameters, and every bad input that it must survive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("message_filters", reason="message_filters is not installed: run make env")
pytest.importorskip("cv_bridge", reason="cv_bridge is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

import tf2_ros
from builtin_interfaces.msg import Time
from helpers.node_bench import FOCAL, FRAME, HEIGHT, WIDTH, Bench, image_message, info_message
from nav_msgs.msg import OccupancyGrid
from occdepth_ros.msg import SemanticGrid
from octomap_msgs.msg import Octomap
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Float64
from visualization_msgs.msg import MarkerArray

from occdepth_ros.engine import Engine
from occdepth_ros.errors import ModelError
from occdepth_ros.nodes.stereo_occ import model_host
from occdepth_ros.nodes.stereo_occ.timing import STAGES
from occdepth_ros.prediction import OccupancyPrediction

pytestmark = pytest.mark.ros
SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    bench = Bench(input_timeout=0.5)
    bench.wait_active()
    yield bench
    bench.close()


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """The shared node in good health, with a new octomap listener."""
    shared.good_pair()
    yield shared
    shared.good_pair()
    shared.wait(lambda: shared.fault_names() <= {"clock_jump"}, "faults stayed after a good pair")


@pytest.fixture
def made() -> Iterator[list[Bench]]:
    """For tests that need a node of their own."""
    benches: list[Bench] = []
    yield benches
    for bench in benches:
        bench.close()


def test_every_output_comes_with_the_stamp_and_frame_of_its_pair(bench: Bench) -> None:
    kinds = {
        "octomap_binary": (Octomap, True),
        "octomap_full": (Octomap, True),
        "markers": (MarkerArray, False),
        "points": (PointCloud2, False),
        "grid": (SemanticGrid, False),
        "occupancy_grid": (OccupancyGrid, True),
        "depth": (Image, False),
    }
    heard = {name: bench.listen(kind, name, latched=latched) for name, (kind, latched) in kinds.items()}
    times = {stage: bench.listen(Float64, f"debug/processing_time/{stage}_ms") for stage in STAGES}
    bench.wait(lambda: heard["octomap_binary"], "the latched map did not reach a late listener")
    outputs = {o.spec.name: o.publisher for o in bench.node.pipeline.outputs.outputs}
    bench.wait(lambda: all(p.get_subscription_count() for p in outputs.values()), "not all connected")
    stamp = bench.send_pair()

    def newest(name: str) -> Any:
        return heard[name][-1].markers[0].header if name == "markers" else heard[name][-1].header

    def complete() -> bool:
        return all(heard[n] and newest(n).stamp.sec * 10**9 + newest(n).stamp.nanosec == stamp for n in kinds) and all(
            times.values()
        )

    bench.wait(complete, "some output is missing")
    assert {newest(name).frame_id for name in kinds if name != "depth"} == {"velodyne"}
    assert newest("depth").frame_id == FRAME
    milliseconds = {stage: values[-1].data for stage, values in times.items()}
    parts = sum(milliseconds[s] for s in ("sync", "preprocess", "inference", "postprocess", "publish"))
    assert 0 < milliseconds["inference"] < milliseconds["total"]
    assert parts == pytest.approx(milliseconds["total"], abs=5.0)

    depth = np.frombuffer(bytes(heard["depth"][-1].data), np.float32).reshape(HEIGHT, WIDTH)
    assert np.nanmedian(depth) == pytest.approx(FOCAL * 0.5 / 12, rel=0.05)
    grid = heard["grid"][-1]
    labels = np.asarray(grid.labels).reshape(grid.size_x, grid.size_y, grid.size_z)
    occupied = np.argwhere((labels > 0) & (labels < 255))
    assert len(occupied) > 20
    assert np.median(occupied[:, 0] * grid.resolution) == pytest.approx(FOCAL * 0.5 / 12, abs=0.4)
    bench.tester.destroy_subscription(list(bench.tester.subscriptions)[-1])


def test_nothing_is_encoded_for_nobody(made: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    bench.good_pair()
    assert all(o.count == 0 for o in bench.node.pipeline.outputs.outputs)


def test_a_switch_and_a_rate_hold_an_output_back(bench: Bench) -> None:
    heard = bench.listen(PointCloud2, "points")
    output = next(o for o in bench.node.pipeline.outputs.outputs if o.spec.name == "points")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    assert bench.node.set_parameters([Parameter("publish_points", value=False)])[0].successful
    bench.good_pair()
    assert not heard
    bench.node.set_parameters([Parameter("publish_points", value=True), Parameter("points_rate", value=0.02)])
    for _ in range(4):
        bench.good_pair()
    bench.wait(lambda: heard, "nothing was published")
    assert len(heard) == 1
    bench.node.set_parameters([Parameter("points_rate", value=0.0)])


def test_only_live_parameters_change_while_configured(bench: Bench) -> None:
    refused = bench.node.set_parameters([Parameter("grid_resolution", value=0.5)])[0]
    assert not refused.successful and "configuring" in refused.reason and "clean up" in refused.reason
    refused = bench.node.set_parameters([Parameter("octomap_include", value="everything")])[0]
    assert not refused.successful and "seen+completed" in refused.reason
    assert bench.node.set_parameters([Parameter("octomap_include", value="seen")])[0].successful
    assert bench.node.pipeline.settings.octomap_include == "seen"
    bench.node.set_parameters([Parameter("octomap_include", value="seen+completed")])


def test_quality_of_service_can_be_overridden(made: list[Bench]) -> None:
    reliable = {"qos_overrides./left/image_rect.subscription.reliability": "reliable"}
    made.append(bench := Bench(**reliable))
    bench.wait_active()
    name = "qos_overrides./stereo_occ/grid.publisher.depth"
    assert bench.node.get_parameter(name).value == 1
    for side, wanted in (("left", ReliabilityPolicy.RELIABLE), ("right", ReliabilityPolicy.BEST_EFFORT)):
        found = bench.tester.get_subscriptions_info_by_topic(f"/{side}/image_rect")
        assert [endpoint.qos_profile.reliability for endpoint in found] == [wanted], side


def _changed(info: CameraInfo, **changes: Any) -> CameraInfo:
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def _with_p(side: str, index: int, value: float) -> CameraInfo:
    info = info_message(side)
    info.p[index] = value
    return info


@pytest.mark.parametrize(
    ("infos", "fault", "said"),
    [
        ({"left": _with_p("left", 0, 0.0)}, "intrinsics", "not positive"),
        ({"left": _changed(info_message("left"), p=[0.0] * 12)}, "intrinsics", "left/camera_info"),
        ({"right": _with_p("right", 5, float("nan"))}, "intrinsics", "NaN"),
        ({"right": _with_p("right", 3, 0.0)}, "baseline", "not positive"),
        ({"left": info_message("right"), "right": info_message("left")}, "baseline", "swapped"),
        ({"right": _with_p("right", 0, 50.0)}, "calibration", "focal lengths"),
        ({"left": _changed(info_message("left"), width=0)}, "intrinsics", "size"),
        ({"left": _changed(info_message("left"), width=320)}, "image_size", "320x96"),
    ],
)
def test_a_bad_calibration_is_named_and_the_next_good_one_works(
    bench: Bench, infos: dict[str, CameraInfo], fault: str, said: str
) -> None:
    heard = bench.listen(Octomap, "octomap_binary", latched=True)
    bench.wait(lambda: heard, "no map before")
    before = bench.processed
    bench.send_infos(**infos)
    time.sleep(0.05)
    bench.send_pair()
    bench.expect_fault(fault, said)
    assert bench.processed == before
    late = bench.listen(Octomap, "octomap_binary", latched=True)
    bench.wait(lambda: late, "the last good map did not stay")
    assert late[-1].header.stamp == heard[-1].header.stamp
    bench.good_pair()
    assert fault not in bench.fault_names()


def _image(**changes: Any) -> Image:
    message = image_message(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0)
    for name, value in changes.items():
        if name == "frame":
            message.header.frame_id = value
        else:
            setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("side", "message", "fault", "said"),
    [
        ("left", image_message(np.zeros((48, 80, 3), np.uint8), 0), "image_size", "80x48"),
        ("right", image_message(np.zeros((48, 80, 3), np.uint8), 0), "image_size", "right/image_rect"),
        ("left", _image(encoding="no_such_encoding"), "image_encoding", "no_such_encoding"),
        ("left", _image(encoding="32FC1", step=WIDTH * 4, data=bytes(WIDTH * HEIGHT * 4)), "image_encoding", "32FC1"),
        ("left", _image(data=bytes(100)), "image_data", "100 bytes"),
        ("right", _image(data=b""), "image_data", "0 bytes"),
        ("right", _image(width=0), "image_data", "0x96"),
        ("left", _image(width=2**31), "image_data", "bytes a row"),
        ("left", _image(step=3), "image_data", "3 bytes a row"),
        ("left", _image(frame=""), "frame_id", "no frame_id"),
    ],
)
def test_a_bad_image_is_named_and_the_next_good_one_works(
    bench: Bench, side: str, message: Image, fault: str, said: str
) -> None:
    before = bench.processed
    bench.send_pair(**{side: message})
    bench.expect_fault(fault, said)
    assert bench.processed == before
    bench.good_pair()
    assert fault not in bench.fault_names()


def test_swapped_images_are_named_and_the_right_order_works(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.node.pipeline.host._engine._swap_guard, "_countdown", 0)
    before = bench.processed
    for _ in range(2):
        bench.send_pair(image_message(bench.right, 0), image_message(bench.left, 0))
        bench.expect_fault("swapped", "Exchange the two images")
    assert bench.processed == before
    bench.good_pair()
    assert "swapped" not in bench.fault_names()


@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "8UC1", "rgba8", "bayer_rggb8"])
def test_common_encodings_are_welcome(bench: Bench, encoding: str) -> None:
    channels = {"bgr8": 3, "rgba8": 4}.get(encoding, 1)
    before = bench.processed
    pair = [image_message(np.repeat(p[..., :1], channels, -1), 0, encoding) for p in (bench.left, bench.right)]
    bench.send_pair(*pair)
    bench.wait(lambda: bench.processed > before, f"{encoding} was not predicted")


def test_another_frame_than_the_calibration_is_a_warning(bench: Bench) -> None:
    before = bench.processed
    bench.send_pair(left=image_message(bench.left, 0, frame="elsewhere"))
    bench.wait(lambda: bench.processed > before, "the pair was not predicted")
    bench.expect_fault("frame_id", "'elsewhere'")


@pytest.mark.parametrize(("seconds", "nanoseconds"), [(-5, 0), (100, 2**32 - 1)])
def test_a_stamp_that_is_no_time_is_named(bench: Bench, seconds: int, nanoseconds: int) -> None:
    message = image_message(bench.left, 0)
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    bench.send_image("left", message)
    bench.expect_fault("stamp", f"{seconds} s and {nanoseconds} ns")
    bench.good_pair()
    assert "stamp" not in bench.fault_names()


def _fault_text(bench: Bench, name: str) -> str:
    return next((fault.text for fault in bench.node.faults.present() if fault.name == name), "")


def test_a_stopped_stream_is_named(bench: Bench) -> None:
    def only_the_right_one_stopped() -> bool:
        bench.send_image("left", image_message(bench.left, bench.next_stamp()))
        time.sleep(0.02)
        text = _fault_text(bench, "stream_stopped")
        return "/right/image_rect stopped" in text and "/left/image_rect" not in text

    bench.wait(only_the_right_one_stopped, "the right stream was not named")
    bench.expect_fault("stream_stopped")


def test_streams_without_common_stamps_are_named(bench: Bench) -> None:
    def named() -> bool:
        stamp = bench.next_stamp()
        bench.send_image("left", image_message(bench.left, stamp))
        bench.send_image("right", image_message(bench.right, stamp + 7_000_000))
        time.sleep(0.02)
        return "differ by" in _fault_text(bench, "unsynchronised")

    bench.wait(named, "the streams were not named")
    bench.expect_fault("unsynchronised", "set approximate_sync")


def test_a_clock_that_jumps_back_is_survived(bench: Bench) -> None:
    before = bench.processed
    bench.stamp_ns -= 50_000_000_000
    bench.good_pair()
    bench.expect_fault("clock_jump", "jumped back by")
    assert bench.processed > before


def test_a_simulated_clock_that_jumps_back_is_survived(made: list[Bench]) -> None:
    made.append(bench := Bench(use_sim_time=True))
    bench.wait_active()
    clock = bench.tester.create_publisher(Clock, "/clock", 10)
    bench.wait(clock.get_subscription_count, "the node does not listen to /clock")

    def set_clock(seconds: int) -> None:
        clock.publish(Clock(clock=Time(sec=seconds)))
        bench.wait(lambda: bench.node.get_clock().now().nanoseconds == seconds * 10**9, "the clock did not move")

    set_clock(100)
    bench.good_pair()
    set_clock(40)
    bench.expect_fault("clock_jump", "back by 60.000 s")
    bench.stamp_ns = 40 * 10**9
    bench.good_pair()
    assert _ns(bench.node.pipeline.outputs._latest[0]) < 50 * 10**9


def test_an_old_pair_is_never_predicted_after_a_newer_one(bench: Bench) -> None:
    heard = bench.listen(SemanticGrid, "grid")
    output = next(o for o in bench.node.pipeline.outputs.outputs if o.spec.name == "grid")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    for _ in range(20):
        bench.send_pair()
    newest = bench.stamp_ns
    bench.wait(lambda: heard and _ns(heard[-1]) == newest, "the newest pair was not predicted")
    stamps = [_ns(message) for message in heard]
    assert stamps == sorted(stamps)


def _ns(message: Any) -> int:
    """The stamp of a message or of a prediction."""
    if isinstance(message, OccupancyPrediction):
        return message.stamp_ns
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def test_a_left_projection_that_counts_from_another_camera_gives_the_same(bench: Bench) -> None:
    """KITTI's camera 2 has a Tx of its own; only the difference is the baseline."""
    heard = bench.listen(SemanticGrid, "grid")
    output = next(o for o in bench.node.pipeline.outputs.outputs if o.spec.name == "grid")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    bench.good_pair()
    bench.wait(lambda: heard, "no grid")
    shifted = {side: info_message(side) for side in ("left", "right")}
    for info in shifted.values():
        info.p[3] += 45.0
    bench.send_infos(**shifted)
    time.sleep(0.05)
    stamp = bench.send_pair()
    bench.wait(lambda: _ns(heard[-1]) == stamp, "the shifted pair was not predicted")
    assert bench.node.pipeline.calibration.current.baseline == pytest.approx(0.5)
    assert heard[-1].labels == heard[0].labels


def test_calibration_is_needed_and_named(made: list[Bench]) -> None:
    made.append(bench := Bench(input_timeout=0.2))
    bench.wait_active()
    for _ in range(5):
        bench.send_pair()
        time.sleep(0.1)
    bench.expect_fault("camera_info", "left/camera_info")
    bench.good_pair()
    assert "camera_info" not in bench.fault_names()


def test_a_pair_that_overtakes_its_calibration_waits_for_it(made: list[Bench]) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    stamp = bench.send_pair()
    bench.expect_fault("camera_info", "left/camera_info")
    bench.send_infos()
    bench.wait(lambda: bench.processed == 1, "the pair was forgotten")
    assert bench.node.pipeline.outputs._latest[0].stamp_ns == stamp
    assert bench.node.pipeline.failed == 0 and not bench.fault_names()


def test_nothing_at_all_is_named_too(made: list[Bench]) -> None:
    made.append(bench := Bench(input_timeout=0.2))
    bench.wait_active()
    bench.expect_fault("stream_stopped", "nothing came on /left/image_rect")


def test_a_missing_transform_is_named_and_its_coming_helps(made: list[Bench]) -> None:
    made.append(bench := Bench(extrinsics="tf"))
    bench.wait_active()
    bench.send_infos()
    time.sleep(0.05)
    bench.send_pair()
    bench.expect_fault("missing_tf", "'velodyne'")
    bench.wait(lambda: bench.node.pipeline.failed == 1, "the pair waits for ever")
    assert bench.processed == 0 and bench.node.pipeline.waiting is None
    broadcaster = tf2_ros.StaticTransformBroadcaster(bench.tester)
    broadcaster.sendTransform(bench.static_transform((1.0, 2.0, 3.0)))
    bench.good_pair()
    assert "missing_tf" not in bench.fault_names()
    np.testing.assert_allclose(bench.node.pipeline.calibration.current.left_from_grid[:3, 3], [2, 3, -1], atol=1e-9)
    assert bench.node.pipeline.extrinsics.last.source == "static tf"


def test_auto_takes_the_parameters_after_a_while_and_says_so(made: list[Bench]) -> None:
    translation = [0.1, 0.2, 0.3]
    made.append(bench := Bench(extrinsics="auto", tf_timeout=0.1, camera_from_grid_translation=translation))
    bench.wait_active()
    bench.good_pair()
    bench.expect_fault("no_tf", "camera_from_grid")
    np.testing.assert_allclose(bench.node.pipeline.calibration.current.left_from_grid[:3, 3], translation)


def test_models_that_remember_are_told_where_each_pair_was_taken(made: list[Bench]) -> None:
    made.append(bench := Bench(fixed_frame="odom"))
    bench.wait_active()
    placed: list[Any] = []
    bench.node.pipeline.host._engine.predictor.place = placed.append
    bench.good_pair()
    assert placed[-1] is None  # TF knows nothing of odom
    there = bench.static_transform((4.0, 5.0, 6.0))
    there.header.frame_id, there.child_frame_id = "odom", "velodyne"
    there.transform.rotation.x, there.transform.rotation.w = 0.0, 1.0
    there.transform.rotation.y = there.transform.rotation.z = 0.0
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(there)
    bench.wait(lambda: bench.node.pipeline.extrinsics.world_from_grid(0) is not None, "the transform did not come")
    bench.good_pair()
    np.testing.assert_allclose(placed[-1][:3, 3], [4, 5, 6])


def test_raw_images_are_rectified(made: list[Bench]) -> None:
    """A shift of the principal point between K and P moves the image by as many pixels."""
    made.append(bench := Bench(rectify=True))
    bench.wait_active()
    infos = {side: info_message(side) for side in ("left", "right")}
    for info in infos.values():
        info.k[2] += 4.0
    bench.send_infos(**infos)
    time.sleep(0.05)
    seen: list[Any] = []
    predict = bench.node.pipeline.host.predict
    bench.node.pipeline.host.predict = lambda rig, left, right, stamp: (  # type: ignore[method-assign]
        seen.append((left, right)) or predict(rig, left, right, stamp)
    )
    bench.send_pair()
    bench.wait(lambda: bench.processed == 1, "not predicted")
    np.testing.assert_array_equal(seen[0][0][:, 4 : WIDTH - 8], bench.left[:, 8 : WIDTH - 4])


@pytest.mark.parametrize("model", ["occdepth-b3", "occdepth-edge"])
def test_missing_weights_fall_back_by_name(made: list[Bench], tmp_path: Path, model: str) -> None:
    made.append(bench := Bench(model=model, weights=str(tmp_path / "none.ckpt")))
    bench.wait_active()
    bench.expect_fault("checkpoint", "none.ckpt")
    assert "Going on with stereo-geometry" in bench.diagnostics["model"].message
    assert bench.diagnostics["model"].level == b"\x01"
    bench.good_pair()
    assert "checkpoint" in bench.fault_names(), "a good pair does not mend the weights"


def test_a_grid_that_the_network_cannot_predict_falls_back_by_name(made: list[Bench]) -> None:
    made.append(bench := Bench(model="occdepth-edge", weights="random", grid_resolution=0.4))
    bench.wait_active()
    bench.expect_fault("model", "voxels of 0.2 m")
    assert "Going on with stereo-geometry instead of occdepth-edge" in bench.diagnostics["model"].message
    bench.good_pair()
    assert bench.node.pipeline.host.name == "stereo-geometry"


def test_the_network_with_random_weights_predicts_in_the_node(made: list[Bench]) -> None:
    made.append(bench := Bench(model="occdepth-edge", weights="random"))
    bench.wait_active()
    heard = bench.listen(SemanticGrid, "grid")
    bench.good_pair()
    bench.wait(lambda: heard, "no grid")
    assert heard[-1].model == "occdepth-edge (random weights)" and not bench.fault_names()


def test_damaged_weights_without_fallback_wait_for_repair(made: list[Bench], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"not a checkpoint" * 100)
    made.append(bench := Bench(model="occdepth-b3", weights=str(damaged), fallback=False))
    bench.expect_fault("checkpoint", "damaged.ckpt")
    assert bench.node.label == "unconfigured"
    results = bench.node.set_parameters([Parameter("model", value="stereo-geometry"), Parameter("weights", value="")])
    assert all(result.successful for result in results)
    assert bench.node.trigger_configure() == SUCCESS and bench.node.trigger_activate() == SUCCESS
    bench.wait_active()
    bench.good_pair()
    assert not bench.fault_names()


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


class GreedyEngine(Engine):
    """A model that runs out of memory while `full`."""

    full = True

    def __init__(self, rig: Any, grid: Any, *, model: str, weights: Any, device: str) -> None:
        super().__init__(rig, grid)
        self.predictor.name = model

    def predict(self, *images: Any, **options: Any) -> Any:
        if self.predictor.name != "stereo-geometry" and GreedyEngine.full:
            # the way the networks of this package say it
            raise ModelError("it does not fit") from OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().predict(*images, **options)


def test_full_gpu_memory_falls_back_and_finds_the_way_back(made: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_host, "Engine", GreedyEngine)
    monkeypatch.setattr(GreedyEngine, "full", True)
    made.append(bench := Bench(model="occdepth-b3", fallback_retry=1.0))
    bench.wait_active()
    assert bench.node.pipeline.host.name == "occdepth-b3"
    bench.good_pair()
    bench.expect_fault("gpu_memory", "does not fit")
    assert bench.node.pipeline.host.name == "stereo-geometry"
    monkeypatch.setattr(GreedyEngine, "full", False)
    time.sleep(1.1)
    bench.good_pair()
    assert bench.node.pipeline.host.name == "occdepth-b3" and "gpu_memory" not in bench.fault_names()


def test_a_model_that_breaks_on_a_pair_is_named_and_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = bench.node.pipeline.host._engine.predictor
    monkeypatch.setattr(predictor, "infer", lambda left, right: 1 / 0)
    bench.send_pair()
    bench.expect_fault("inference", "ZeroDivisionError")
    monkeypatch.undo()
    bench.good_pair()
    assert "inference" not in bench.fault_names()


def test_an_output_that_breaks_does_not_take_the_others_down(
    made: list[Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    broken, heard = bench.listen(PointCloud2, "points"), bench.listen(Image, "depth")
    outputs = {o.spec.name: o for o in bench.node.pipeline.outputs.outputs}
    bench.wait(lambda: all(outputs[n].publisher.get_subscription_count() for n in ("points", "depth")), "unheard")
    monkeypatch.setattr(outputs["points"], "encode", lambda *inputs: 1 / 0)
    bench.good_pair()
    bench.expect_fault("output_points", "division")
    assert heard and not broken


def test_the_lifecycle_goes_round(made: list[Bench]) -> None:
    made.append(bench := Bench(autostart=False))
    time.sleep(0.2)
    node = bench.node
    assert node.label == "unconfigured"
    for _ in range(2):
        assert node.trigger_configure() == SUCCESS and node.label == "inactive"
        heard = bench.listen(Octomap, "octomap_binary", latched=True)
        assert node.trigger_activate() == SUCCESS
        bench.wait_active()
        bench.good_pair()
        bench.wait(lambda heard=heard: heard, "no map")
        assert node.trigger_deactivate() == SUCCESS and node.label == "inactive"
        processed = bench.processed
        bench.send_pair()
        time.sleep(0.1)
        assert bench.processed == processed
        late = bench.listen(Octomap, "octomap_binary", latched=True)
        bench.wait(lambda late=late: late, "the map did not stay for a late listener")
        assert node.trigger_cleanup() == SUCCESS and node.label == "unconfigured"
    assert node.trigger_shutdown() == SUCCESS and node.label == "finalized"
