"""Every serialised message is deserialised by rclpy and has the expected fields."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.predictions import STAMP_NS, predict, random_labels, surface_of

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from nav_msgs.msg import OccupancyGrid
from occdepth_ros.msg import SemanticGrid
from octomap_msgs.msg import Octomap
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.faces import exposed_rectangles
from occdepth_ros.outputs.image import encode_camera_info, encode_depth, encode_rgb
from occdepth_ros.outputs.markers import SHADES, class_colors, encode_markers
from occdepth_ros.outputs.occupancy_grid import CostRules, encode_occupancy_grid, traversability
from occdepth_ros.outputs.octomap import encode_octomap_binary, encode_octomap_full, occupancy_stream, semantic_stream
from occdepth_ros.outputs.points import encode_points
from occdepth_ros.outputs.selection import ALL, Selection, select
from occdepth_ros.outputs.semantic_grid import encode_semantic_grid
from occdepth_ros.prediction import OccupancyPrediction, Visibility

pytestmark = pytest.mark.ros

# Lengths of 1 to 8 test all alignments of the fields that follow.
FRAMES = ["", "a", "ab", "map", "odom", "lidar", "camera", "base_link"]


@pytest.fixture(scope="module")
def prediction() -> OccupancyPrediction:
    rng = np.random.default_rng(7)
    size = (12, 10, 8)
    labels = random_labels(rng, size)
    labels[:4, :4, :4] = 13
    visibility = rng.integers(0, 3, size, dtype=np.uint8)
    visibility[:4, :4, :4] = Visibility.SEEN
    return predict(labels, visibility=visibility, confidence=rng.integers(0, 256, size, dtype=np.uint8))


def check_header(header: Header, frame_id: str) -> None:
    assert header.stamp.sec * 10**9 + header.stamp.nanosec == STAMP_NS
    assert header.frame_id == frame_id


@pytest.mark.parametrize("frame_id", FRAMES)
@pytest.mark.parametrize("include", ["seen", "seen+completed", "all"])
def test_octomap(prediction: OccupancyPrediction, frame_id: str, include: str) -> None:
    for encode, stream, kind in (
        (encode_octomap_binary, occupancy_stream, "OcTree"),
        (encode_octomap_full, semantic_stream, "ColorOcTree"),
    ):
        selection = Selection(include, completed_free=False)
        data = encode(prediction, frame_id, selection)
        message = deserialize_message(data, Octomap)
        check_header(message.header, frame_id)
        assert message.binary == (kind == "OcTree")
        assert message.id == kind
        assert message.resolution == prediction.grid.resolution
        assert np.array(message.data, np.int8).tobytes() == stream(prediction, selection)


@pytest.mark.parametrize("frame_id", FRAMES)
def test_boxes_of_markers_have_the_size_the_place_and_the_colour_of_their_voxels(
    prediction: OccupancyPrediction, frame_id: str
) -> None:
    message = deserialize_message(encode_markers(prediction, frame_id, ALL), MarkerArray)
    first, *lists = message.markers
    assert first.action == Marker.DELETEALL
    grid, colors = prediction.grid, class_colors(prediction.classes)
    drawn = np.zeros(grid.size, int)
    for marker in message.markers:
        check_header(marker.header, frame_id)
        assert marker.pose.orientation.w == 1.0
    assert len({(marker.ns, marker.id) for marker in lists}) == len(lists)
    for marker in lists:
        assert (marker.type, marker.action) == (Marker.CUBE_LIST, Marker.ADD)
        assert len(marker.points) == len(marker.colors) > 0
        scale = np.array([marker.scale.x, marker.scale.y, marker.scale.z])
        assert set(np.rint(scale / grid.resolution).astype(int)) <= {1, 2, 4, 8}
        for point, color in zip(marker.points, marker.colors, strict=True):
            center = np.array([point.x, point.y, point.z])
            low, high = ((center + side * scale / 2 - grid.origin) / grid.resolution for side in (-1, 1))
            np.testing.assert_allclose([low, high], np.rint([low, high]), atol=1e-6)
            box = tuple(slice(*ends) for ends in np.rint([low, high]).astype(int).T.tolist())
            drawn[box] += 1
            (label,) = np.unique(prediction.labels[box])
            is_completed = marker.ns == "completed"
            assert ((prediction.visibility[box] != Visibility.SEEN) == is_completed).all()
            rgb = np.array([color.r, color.g, color.b])
            np.testing.assert_allclose(rgb, colors[int(is_completed)][label], atol=1e-6)
            assert color.a == 1.0
    np.testing.assert_array_equal(drawn, surface_of(prediction.occupied))


@pytest.mark.parametrize("frame_id", FRAMES)
def test_triangles_of_markers_are_shaded_by_direction(prediction: OccupancyPrediction, frame_id: str) -> None:
    message = deserialize_message(encode_markers(prediction, frame_id, ALL, style="triangles"), MarkerArray)
    first, *lists = message.markers
    assert first.action == Marker.DELETEALL
    for marker in message.markers:
        check_header(marker.header, frame_id)
        assert marker.pose.orientation.w == 1.0
    assert {marker.ns for marker in lists} <= {"seen", "completed"}
    directions, _ = exposed_rectangles(prediction, ALL, 10**6)
    for completed, name in enumerate(("seen", "completed")):
        expected = sum(int(((found.keys > 255) == completed).sum()) for found in directions)
        found = [marker for marker in lists if marker.ns == name]
        assert sum(len(marker.points) for marker in found) == 6 * expected
        allowed = {
            tuple(np.rint(255 * shade * color).astype(int))
            for color in class_colors(prediction.classes)[completed]
            for shade in SHADES.values()
        }
        for marker in found:
            assert (marker.type, marker.action) == (Marker.TRIANGLE_LIST, Marker.ADD)
            assert marker.scale.x == marker.scale.y == marker.scale.z == 1.0
            assert len(marker.points) == len(marker.colors) > 0
            for color in marker.colors:
                assert color.a == 1.0
                rgb = np.rint(255 * np.array([color.r, color.g, color.b])).astype(int)
                assert any(np.abs(rgb - other).max() <= 1 for other in allowed)


def test_an_unknown_style_of_markers_is_refused(prediction: OccupancyPrediction) -> None:
    with pytest.raises(OccDepthError, match=r"'spheres'.*boxes or triangles"):
        encode_markers(prediction, "map", style="spheres")


def test_markers_of_an_empty_scene_delete_previous_markers_and_show_the_cameras() -> None:
    empty = predict(np.zeros((4, 4, 4), np.uint8))
    message = deserialize_message(encode_markers(empty, "map", ALL), MarkerArray)
    assert [marker.action for marker in message.markers] == [Marker.DELETEALL]
    message = deserialize_message(encode_markers(empty, "map", ALL, rig=small_rig()), MarkerArray)
    assert [(marker.ns, marker.type) for marker in message.markers[1:]] == [("cameras", Marker.LINE_LIST)]
    assert len(message.markers[1].points) == len(message.markers[1].colors) == 32


def small_rig() -> StereoRig:
    left = np.array([[100.0, 0, 80, 0], [0, 101, 48, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -50.0
    return StereoRig(PinholeCamera(left, 160, 96), PinholeCamera(right, 160, 96), np.eye(4))


def test_camera_info_describes_the_rectified_left_camera() -> None:
    message = deserialize_message(encode_camera_info(small_rig(), 5_000_000_007, "optical"), CameraInfo)
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (5, 7, "optical")
    assert (message.width, message.height, message.distortion_model) == (160, 96, "plumb_bob")
    np.testing.assert_array_equal(message.d, np.zeros(5))
    np.testing.assert_array_equal(message.k, [100, 0, 80, 0, 101, 48, 0, 0, 1])
    np.testing.assert_array_equal(message.r, np.eye(3).ravel())
    np.testing.assert_array_equal(message.p, [100, 0, 80, 0, 0, 101, 48, 0, 0, 0, 1, 0])
    assert (message.binning_x, message.roi.width, message.roi.do_rectify) == (0, 0, False)


def test_rgb_images_are_written_row_by_row() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    message = deserialize_message(encode_rgb(image[:, ::-1], 1, "optical"), Image)
    assert (message.height, message.width, message.encoding, message.step) == (2, 3, "rgb8", 9)
    np.testing.assert_array_equal(np.asarray(message.data).reshape(2, 3, 3), image[:, ::-1])


@pytest.mark.parametrize("frame_id", FRAMES)
@pytest.mark.parametrize("include", ["seen", "all"])
def test_points(prediction: OccupancyPrediction, frame_id: str, include: str) -> None:
    message = deserialize_message(encode_points(prediction, frame_id, Selection(include)), PointCloud2)
    check_header(message.header, frame_id)
    types = {PointField.FLOAT32: "<f4", PointField.UINT8: "u1"}
    assert [field.name for field in message.fields] == ["x", "y", "z", "rgb", "label", "confidence", "visibility"]
    dtype = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": [types[field.datatype] for field in message.fields],
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_step,
        }
    )
    points = np.frombuffer(message.data, dtype)
    voxels = np.argwhere(select(prediction, Selection(include))[0])
    where = tuple(voxels.T)
    assert (message.height, message.width) == (1, len(voxels))
    assert message.row_step == len(message.data) == message.point_step * len(voxels)
    assert message.is_dense and not message.is_bigendian
    xyz = np.stack([points["x"], points["y"], points["z"]], 1)
    assert np.allclose(xyz, prediction.grid.centers_of(voxels), atol=1e-6)
    for name, values in (
        ("label", prediction.labels),
        ("confidence", prediction.confidence),
        ("visibility", prediction.visibility),
    ):
        assert np.array_equal(points[name], values[where])
    packed = points["rgb"].copy().view(np.uint32)
    rgb = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], 1)
    assert np.array_equal(rgb, prediction.classes.colors[prediction.labels[where]])


@pytest.mark.parametrize("frame_id", FRAMES)
def test_semantic_grid(prediction: OccupancyPrediction, frame_id: str) -> None:
    data = encode_semantic_grid(prediction, frame_id)
    message = deserialize_message(data, SemanticGrid)
    check_header(message.header, frame_id)
    assert message.model == prediction.model
    assert (message.origin.x, message.origin.y, message.origin.z) == prediction.grid.origin
    assert message.resolution == prediction.grid.resolution
    assert (message.size_x, message.size_y, message.size_z) == prediction.grid.size
    assert tuple(message.class_names) == prediction.classes.names
    assert np.array_equal(np.reshape(message.class_colors, (-1, 3)), prediction.classes.rgb)
    for name in ("labels", "confidence", "visibility"):
        assert np.array_equal(np.reshape(getattr(message, name), prediction.grid.size), getattr(prediction, name))


@pytest.mark.parametrize("frame_id", FRAMES)
def test_occupancy_grid(prediction: OccupancyPrediction, frame_id: str) -> None:
    data = encode_occupancy_grid(prediction, frame_id, ALL, CostRules(0.2, 1.0))
    message = deserialize_message(data, OccupancyGrid)
    check_header(message.header, frame_id)
    grid = prediction.grid
    assert message.info.map_load_time == message.header.stamp
    assert (message.info.width, message.info.height) == grid.size[:2]
    assert message.info.resolution == pytest.approx(grid.resolution)
    position = message.info.origin.position
    # x and y are multiples of the resolution, a float32 in the message, where the grid's are
    assert (position.x, position.y, position.z) == pytest.approx(grid.origin, abs=1e-6)
    assert position.x / message.info.resolution == round(position.x / message.info.resolution)
    assert message.info.origin.orientation.w == 1.0
    costs = traversability(prediction, ALL, CostRules(0.2, 1.0))
    for x in range(grid.size[0]):
        for y in range(grid.size[1]):
            assert message.data[y * message.info.width + x] == costs[x, y]


@pytest.mark.parametrize("frame_id", FRAMES)
def test_depth(prediction: OccupancyPrediction, frame_id: str) -> None:
    data = encode_depth(prediction, frame_id)
    message = deserialize_message(data, Image)
    check_header(message.header, frame_id)
    assert (message.height, message.width, message.encoding, message.step) == (1, 3, "32FC1", 12)
    depth = np.frombuffer(message.data, "<f4")
    assert depth[0] == 1.5 and math.isnan(depth[1]) and depth[2] == 3.0
