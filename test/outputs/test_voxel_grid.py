"""Voxel grids for viewers, read as their consumers read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.predictions import predict, predictions
from hypothesis import given

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.selection import ALL, Selection
from occdepth_ros.outputs.voxel_grid import colored_cells, encode_nav2_voxel_grid
from occdepth_ros.prediction import OccupancyPrediction

FREE, UNKNOWN, MARKED = 0, 1, 2

OBSERVED = Selection("all", completed_free=False)


def states(data: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """States `[X, Y, Z]` by the rule of nav2_voxel_grid: the number of set bits of a layer's two."""
    nx, ny, nz = size
    columns = np.asarray(data, np.uint32).reshape(ny, nx).T[..., None]
    layer = np.arange(nz, dtype=np.uint32)
    return (columns >> layer & 1) + (columns >> (layer + np.uint32(16)) & 1)


@pytest.fixture(scope="module")
def nav2_type() -> Any:
    pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
    return pytest.importorskip("nav2_msgs.msg", reason="nav2_msgs is not installed: run make env").VoxelGrid


@given(prediction=predictions())
def test_nav2_reads_marked_unknown_and_free_voxels(nav2_type: Any, prediction: OccupancyPrediction) -> None:
    from rclpy.serialization import deserialize_message

    message = deserialize_message(encode_nav2_voxel_grid(prediction, "lidar", Selection("all")), nav2_type)
    size = (message.size_x, message.size_y, message.size_z)
    grid = prediction.grid
    merged = 1 if grid.size[2] <= 16 else 2
    assert size == (grid.size[0], grid.size[1], -(-grid.size[2] // merged))
    found = states(message.data, size)
    for layer in range(size[2]):
        labels = prediction.labels[..., layer * merged : (layer + 1) * merged]
        occupied = ((labels != 0) & (labels != 255)).any(axis=2)
        free = (labels == 0).all(axis=2)
        np.testing.assert_array_equal(found[..., layer], np.where(occupied, MARKED, np.where(free, FREE, UNKNOWN)))
    np.testing.assert_allclose([message.origin.x, message.origin.y, message.origin.z], grid.origin, atol=1e-5)
    assert message.resolutions.z == pytest.approx(merged * grid.resolution)


def test_free_space_that_was_not_seen_is_unknown_to_nav2(nav2_type: Any) -> None:
    from rclpy.serialization import deserialize_message

    prediction = predict(np.zeros((2, 2, 2), np.uint8), visibility=np.full((2, 2, 2), 2, np.uint8))
    message = deserialize_message(encode_nav2_voxel_grid(prediction, "lidar", OBSERVED), nav2_type)
    assert (states(message.data, (2, 2, 2)) == UNKNOWN).all()


@given(prediction=predictions())
def test_cells_have_the_colours_of_the_occupied_voxels_and_are_transparent_elsewhere(
    prediction: OccupancyPrediction,
) -> None:
    cells = colored_cells(prediction, ALL)
    alpha = cells.rgba[..., 3].transpose(2, 1, 0)
    low = np.rint((np.asarray(cells.origin) - prediction.grid.origin) / prediction.grid.resolution).astype(int)
    whole = np.zeros(prediction.grid.size, np.uint8)
    part = tuple(slice(start, start + count) for start, count in zip(low, alpha.shape, strict=True))
    whole[part] = alpha
    np.testing.assert_array_equal(whole == 255, prediction.occupied)
    seen = prediction.occupied & ~prediction.completed
    colors = np.zeros((*prediction.grid.size, 3), np.uint8)
    colors[part] = cells.rgba[..., :3].transpose(2, 1, 0, 3)
    np.testing.assert_array_equal(colors[seen], SEMANTIC_KITTI.colors[prediction.labels[seen]])


def test_the_foxglove_message_has_the_strides_of_its_cells() -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
    types = pytest.importorskip("foxglove_msgs.msg", reason="foxglove_msgs is not installed: run make env")
    from rclpy.serialization import deserialize_message

    from occdepth_ros.nodes.foxglove import encode_foxglove_voxels

    labels = np.full((9, 8, 7), 255, np.uint8)
    labels[2, 3, 1], labels[5, 4, 6] = 9, 1
    prediction = predict(labels, grid=VoxelGrid((0.0, -1.0, -2.0), labels.shape, 0.2))
    cells = colored_cells(prediction, ALL)
    data = encode_foxglove_voxels(types.VoxelGrid, types.PackedElementField, cells, 1_500_000_000, "velodyne")
    message = deserialize_message(data, types.VoxelGrid)
    assert (message.column_count, message.row_count) == (4, 2)
    assert len(message.data) == 6 * message.slice_stride
    assert [field.name for field in message.fields] == ["red", "green", "blue", "alpha"]
    assert (message.timestamp.sec, message.frame_id) == (1, "velodyne")
    for voxel in ((2, 3, 1), (5, 4, 6)):
        x, y, z = np.subtract(voxel, (2, 3, 1))
        at = z * message.slice_stride + y * message.row_stride + x * message.cell_stride
        color = SEMANTIC_KITTI.colors[labels[voxel]]
        assert list(message.data[at : at + 4]) == [*color, 255]
    corner = message.pose.position
    np.testing.assert_allclose([corner.x, corner.y, corner.z], [0.4, -0.4, -1.8], atol=1e-9)


@pytest.mark.parametrize("layers", [16, 17, 40, 64, 100, 300])
def test_grids_of_any_height_have_at_most_16_layers(nav2_type: Any, layers: int) -> None:
    from rclpy.serialization import deserialize_message

    labels = np.full((1, 1, layers), 255, np.uint8)
    labels[..., : layers // 2], labels[..., -1] = 0, 1
    prediction = predict(labels)
    message = deserialize_message(encode_nav2_voxel_grid(prediction, "lidar", OBSERVED), nav2_type)
    found = states(message.data, (1, 1, message.size_z))[0, 0]
    assert message.size_z <= 16
    assert message.size_z * message.resolutions.z >= layers * 0.2 - 1e-9
    merged = round(message.resolutions.z / 0.2)
    assert found[-1] == MARKED
    assert (found[: layers // 2 // merged] == FREE).all()
    assert (found[-(-(layers // 2) // merged) : -1] == UNKNOWN).all()


def test_the_object_of_a_later_release_has_the_same_content() -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
    types = pytest.importorskip("foxglove_msgs.msg", reason="foxglove_msgs is not installed: run make env")
    from rclpy.serialization import deserialize_message

    from occdepth_ros.nodes.foxglove import encode_foxglove_voxels, foxglove_object

    labels = np.full((9, 8, 7), 255, np.uint8)
    labels[2, 3, 1], labels[5, 4, 6] = 9, 1
    options = types.VoxelGrid, types.PackedElementField, colored_cells(predict(labels), ALL), 1_500_000_000, "map"
    assert deserialize_message(encode_foxglove_voxels(*options), types.VoxelGrid) == foxglove_object(*options)


def test_without_occupied_voxels_one_transparent_cell_replaces_the_former_ones() -> None:
    cells = colored_cells(predict(np.zeros((4, 4, 4), np.uint8)), ALL)
    assert cells.rgba.shape == (1, 1, 1, 4)
    assert not cells.rgba.any()
