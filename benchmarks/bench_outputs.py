"""Messages written by numpy against Python message objects, and OctoMaps against insertion of single voxels.

`ms` is the CPU time of one core, the median of several runs; a dash means that the packages of the alternative are not
installed.
"""

from __future__ import annotations

import array
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.scenes import street
from occdepth_ros.outputs import octomap
from occdepth_ros.outputs.boxes import surface_boxes
from occdepth_ros.outputs.image import encode_depth
from occdepth_ros.outputs.markers import encode_markers
from occdepth_ros.outputs.occupancy_grid import encode_occupancy_grid, traversability
from occdepth_ros.outputs.points import FIELDS, POINT_STEP, encode_points, point_rows
from occdepth_ros.outputs.selection import ALL, Selection
from occdepth_ros.outputs.semantic_grid import encode_semantic_grid
from occdepth_ros.outputs.voxel_grid import colored_cells, encode_nav2_voxel_grid
from occdepth_ros.prediction import OccupancyPrediction

FRAME = "lidar"
OBSERVED = Selection("all", completed_free=False)
RUNS = 15
GOAL = ("octomap_binary", "octomap_full", "markers", "points", "grid")
"""Messages of the published goal of 10 ms in total."""


def foxglove_encoder() -> dict[str, Callable[[OccupancyPrediction], bytes]]:
    """Return the encoder of `~/foxglove_voxels`, if ROS and foxglove_msgs are installed."""
    try:
        from foxglove_msgs.msg import PackedElementField, VoxelGrid

        from occdepth_ros.nodes.foxglove import encode_foxglove_voxels
    except ImportError:
        return {}
    return {
        "foxglove_voxels": lambda p: encode_foxglove_voxels(
            VoxelGrid, PackedElementField, colored_cells(p, ALL), p.stamp_ns, FRAME
        )
    }


ENCODERS: dict[str, Callable[[OccupancyPrediction], bytes]] = {
    "octomap_binary": lambda p: octomap.encode_octomap_binary(p, FRAME, OBSERVED),
    "octomap_full": lambda p: octomap.encode_octomap_full(p, FRAME, OBSERVED),
    "markers": lambda p: encode_markers(p, FRAME, ALL),
    "markers_triangles": lambda p: encode_markers(p, FRAME, ALL, style="triangles"),
    "points": lambda p: encode_points(p, FRAME, ALL),
    "grid": lambda p: encode_semantic_grid(p, FRAME),
    "occupancy_grid": lambda p: encode_occupancy_grid(p, FRAME, ALL),
    "depth": lambda p: encode_depth(p, FRAME),
    "voxel_grid": lambda p: encode_nav2_voxel_grid(p, FRAME, OBSERVED),
    **foxglove_encoder(),
}


def run() -> list[dict[str, Any]]:
    """Measure every encoder on a synthetic prediction of the benchmark's size."""
    prediction = street()
    others = object_builders()
    rows: list[dict[str, Any]] = []
    for name, encode in ENCODERS.items():
        row: dict[str, Any] = {"name": name, "ms": cpu_ms(lambda: encode(prediction), RUNS)}  # noqa: B023
        row["bytes"] = len(encode(prediction))
        if name in others:
            how, build = others[name]
            row["other_ms"] = cpu_ms(lambda: build(prediction), 1)  # noqa: B023
            row["ratio"] = row["other_ms"] / row["ms"]
            row["other"] = how
        rows.append(row)
    total = sum(row["ms"] for row in rows if row["name"] in GOAL)
    occupied = int(prediction.occupied.sum())
    size = sum(row["bytes"] for row in rows if row["name"] in GOAL)
    rows.append({"name": f"{', '.join(GOAL)} together, {occupied} occupied voxels", "ms": total, "bytes": size})
    return rows


def cpu_ms(call: Callable[[], object], runs: int) -> float:
    """Return the CPU time of a call, ms, the median of `runs` after a warm-up call (no warm-up for a single run)."""
    if runs > 1:
        call()
    times = []
    for _ in range(runs):
        start = time.thread_time()
        call()
        times.append(1e3 * (time.thread_time() - start))
    return statistics.median(times)


def object_builders() -> dict[str, tuple[str, Callable[[OccupancyPrediction], object]]]:
    """Return the usual alternatives for the same messages by name, if their packages are installed."""
    found: dict[str, tuple[str, Callable[[OccupancyPrediction], object]]] = {}
    try:
        from rclpy.serialization import serialize_message

        found["markers"] = "Point and ColorRGBA objects", lambda p: serialize_message(marker_objects(p))
        found["points"] = "PointCloud2 object", lambda p: serialize_message(cloud_object(p))
        found["occupancy_grid"] = "OccupancyGrid object", lambda p: serialize_message(map_object(p))
        found["depth"] = "Image object", lambda p: serialize_message(image_object(p))
    except ImportError:
        pass
    try:
        import pyoctomap  # noqa: F401

        found["octomap_binary"] = "pyoctomap, inserted cell by cell", lambda p: inserted(p).writeBinary()
    except ImportError:
        pass
    return found


def marker_objects(prediction: OccupancyPrediction) -> Any:
    """Build the marker array of `encode_markers` with one object per point and colour."""
    from geometry_msgs.msg import Point
    from std_msgs.msg import ColorRGBA
    from visualization_msgs.msg import Marker, MarkerArray

    boxes, groups = surface_boxes(prediction, ALL, 50_000)[0].sorted_by_size()
    centers, colors = boxes.centers(prediction.grid), prediction.classes.colors[boxes.keys & 255] / 255
    message = MarkerArray()
    for group in groups:
        marker = Marker(type=Marker.CUBE_LIST)
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in centers[group].tolist()]
        marker.colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in colors[group].tolist()]
        message.markers.append(marker)
    return message


def cloud_object(prediction: OccupancyPrediction) -> Any:
    """Build the cloud of `encode_points` with its data as `array.array`, the fastest type that rclpy accepts."""
    from sensor_msgs.msg import PointCloud2, PointField

    rows = point_rows(prediction, ALL)
    fields = [PointField(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in FIELDS]
    data = array.array("B", rows.tobytes())
    return PointCloud2(height=1, width=len(rows), fields=fields, point_step=POINT_STEP, row_step=rows.nbytes, data=data)


def map_object(prediction: OccupancyPrediction) -> Any:
    """Build the map of `encode_occupancy_grid` as an object."""
    from nav_msgs.msg import OccupancyGrid

    costs = traversability(prediction, ALL)
    return OccupancyGrid(data=array.array("b", np.ascontiguousarray(costs.T).tobytes()))


def image_object(prediction: OccupancyPrediction) -> Any:
    """Build the depth image of `encode_depth` as an object."""
    from sensor_msgs.msg import Image

    height, width = prediction.depth.shape
    return Image(
        height=height,
        width=width,
        encoding="32FC1",
        step=4 * width,
        data=array.array("B", prediction.depth.tobytes()),
    )


def inserted(prediction: OccupancyPrediction) -> Any:
    """Build the tree of `encode_octomap_binary` by inserting each observed cell into the C++ library's tree."""
    import pyoctomap

    tree = pyoctomap.OcTree(prediction.grid.resolution)
    for state, voxels in ((True, prediction.occupied), (False, prediction.free)):
        for center in prediction.grid.centers_of(np.argwhere(voxels)):
            tree.updateNode(center, state, True)
    tree.updateInnerOccupancy()
    return tree


if __name__ == "__main__":
    for line in run():
        print(line)
