"""Replay a recorded stereo sequence and plan on its map with nav2, or with the example planner where nav2 is missing.

ros2 launch occdepth_ros nav2_demo.launch.py source:=/data/kitti/dataset/sequences/00
"""

from __future__ import annotations

from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from occdepth_ros.nodes.launch_names import (
    NAV2_LIFECYCLE_MANAGER,
    NAV2_NODES,
    NAV2_WITHOUT_NAMESPACE,
    resolved_namespace,
)

PACKAGE = "occdepth_ros"
MISSING = (
    "nav2 is not installed ({}): the example planner of this package plans instead, its path is on "
    "stereo_occ/map/path. Install nav2 with: sudo apt install ros-$ROS_DISTRO-navigation2"
)

ARGUMENTS = {
    "source": ("sample", "KITTI sequence, KITTI raw drive, folder or bag; sample is the one in the package."),
    "rate": ("1.0", "Speed: 1 is as recorded, 2 twice as fast."),
    "loop": ("false", "true repeats the sequence until it is interrupted."),
    "model": ("", "Which model predicts. Empty: as the parameter file says."),
    "namespace": ("", "Namespace of the replay, the node and the example planner; nav2 works without one only."),
    "rviz": ("true", "false does not start RViz."),
    "robot_frame": ("velodyne", "Frame of the robot; TF must connect it to the map."),
    "ground_z": (
        "-1.73",
        "z of the ground in the map, m; the map of a KITTI drive starts at the LiDAR.",
    ),
    "robot_radius": ("0.9", "Minimum distance of the example planner's path to obstacles, m."),
}


def missing_package() -> str:
    """Return why nav2 cannot be used: the error about a package that is not installed; empty if all are."""
    try:
        for package in (*NAV2_NODES.values(), NAV2_LIFECYCLE_MANAGER):
            get_package_prefix(package)
    except PackageNotFoundError as error:
        return str(error)
    return ""


def check_namespace(context: LaunchContext) -> None:
    """Refuse a namespace for nav2, before any process: one that starts while an error ends the launch stays.

    Raises:
        RuntimeError: nav2 is installed and a namespace is given.
    """
    # PushRosNamespace of an including launch file
    pushed = context.launch_configurations.get("ros_namespace", "")
    namespace = resolved_namespace(pushed, LaunchConfiguration("namespace").perform(context))
    if namespace != "/" and not missing_package():
        raise RuntimeError(f"namespace {namespace}: {NAV2_WITHOUT_NAMESPACE}")


def make_planner(context: LaunchContext) -> list[Any]:
    """Create the nodes of nav2, or the example planner if one of their packages is missing."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    clock = {"use_sim_time": True}
    if missing := missing_package():
        values = {"robot_frame": given("robot_frame"), "robot_radius": float(given("robot_radius"))}
        planner = Node(
            package=PACKAGE,
            executable="planner",
            name="planner",
            namespace=given("namespace"),
            parameters=[values, clock],
            remappings=[("occupancy_grid", "stereo_occ/map/occupancy_grid"), ("path", "stereo_occ/map/path")],
            output="screen",
        )
        return [LogInfo(msg=MISSING.format(missing)), planner]
    robot = given("robot_frame")
    navigation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([FindPackageShare(PACKAGE), "launch", "nav2.launch.py"])),
        launch_arguments={
            "nav2_params_file": given("nav2_params_file"),
            "ground_z": given("ground_z"),
            "use_sim_time": "true",
        }.items(),
    )
    # the parameter file names base_link; the frame of a recording may have another name
    link = ["--frame-id", robot, "--child-frame-id", "base_link"]
    base = Node(package="tf2_ros", executable="static_transform_publisher", arguments=link, output="screen")
    return [navigation, *([] if robot == "base_link" else [base])]


def generate_launch_description() -> LaunchDescription:
    share = FindPackageShare(PACKAGE)
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    declared.append(
        DeclareLaunchArgument(
            "nav2_params_file",
            default_value=PathJoinSubstitution([share, "config", "nav2_params.yaml"]),
            description="Parameter file of nav2.",
        )
    )
    passed = {name: LaunchConfiguration(name) for name in ("source", "rate", "loop", "model", "namespace", "rviz")}
    replay = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "kitti_replay.launch.py"])),
        launch_arguments=passed.items(),
    )
    return LaunchDescription(
        [*declared, OpaqueFunction(function=check_namespace), replay, OpaqueFunction(function=make_planner)]
    )
