"""The interface packages have the type hashes and members of the upstream packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")

from ament_index_python.packages import get_package_share_directory
from foxglove_msgs.msg import PackedElementField
from foxglove_msgs.msg import VoxelGrid as FoxgloveVoxelGrid
from map_msgs.msg import OccupancyGridUpdate
from moveit_msgs.msg import CollisionObject, PlanningSceneWorld
from nav2_msgs.msg import VoxelGrid
from octomap_msgs.msg import Octomap, OctomapWithPose
from octomap_msgs.srv import BoundingBoxQuery, GetOctomap
from px4_msgs.msg import ObstacleDistance
from rclpy.serialization import deserialize_message, serialize_message
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error, TFMessage
from tf2_msgs.srv import FrameGraph
from vision_msgs.msg import LabelInfo, VisionClass

# Type hashes of ROS 2 installations. Endpoints with different hashes do not communicate.
HASHES = {
    "tf2_msgs/msg/TFMessage": "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "tf2_msgs/msg/TF2Error": "RIHS01_db2485e7d6a0ec75bf087e058ee45df682acc3a621ca7780503d10aac141809a",
}


@pytest.mark.parametrize("name", HASHES)
def test_type_hashes_equal_those_of_upstream(name: str) -> None:
    package, _, path = name.partition("/")
    description = json.loads((Path(get_package_share_directory(package)) / f"{path}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes[name] == HASHES[name]


@pytest.mark.parametrize(
    ("message", "members"),
    [
        (
            Octomap,
            {"header": "std_msgs/Header", "binary": "boolean", "id": "string", "resolution": "double",
             "data": "sequence<int8>"},
        ),
        (
            OctomapWithPose,
            {"header": "std_msgs/Header", "origin": "geometry_msgs/Pose", "octomap": "octomap_msgs/Octomap"},
        ),
        (
            OccupancyGridUpdate,
            {"header": "std_msgs/Header", "x": "int32", "y": "int32", "width": "uint32", "height": "uint32",
             "data": "sequence<int8>"},
        ),
        (VisionClass, {"class_id": "uint16", "class_name": "string"}),
        (
            LabelInfo,
            {"header": "std_msgs/Header", "class_map": "sequence<vision_msgs/VisionClass>", "threshold": "float"},
        ),
        (
            PlanningSceneWorld,
            {"collision_objects": "sequence<moveit_msgs/CollisionObject>",
             "octomap": "octomap_msgs/OctomapWithPose"},
        ),
        (
            CollisionObject,
            {"header": "std_msgs/Header", "pose": "geometry_msgs/Pose", "id": "string",
             "type": "object_recognition_msgs/ObjectType", "primitives": "sequence<shape_msgs/SolidPrimitive>",
             "primitive_poses": "sequence<geometry_msgs/Pose>", "meshes": "sequence<shape_msgs/Mesh>",
             "mesh_poses": "sequence<geometry_msgs/Pose>", "planes": "sequence<shape_msgs/Plane>",
             "plane_poses": "sequence<geometry_msgs/Pose>", "subframe_names": "sequence<string>",
             "subframe_poses": "sequence<geometry_msgs/Pose>", "operation": "octet"},
        ),
        (
            ObstacleDistance,
            {"timestamp": "uint64", "frame": "uint8", "sensor_type": "uint8", "distances": "uint16[72]",
             "increment": "float", "min_distance": "uint16", "max_distance": "uint16", "angle_offset": "float"},
        ),
        (
            VoxelGrid,
            {"header": "std_msgs/Header", "data": "sequence<uint32>", "origin": "geometry_msgs/Point32",
             "resolutions": "geometry_msgs/Vector3", "size_x": "uint32", "size_y": "uint32", "size_z": "uint32"},
        ),
        (PackedElementField, {"name": "string", "offset": "uint32", "type": "uint8"}),
        (
            FoxgloveVoxelGrid,
            {"timestamp": "builtin_interfaces/Time", "frame_id": "string", "pose": "geometry_msgs/Pose",
             "row_count": "uint32", "column_count": "uint32", "cell_size": "geometry_msgs/Vector3",
             "slice_stride": "uint32", "row_stride": "uint32", "cell_stride": "uint32",
             "fields": "sequence<foxglove_msgs/PackedElementField>", "data": "sequence<uint8>"},
        ),
        (GetOctomap.Request, {}),
        (GetOctomap.Response, {"map": "octomap_msgs/Octomap"}),
        (BoundingBoxQuery.Request, {"min": "geometry_msgs/Point", "max": "geometry_msgs/Point"}),
        (BoundingBoxQuery.Response, {}),
        (FrameGraph.Request, {}),
        (FrameGraph.Response, {"frame_yaml": "string"}),
        (
            LookupTransform.Goal,
            {"target_frame": "string", "source_frame": "string", "source_time": "builtin_interfaces/Time",
             "timeout": "builtin_interfaces/Duration", "target_time": "builtin_interfaces/Time",
             "fixed_frame": "string", "advanced": "boolean"},
        ),
        (LookupTransform.Result, {"transform": "geometry_msgs/TransformStamped", "error": "tf2_msgs/TF2Error"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)  # fmt: skip
def test_members_have_the_order_of_upstream(message: type, members: dict[str, str]) -> None:
    assert list(message.get_fields_and_field_types().items()) == list(members.items())  # type: ignore[attr-defined]


def test_error_codes() -> None:
    names = ("NO", "LOOKUP", "CONNECTIVITY", "EXTRAPOLATION", "INVALID_ARGUMENT", "TIMEOUT", "TRANSFORM")
    assert [getattr(TF2Error, f"{name}_ERROR") for name in names] == list(range(7))


def test_messages_round_trip_through_serialisation() -> None:
    tree = Octomap(binary=True, id="OcTree", resolution=0.2, data=[-128, 0, 127])
    tree.header.frame_id = "map"
    assert deserialize_message(serialize_message(tree), Octomap) == tree
    assert deserialize_message(serialize_message(TFMessage()), TFMessage) == TFMessage()
