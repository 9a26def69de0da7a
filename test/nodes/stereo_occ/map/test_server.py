"""The map of the running node: topics, services, and what happens without a pose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.srv", reason="the interfaces are not built: run make env")

import tf2_ros
from geometry_msgs.msg import TransformStamped
from helpers.nodes.node_bench import Bench
from helpers.nodes.node_processes import header_of
from nav_msgs.msg import OccupancyGrid
from occdepth_ros.srv import DistanceField, MapFile
from octomap_msgs.msg import Octomap
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Empty

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.commands import map as command
from occdepth_ros.mapping import OccupancyMap
from occdepth_ros.mapping.files import SUFFIXES
from occdepth_ros.nodes.stereo_occ.map.grid import MapGrid
from occdepth_ros.nodes.stereo_occ.map.server import PlacedPrediction, map_outputs
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import StereoFrame

pytestmark = pytest.mark.ros
WALL_M = 100.0 * 0.5 / 12
CAMERA = PinholeCamera(np.array([[100.0, 0, 80, 0], [0, 100, 48, 0], [0, 0, 1, 0]]), 160, 96)
RIGHT = PinholeCamera(np.array([[100.0, 0, 80, -50], [0, 100, 48, 0], [0, 0, 1, 0]]), 160, 96)
RIG = StereoRig(CAMERA, RIGHT, np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]))


@pytest.fixture(scope="module")
def mapper() -> Iterator[Bench]:
    bench = Bench(map_mode="always", map_size=[64, 64, 32], map_max_mb=8, map_rate=0.0)
    bench.wait_active()
    broadcaster = tf2_ros.StaticTransformBroadcaster(bench.tester)
    at = TransformStamped(child_frame_id="velodyne")
    at.header.frame_id = "map"
    at.transform.translation.x, at.transform.rotation.w = 1.0, 1.0
    broadcaster.sendTransform(at)
    feed(bench)
    yield bench
    bench.close()


def fused(bench: Bench) -> int:
    return int(bench.pipeline.world.fused)


def feed(bench: Bench) -> None:
    """Send pairs until one more is fused."""
    before = fused(bench)

    def one_more() -> bool:
        bench.good_pair()
        return fused(bench) > before

    # the map drops predictions while it publishes, for longer on a busy machine
    bench.wait(one_more, "no prediction was fused")


def call(bench: Bench, kind: Any, name: str, request: Any = None) -> Any:
    client = bench.tester.create_client(kind, f"/stereo_occ/map/{name}")
    assert client.wait_for_service(10.0), f"no service {name}"
    future = client.call_async(request or kind.Request())
    bench.wait(future.done, f"{name} did not answer")
    return future.result()


def everything() -> BoundingBoxQuery.Request:
    request = BoundingBoxQuery.Request()
    for corner, value in ((request.min, -100.0), (request.max, 100.0)):
        corner.x = corner.y = corner.z = value
    return request


def test_every_map_topic_is_published_in_the_fixed_frame(mapper: Bench) -> None:
    received = {
        spec.name: mapper.listen(spec.message, spec.name, latched=spec.qos.durability.name == "TRANSIENT_LOCAL")
        for spec in map_outputs(MapGrid())
    }
    feed(mapper)

    # updates hold what changed; the other topics show the map itself
    def complete() -> bool:
        call(mapper, BoundingBoxQuery, "clear_bbox", everything())
        time.sleep(0.3)  # the worker publishes the cleared map
        feed(mapper)
        return all(received.values())

    mapper.wait(complete, "a topic of the map is missing")
    for name, messages in received.items():
        assert header_of(messages[-1]).frame_id == "map", name
    assert {type(messages[0]) for messages in received.values()} >= {Octomap, OccupancyGrid, PointCloud2}
    cloud = next(message for message in reversed(received["map/points"]) if message.width)
    xyz = np.frombuffer(bytes(cloud.data), np.uint8).reshape(-1, cloud.point_step)[:, :4].copy().view(np.float32)
    # the wall lies WALL_M ahead of the camera, and the vehicle 1 m ahead of the map's origin
    assert abs(np.median(xyz) - (1.0 + WALL_M)) < 0.3


def test_the_map_has_no_rims_of_single_predictions(mapper: Bench) -> None:
    pipeline = mapper.pipeline
    world, grid = pipeline.world, pipeline.host.grid
    call(mapper, Empty, "reset")
    full = np.ones(grid.size, np.uint8)
    completed = OccupancyPrediction(grid, 9 * full, 255 * full, 2 * full, np.ones((4, 4), np.float32))
    world._fuse(PlacedPrediction(completed, np.eye(4)))
    occupied = np.argwhere(world.world.snapshot().occupied)
    border = pipeline.settings.border_voxels
    assert border > 0
    extent = np.ptp(occupied, axis=0) + 1
    np.testing.assert_array_equal(extent[:2], np.array(grid.size[:2]) - 2 * border)
    call(mapper, Empty, "reset")
    feed(mapper)


def test_the_map_equals_that_of_the_command_for_equal_predictions(
    mapper: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = mapper.pipeline
    live, grid = pipeline.world, pipeline.host.grid
    call(mapper, Empty, "reset")
    placed = []
    for i in range(4):
        rng = np.random.default_rng(i)
        labels = rng.choice([0, 1, 9, 13, 255], grid.size).astype(np.uint8)
        confidence, visibility = (rng.integers(0, high, grid.size).astype(np.uint8) for high in (256, 3))
        prediction = OccupancyPrediction(grid, labels, confidence, visibility, np.ones((4, 4), np.float32))
        pose = np.eye(4)
        pose[:2, 3] = 0.7 * i, -0.3 * i
        placed.append(PlacedPrediction(replace(prediction, stamp_ns=(i + 1) * 100_000_000), pose))
        live._fuse(placed[-1])
    image = np.zeros((4, 4, 3), np.uint8)
    frames = [
        (i, StereoFrame(str(i), p.prediction.stamp_ns, image, image, p.map_from_grid), p.prediction)
        for i, p in enumerate(placed)
    ]
    monkeypatch.setattr(command, "predicted", lambda *_: iter(frames))
    engine = SimpleNamespace(predictor=SimpleNamespace(name="model"), ambiguous_share=0.0, grid=grid)
    source = SimpleNamespace(rig=RIG, ground_truth=lambda _: None)
    offline = OccupancyMap(live.world.config)
    command.fuse_drive(source, engine, range(len(frames)), offline)  # type: ignore[arg-type]
    assert offline.blocks() and offline.blocks() == live.world.blocks()
    call(mapper, Empty, "reset")
    feed(mapper)


def test_the_services_of_octomap_server_answer(mapper: Bench) -> None:
    for name, kind in (("octomap_binary", "OcTree"), ("octomap_full", "ColorOcTree")):
        octomap = call(mapper, GetOctomap, name).map
        assert octomap.id == kind and octomap.header.frame_id == "map" and len(octomap.data) > 10
    call(mapper, BoundingBoxQuery, "clear_bbox", everything())
    assert not mapper.pipeline.world.world.snapshot().occupied.any()
    feed(mapper)
    assert mapper.pipeline.world.world.snapshot().occupied.any()
    call(mapper, Empty, "reset")
    assert mapper.pipeline.world.world.snapshot() is None
    feed(mapper)


def test_the_distance_field_service_measures_to_the_wall(mapper: Bench) -> None:
    pytest.importorskip("edt", reason="edt is not installed: pip install edt")
    request = DistanceField.Request(max_distance=3.0)
    request.min.x, request.min.y, request.min.z = 1.0, -0.5, -0.5
    request.max.x, request.max.y, request.max.z = 6.0, 0.5, 0.5
    answer = call(mapper, DistanceField, "distance_field", request)
    assert answer.success and answer.header.frame_id == "map", answer.message
    field = np.array(answer.distances, np.float32).reshape(answer.size_x, answer.size_y, answer.size_z)
    assert field.min() == 0 and field[0].min() > 2.0
    assert not call(mapper, DistanceField, "distance_field").success, "an empty box"


def test_a_jump_of_the_pose_and_stamps_that_go_back_reset_the_map(made: list[Bench]) -> None:
    made.append(bench := Bench(map_mode="always", map_size=[64, 64, 32], map_max_mb=8, map_rate=0.0))
    bench.wait_active()

    def place(x: float) -> None:
        at = TransformStamped(child_frame_id="velodyne")
        at.header.frame_id = "map"
        at.transform.translation.x, at.transform.rotation.w = x, 1.0
        # a publisher of its own: the same one repeats its first transform
        tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(at)

    place(1.0)
    feed(bench)
    assert "map_reset" not in bench.fault_names()
    place(9.0)

    def named() -> bool:
        feed(bench)
        return "map_reset" in bench.fault_names()

    bench.wait(named, "the jump was not named")
    bench.expect_fault("map_reset", "the map was reset: ")
    bench.node.faults.clear("map_reset")
    bench.stamp_ns -= 20_000_000_000
    bench.wait(named, "the stamps that go back were not named")
    bench.expect_fault("map_reset", "the map was reset: ")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_maps_are_saved_and_loaded(mapper: Bench, tmp_path: Path, suffix: str) -> None:
    feed(mapper)
    path = tmp_path / f"map{suffix}"
    answer = call(mapper, MapFile, "save_map", MapFile.Request(path=str(path)))
    assert answer.success and path.is_file(), answer.message
    call(mapper, Empty, "reset")
    answer = call(mapper, MapFile, "load_map", MapFile.Request(path=str(path)))
    assert answer.success, answer.message
    assert mapper.pipeline.world.world.whole().occupied.any()
    answer = call(mapper, MapFile, "load_map", MapFile.Request(path=str(tmp_path / "absent.npz")))
    assert not answer.success and "absent.npz" in answer.message
    feed(mapper)


def test_a_missing_pose_is_named_and_nothing_is_fused(made: list[Bench]) -> None:
    bench = Bench(map_mode="always", map_size=[64, 64, 32], map_max_mb=8)
    made.append(bench)
    bench.wait_active()
    bench.good_pair()
    bench.expect_fault("map_pose", "no transform from 'map' to 'velodyne'")
    assert fused(bench) == 0


def test_predictions_are_not_fused_before_the_first_subscriber(made: list[Bench]) -> None:
    bench = Bench(map_size=[64, 64, 32], map_max_mb=8)
    made.append(bench)
    bench.wait_active()
    bench.good_pair()
    assert fused(bench) == 0 and "map_pose" not in bench.fault_names()
    bench.listen(PointCloud2, "map/points")
    bench.wait(lambda: bench.pipeline.world.outputs.has_subscribers(bench.pipeline.settings), "no subscription")
    bench.good_pair()
    bench.expect_fault("map_pose")


def test_an_invalid_window_size_is_rejected_at_configuration(made: list[Bench]) -> None:
    bench = Bench(map_size=[500, 512, 64])
    made.append(bench)
    bench.wait(lambda: "configure" in bench.fault_names(), "the fault did not come")
    assert "whole blocks" in next(f.text for f in bench.node.faults.present() if f.name == "configure")
    assert bench.node.label == "unconfigured"
    bench.node.set_parameters([Parameter("map_size", value=[64, 64, 32])])
