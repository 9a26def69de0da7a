"""Behaviour of ``sensor_msgs_py.point_cloud2`` that this project uses, for the replacement and the original package."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")
pytest.importorskip("sensor_msgs_py", reason="needs sensor_msgs_py or its replacement")

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

Array = np.ndarray[Any, np.dtype[Any]]

MIXED = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name="z", offset=8, datatype=PointField.FLOAT32, count=1),
    PointField(name="rgb", offset=16, datatype=PointField.UINT32, count=1),
    PointField(name="label", offset=20, datatype=PointField.UINT8, count=1),
    PointField(name="confidence", offset=24, datatype=PointField.FLOAT64, count=1),
]
STEP = 32


def mixed_points(count: int, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    points = np.zeros(count, point_cloud2.dtype_from_fields(MIXED, point_step=STEP))
    for name in points.dtype.names or ():
        points[name] = generator.integers(0, 200, count)
    return points


def swapped(cloud: PointCloud2) -> PointCloud2:
    """Return the same cloud in the opposite byte order."""
    dtype = point_cloud2.dtype_from_fields(cloud.fields, point_step=cloud.point_step)
    points = np.frombuffer(bytes(cloud.data), dtype).byteswap()
    data = type(cloud.data)("B", points.tobytes())
    return PointCloud2(
        header=cloud.header,
        height=cloud.height,
        width=cloud.width,
        fields=cloud.fields,
        is_bigendian=not cloud.is_bigendian,
        point_step=cloud.point_step,
        row_step=cloud.row_step,
        data=data,
        is_dense=cloud.is_dense,
    )


def test_dtype_follows_offsets_and_point_step() -> None:
    dtype = point_cloud2.dtype_from_fields(MIXED, point_step=STEP)
    assert dtype.names == ("x", "y", "z", "rgb", "label", "confidence")
    assert dtype.itemsize == STEP
    assert [dtype.fields[name][1] for name in dtype.names] == [0, 4, 8, 16, 20, 24]  # type: ignore[index]


def test_fields_of_several_elements_and_without_names_are_numbered() -> None:
    fields = [
        PointField(name="normal", offset=0, datatype=PointField.FLOAT32, count=3),
        PointField(name="", offset=12, datatype=PointField.INT16, count=1),
    ]
    dtype = point_cloud2.dtype_from_fields(fields)
    assert dtype.names == ("normal_0", "normal_1", "normal_2", "unnamed_field_1")
    assert [dtype.fields[name][1] for name in dtype.names] == [0, 4, 8, 12]  # type: ignore[index]


def test_structured_points_round_trip() -> None:
    points = mixed_points(7)
    header = Header(frame_id="map")
    cloud = point_cloud2.create_cloud(header, MIXED, points, STEP)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 7, STEP, 7 * STEP)
    assert cloud.header.frame_id == "map"
    assert cloud.is_bigendian == (sys.byteorder == "big")
    assert len(cloud.data) == 7 * STEP
    read = point_cloud2.read_points(cloud)
    assert read.dtype == points.dtype
    for name in points.dtype.names or ():
        np.testing.assert_array_equal(read[name], points[name])


def test_both_byte_orders_are_read() -> None:
    points = mixed_points(5)
    read = point_cloud2.read_points(swapped(point_cloud2.create_cloud(Header(), MIXED, points, STEP)))
    for name in points.dtype.names or ():
        np.testing.assert_array_equal(read[name], points[name])


def test_fields_and_points_are_selected() -> None:
    points = mixed_points(6)
    cloud = point_cloud2.create_cloud(Header(), MIXED, points, STEP)
    read = point_cloud2.read_points(cloud, field_names=["z", "label"], uvs=[4, 1])
    assert read.dtype.names == ("z", "label")
    np.testing.assert_array_equal(read["label"], points["label"][[4, 1]])
    with pytest.raises(AssertionError):
        point_cloud2.read_points(cloud, field_names=["nothing"])


def test_points_with_nan_are_omitted_on_request() -> None:
    xyz = np.array([[1, 2, 3], [np.nan, 0, 0], [4, 5, np.nan], [7, 8, 9]], np.float32)
    cloud = point_cloud2.create_cloud_xyz32(Header(), xyz)
    assert point_cloud2.read_points(cloud).shape == (4,)
    kept = point_cloud2.read_points_numpy(cloud, skip_nans=True)
    np.testing.assert_array_equal(kept, xyz[[0, 3]])
    assert point_cloud2.read_points(cloud, field_names=["x"], skip_nans=True).shape == (3,)
    cloud.is_dense = True  # declares that no point is NaN
    assert point_cloud2.read_points(cloud, skip_nans=True).shape == (4,)


def test_xyz_is_always_float32() -> None:
    xyz = np.arange(12, dtype=np.float32).reshape(4, 3)
    cloud = point_cloud2.create_cloud_xyz32(Header(), xyz)
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    assert cloud.point_step == 12
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), xyz)
    from_list = point_cloud2.create_cloud_xyz32(Header(), xyz.tolist())
    assert bytes(from_list.data) == bytes(cloud.data)


def test_points_as_a_list_are_named_tuples() -> None:
    cloud = point_cloud2.create_cloud_xyz32(Header(), np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    first, second = point_cloud2.read_points_list(cloud)
    assert (first.x, first.y, first.z) == (1.0, 2.0, 3.0)
    assert tuple(second) == (4.0, 5.0, 6.0)


def test_the_first_dimension_of_an_organised_cloud_is_the_width() -> None:
    grid = mixed_points(12).reshape(4, 3)
    cloud = point_cloud2.create_cloud(Header(), MIXED, grid, STEP)
    assert (cloud.height, cloud.width, cloud.row_step) == (3, 4, 4 * STEP)
    np.testing.assert_array_equal(point_cloud2.read_points(cloud)["label"], grid["label"].ravel())
    assert point_cloud2.read_points(cloud, reshape_organized_cloud=True)["label"].tolist() == grid["label"].tolist()


def test_an_empty_cloud_round_trips() -> None:
    cloud = point_cloud2.create_cloud_xyz32(Header(), np.zeros((0, 3), np.float32))
    assert (cloud.width, len(cloud.data)) == (0, 0)
    assert point_cloud2.read_points_numpy(cloud).shape == (0, 3)


def test_too_little_data_is_refused() -> None:
    cloud = point_cloud2.create_cloud_xyz32(Header(), np.ones((4, 3), np.float32))
    cloud.width = 5
    with pytest.raises(TypeError):
        point_cloud2.read_points(cloud)


def test_fields_of_different_types_are_refused_as_an_unstructured_array() -> None:
    cloud = point_cloud2.create_cloud(Header(), MIXED, mixed_points(2), STEP)
    with pytest.raises(AssertionError):
        point_cloud2.read_points_numpy(cloud)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 20), st.just(3)), elements=st.floats(width=32)))
def test_coordinates_round_trip_in_both_byte_orders(xyz: Array) -> None:
    cloud = point_cloud2.create_cloud_xyz32(Header(), xyz)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), xyz)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(swapped(cloud)), xyz)
    assert len(point_cloud2.read_points(cloud, skip_nans=True)) == int((~np.isnan(xyz).any(1)).sum())
