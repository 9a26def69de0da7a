"""The outputs for planners, read as their consumers read them: quality of service, frame, fields and values.

The contracts are those of nav2 a3a9704, spatio_temporal_voxel_layer 403d9ed, semantic_segmentation_layer a70cf6e,
moveit2 8fcb5d2, px4_msgs a4a9864 and autoware_core 2d693b8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from helpers.predictions import predict

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.srv", reason="the interfaces are not built: run make env")

from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
    qos_profile_services_default,
)
from rclpy.serialization import deserialize_message

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.stereo_occ.map.grid import MapGrid
from occdepth_ros.nodes.stereo_occ.map.server import map_outputs
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS, OutputSpec, Result
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.outputs.octree import read_binary_stream
from occdepth_ros.prediction import OccupancyPrediction, Visibility

pytestmark = pytest.mark.ros
CONFIG = Path(__file__).resolve().parents[3] / "config"
CAR, ROAD, BUILDING = 1, 9, 13
LATCHED_SUBSCRIPTION = QoSProfile(
    depth=3, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
SPECS = {f"/stereo_occ/{spec.name}": spec for spec in (*OUTPUTS, *map_outputs(MapGrid()))}
CAMERA = PinholeCamera(np.array([[100.0, 0, 80, 0], [0, 100, 48, 0], [0, 0, 1, 0]]), 160, 96)
RIGHT = PinholeCamera(np.array([[100.0, 0, 80, -50], [0, 100, 48, 0], [0, 0, 1, 0]]), 160, 96)
OPTICAL_FROM_GRID = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0.4], [1, 0, 0, -0.2], [0, 0, 0, 1]])


def scene() -> OccupancyPrediction:
    """A road, a seen wall 8 m ahead, a completed car behind it, and a region to the left that is unknown."""
    grid = VoxelGrid((0.0, -10.0, -1.8), (80, 100, 16), 0.2, "base_link")
    labels = np.zeros(grid.size, np.uint8)
    visibility = np.full(grid.size, int(Visibility.SEEN), np.uint8)
    labels[:, :, 0] = ROAD
    labels[40, 40:60, 1:14] = BUILDING
    labels[50:60, 48:52, 1:6] = CAR
    visibility[41:, 40:60] = int(Visibility.HIDDEN)
    labels[:, 70:], visibility[:, 70:] = 255, int(Visibility.OUTSIDE)
    return predict(labels, grid=grid, visibility=visibility)


PREDICTION = scene()
RESULT = Result(PREDICTION, "camera_left_optical", StereoRig(CAMERA, RIGHT, OPTICAL_FROM_GRID))


def settings_of(content: Any, key: str) -> list[Any]:
    """All values of a key in a nested mapping."""
    if not isinstance(content, dict):
        return []
    own = [content[key]] if key in content else []
    return own + [value for child in content.values() for value in settings_of(child, key)]


def configured(name: str) -> Any:
    return yaml.safe_load((CONFIG / name).read_text())


def spec_of(topic: str) -> OutputSpec:
    assert topic in SPECS, f"{topic} is not published; there are {sorted(SPECS)}"
    return SPECS[topic]


def received(topic: str, subscription: QoSProfile) -> Any:
    """The message on a topic, if a subscription with this quality of service would receive it."""
    spec = spec_of(topic)
    compatibility, reason = qos_check_compatible(spec.qos, subscription)
    assert compatibility != QoSCompatibility.ERROR, reason
    content = spec.encode(RESULT, Settings())
    assert content is not None and spec.message is not None
    return deserialize_message(content, spec.message)


def points_of(cloud: Any) -> npt.NDArray[np.float32]:
    """x, y, z as sensor_msgs::PointCloud2ConstIterator<float> reads them, `[N, 3]`."""
    offsets = {field.name: field.offset for field in cloud.fields if field.datatype == 7 and field.count == 1}
    rows = np.frombuffer(bytes(cloud.data), np.uint8).reshape(-1, cloud.point_step)
    assert len(rows) == cloud.width * cloud.height and not cloud.is_bigendian
    columns = [rows[:, offsets[axis] : offsets[axis] + 4].copy().view("<f4") for axis in "xyz"]
    return np.concatenate(columns, axis=1)


def in_base(cloud: Any) -> npt.NDArray[np.float64]:
    """Points in base_link, which TF gives the consumer."""
    assert cloud.header.frame_id == "camera_left_optical"
    inverse = np.linalg.inv(OPTICAL_FROM_GRID)
    return np.asarray(points_of(cloud) @ inverse[:3, :3].T + inverse[:3, 3], np.float64)


def is_near(points: npt.NDArray[np.float64], x: float, y: float) -> npt.NDArray[np.bool_]:
    return (np.abs(points[:, 0] - x) < 0.3) & (np.abs(points[:, 1] - y) < 0.3)


@pytest.mark.parametrize("file", ["nav2_params.yaml", "nav2_stvl.yaml"])
def test_nav2_layers_mark_completed_obstacles_and_clear_with_seen_points_only(file: str) -> None:
    """nav2's ObservationBuffer and ObstacleLayer or VoxelLayer (a3a9704).

    A cloud is transformed by TF to `global_frame`. The origin of its own frame, or of `sensor_frame`, is the origin
    of rays. The float32 fields x, y, z are found by name; points outside `min_obstacle_height` to
    `max_obstacle_height` (z in `global_frame`) are dropped, from clearing clouds as well. In each update, clearing
    comes first: a line from the origin to two cells before each point is freed. Then each point of a marking cloud
    within `obstacle_max_range` is lethal.
    """
    content = configured(file)
    sources = {key: source for layer in layers(content) for key, source in layer.items() if is_source(source)}
    marking = [source for source in sources.values() if source["marking"]]
    clearing = [source for source in sources.values() if source["clearing"]]
    assert len(marking) == len(clearing) == 1 and marking[0] is not clearing[0]
    marked = in_base(received(marking[0]["topic"], qos_profile_sensor_data))
    cleared = in_base(received(clearing[0]["topic"], qos_profile_sensor_data))
    wall, car, road = (8.1, 0.1), (11.1, 0.1), (4.1, 0.1)
    assert is_near(marked, *wall).any() and is_near(marked, *car).any() and not is_near(marked, *road).any()
    # a ray to the car would erase the wall before it
    assert is_near(cleared, *wall).any() and is_near(cleared, *road).any() and not is_near(cleared, *car).any()


def layers(content: Any) -> list[dict[str, Any]]:
    """All costmap layers of a parameter file that read sources."""
    found = [content] if isinstance(content, dict) and "observation_sources" in content else []
    children = content.values() if isinstance(content, dict) else ()
    return found + [layer for child in children for layer in layers(child)]


def is_source(value: Any) -> bool:
    return isinstance(value, dict) and "marking" in value


def test_nav2_static_layers_receive_grids_and_updates_that_lie_inside_them() -> None:
    """nav2's StaticLayer: a grid is taken over row by row; an update is dropped if it exceeds the grid or has another
    `frame_id`, and replaces the cells from (x, y) on otherwise. `map/test_grid.py` applies both."""
    topics = settings_of(configured("nav2_params.yaml"), "map_topic")
    assert topics
    for topic in topics:
        assert spec_of(topic).message.__name__ == "OccupancyGrid"  # type: ignore[union-attr]
        assert qos_check_compatible(spec_of(topic).qos, LATCHED_SUBSCRIPTION)[0] != QoSCompatibility.ERROR
        updates = spec_of(f"{topic}_updates")
        subscription = QoSProfile(depth=3, reliability=ReliabilityPolicy.RELIABLE)
        assert qos_check_compatible(updates.qos, subscription)[0] != QoSCompatibility.ERROR


def static_layer_cost(value: int, costmap: dict[str, Any]) -> int:
    """The cost of a grid's value in nav2's static layer (StaticLayer::interpretValue, a3a9704).

    The int8 is read as an unsigned byte, so -1 is 255, the default of `unknown_cost_value`. It has no information
    where the costmap tracks unknown space and is free elsewhere. 99 is the default of `inscribed_obstacle_cost_value`
    and costs 253, and values from `lethal_cost_threshold` on are lethal, 254. Other values are free in a trinary
    costmap, the default, and scaled to the threshold otherwise; the cost is truncated to a byte.
    """
    value &= 255
    if value == 255:
        return 255 if costmap.get("track_unknown_space") else 0
    if value == 99:
        return 253
    threshold = costmap.get("lethal_cost_threshold", 100)
    if value >= threshold:
        return 254
    return 0 if costmap.get("trinary_costmap", True) else int(254 * value / threshold)


def test_nav2_static_layers_never_read_an_obstacle_or_unknown_space_as_free() -> None:
    costmap = configured("nav2_params.yaml")["global_costmap"]["global_costmap"]["ros__parameters"]
    for by_confidence in (False, True):
        content = spec_of("/stereo_occ/occupancy_grid").encode(
            RESULT, Settings(occupancy_confidence_cost=by_confidence)
        )
        grid = deserialize_message(content, spec_of("/stereo_occ/occupancy_grid").message)
        values = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
        assert (grid.info.width, grid.info.height) == PREDICTION.grid.size[:2] and len(
            set(values.ravel().tolist())
        ) == 3
        costs = np.vectorize(lambda value: static_layer_cost(int(value), costmap))(values)
        wall, road, unknown = costs[50, 40], costs[50, 20], costs[85, 20]
        assert wall > 0 and (wall == 254) != by_confidence
        assert road == 0 and unknown == 255
    # why the file sets the parameter: nav2's default reads the same wall as free
    assert by_confidence and static_layer_cost(int(values[50, 40]), costmap | {"trinary_costmap": True}) == 0


def test_nav2_collision_monitor_stops_for_seen_obstacles_only() -> None:
    """nav2's collision monitor: a cloud that is older than `source_timeout` is ignored. Points are transformed to
    `base_frame_id`, and those with z from `min_height` to `max_height` are counted in the polygons."""
    content = configured("nav2_collision_monitor.yaml")["collision_monitor"]["ros__parameters"]
    (name,) = content["observation_sources"]
    points = in_base(received(content[name]["topic"], qos_profile_sensor_data))
    height = points[:, 2] + 1.8
    kept = points[(height >= content[name]["min_height"]) & (height <= content[name]["max_height"])]
    assert is_near(kept, 8.1, 0.1).any()
    assert not is_near(kept, 11.1, 0.1).any() and not is_near(kept, 4.1, 0.1).any()
    polygons = settings_of(content, "type")
    assert "pointcloud" in polygons


def test_semantic_segmentation_layer_finds_a_class_and_a_confidence_for_each_point() -> None:
    source = next(layer for layer in layers(configured("nav2_semantic_layer.yaml")))["occupancy"]
    cloud = received(source["pointcloud_topic"], qos_profile_sensor_data)
    mask = received(source["segmentation_topic"], qos_profile_sensor_data)
    confidence = received(source["confidence_topic"], qos_profile_sensor_data)
    count = cloud.width * cloud.height
    for image in (mask, confidence):
        assert image.encoding == "mono8" and image.width * image.height == len(image.data) == count
        assert image.header.stamp == cloud.header.stamp
    labels = np.frombuffer(bytes(mask.data), np.uint8)
    points = points_of(cloud)
    assert (labels[is_near(points.astype(float), 4.1, 0.1)] == ROAD).all()
    assert set(labels[is_near(points.astype(float), 8.1, 0.1)].tolist()) == {ROAD, BUILDING}
    info = received(source["labels_topic"], LATCHED_SUBSCRIPTION)
    names = {entry.class_name: entry.class_id for entry in info.class_map}
    assert names["road"] == ROAD and names["building"] == BUILDING
    classes = [name for kind in source["class_types"] for name in source[kind]["classes"]]
    assert set(classes) <= set(names) and len(classes) == len(set(classes))


def test_moveit_casts_rays_from_the_camera_to_seen_points() -> None:
    parameters = configured("moveit_sensors_3d.yaml")
    # without a frame, OccupancyMapMonitor reports an error and builds nothing; its own resolution is 0.1 m
    assert parameters["octomap_frame"] and parameters["octomap_resolution"] == PREDICTION.grid.resolution
    sensor = parameters["stereo_occ"]
    assert sensor["sensor_plugin"] == "occupancy_map_monitor/PointCloudOctomapUpdater"
    required = {"max_range", "padding_offset", "padding_scale", "point_subsample", "max_update_rate"}
    assert required | {"filtered_cloud_topic"} <= sensor.keys()
    cloud = received(sensor["point_cloud_topic"], qos_profile_sensor_data)
    assert cloud.header.frame_id == "camera_left_optical"
    assert not is_near(in_base(cloud), 11.1, 0.1).any()


@pytest.mark.parametrize("topic", ["/stereo_occ/planning_scene_world", "/stereo_occ/map/planning_scene_world"])
def test_moveit_takes_the_octree_of_a_planning_scene_world(topic: str) -> None:
    world = received(topic, qos_profile_services_default)
    assert not world.collision_objects and world.octomap.octomap.id == "OcTree" and world.octomap.octomap.binary
    assert world.octomap.header.frame_id == "base_link" and world.octomap.origin.orientation.w == 1.0
    data = np.asarray(world.octomap.octomap.data, np.int8).tobytes()
    occupied, _ = read_binary_stream(data, PREDICTION.grid)
    assert occupied[40, 50, 5] and occupied[55, 50, 3] and not occupied[20, 50, 5]


def test_px4_finds_obstacles_free_and_unknown_sectors() -> None:
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    message = received("/stereo_occ/obstacle_distance", best_effort)
    distances = np.asarray(message.distances)
    assert message.frame == message.MAV_FRAME_BODY_FRD and message.increment == 5.0 and message.angle_offset == 0.0
    assert (message.min_distance, message.max_distance) == (100, 1200)
    assert distances[0] == 800  # the face of the wall ahead; the completed car behind it does not count
    # clockwise is right: free there, and unknown to the left, where nothing was seen
    assert distances[6] == 1201 and distances[72 - 12] == 65535 and distances[36] == 65535


def test_autoware_reads_the_grid_and_a_cloud_without_ground() -> None:
    launch = (CONFIG.parent / "launch" / "autoware.launch.xml").read_text()
    for name, topic in (
        ("occupancy_grid", "/perception/occupancy_grid_map/map"),
        ("points_mark", "/perception/obstacle_segmentation/pointcloud"),
    ):
        assert f'<remap from="~/{name}" to="{topic}"/>' in launch
        subscription = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        received(f"/stereo_occ/{name}", subscription)
    assert not (in_base(received("/stereo_occ/points_mark", qos_profile_sensor_data))[:, 2] < -1.6).any()
