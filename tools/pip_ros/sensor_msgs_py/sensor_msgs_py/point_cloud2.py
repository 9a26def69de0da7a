"""Conversion of ``sensor_msgs/PointCloud2`` from and to numpy arrays, vectorised over points."""

from __future__ import annotations

import array
import collections
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

Points = np.ndarray[Any, np.dtype[Any]]

DUMMY_FIELD_PREFIX = "unnamed_field"

_DATATYPES: dict[int, np.dtype[Any]] = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}


def read_points(
    cloud: PointCloud2,
    field_names: Iterable[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> Points:
    """Return the points as a structured array [N] in native byte order, which may share memory with the message.

    ``field_names`` selects fields, ``uvs`` selects points by index, and ``skip_nans`` omits points with a NaN in a
    selected field. With ``reshape_organized_cloud``, a cloud of several rows has the shape [width, height], as in the
    original package.
    """
    points: Points = np.ndarray(
        shape=(cloud.width * cloud.height,),
        dtype=dtype_from_fields(cloud.fields, point_step=cloud.point_step),
        buffer=cloud.data,
    )
    if field_names is not None:
        names = list(field_names)
        assert all(name in (points.dtype.names or ()) for name in names), "a requested field is not in the cloud"
        points = points[names]
    if bool(cloud.is_bigendian) != (sys.byteorder == "big"):
        points = points.byteswap()
    if skip_nans and not cloud.is_dense:
        points = points[~_has_nan(points)]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Iterable[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
    reshape_organized_cloud: bool = False,
) -> Points:
    """Return the points as an unstructured array [N, number of fields]. All fields must have the same type."""
    assert all(field.datatype == cloud.fields[0].datatype for field in cloud.fields), "the fields differ in type"
    points = read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud)
    return np.asarray(structured_to_unstructured(points))


def read_points_list(
    cloud: PointCloud2,
    field_names: Iterable[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable[int] | None = None,
) -> list[Any]:
    """Return the points as a list of named tuples, which is slow for large clouds."""
    points = read_points(cloud, field_names, skip_nans, uvs)
    point_type: Any = collections.namedtuple("Point", list(points.dtype.names or ()))  # type: ignore[misc]
    return [point_type(*point) for point in points.tolist()]


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype[Any]:
    """Return the numpy type of one point.

    A field without a name is named ``unnamed_field_<index>``. A field of several elements is split into ``<name>_0``,
    ``<name>_1``, ...
    """
    names: list[str] = []
    offsets: list[int] = []
    formats: list[np.dtype[Any]] = []
    for index, field in enumerate(fields):
        datatype = _DATATYPES[field.datatype]
        name = field.name or f"{DUMMY_FIELD_PREFIX}_{index}"
        assert field.count > 0, "a field has no elements"
        for element in range(field.count):
            subname = name if field.count == 1 else f"{name}_{element}"
            assert subname not in names, f"two fields of the cloud have the name {subname}"
            names.append(subname)
            offsets.append(field.offset + element * datatype.itemsize)
            formats.append(datatype)
    layout: Any = {"names": names, "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)


def create_cloud(
    header: Header, fields: Iterable[PointField], points: Iterable[Any], point_step: int | None = None
) -> PointCloud2:
    """Return a message with ``points``.

    ``points`` is a structured array of the fields' type, [N] or [width, height] for an organised cloud; an unstructured
    array [..., number of fields], if all fields have its type; or an iterable of points. The first dimension of an
    organised array is the width, and the memory order is not changed, as in the original package.
    """
    fields = list(fields)
    dtype = dtype_from_fields(fields, point_step)
    if isinstance(points, np.ndarray) and points.dtype.names is not None:
        assert points.dtype == dtype, f"the points are of the type {points.dtype}, the fields of {dtype}"
        structured = points
    elif isinstance(points, np.ndarray):
        assert all(dtype[name] == points.dtype for name in dtype.names or ()), (
            "the fields and the points differ in type"
        )
        structured = unstructured_to_structured(points, dtype=dtype)
    else:
        rows = list(points)
        structured = np.array([tuple(row) for row in rows], dtype=dtype)
    assert structured.ndim <= 2, "a cloud has at most two dimensions"
    width, height = structured.shape if structured.ndim == 2 else (structured.shape[0], 1)
    data = array.array("B")
    data.frombytes(structured.tobytes())
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder != "little",
        fields=fields,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * width,
        data=data,
    )


def create_cloud_xyz32(header: Header, points: Iterable[Any]) -> PointCloud2:
    """Return a message with points [N, 3] as float32."""
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate("xyz")
    ]
    return create_cloud(header, fields, points)


def _has_nan(points: Points) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each point has a NaN in any field."""
    found = np.zeros(points.shape, bool)
    for name in points.dtype.names or ():
        if points.dtype[name].kind == "f":
            found |= np.isnan(points[name])
    return found
