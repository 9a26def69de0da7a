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

PACKAGE = "occdepth_ros"
# node of nav2 -> package and executable
NAV2 = {
    "planner_server": "nav2_planner",
    "controller_server": "nav2_controller",
    "behavior_server": "nav2_behaviors",
    "bt_navigator": "nav2_bt_navigator",
}
MISSING = (
    "nav2 is not installed ({}): the example planner of this package plans instead, its path is on "
    "/stereo_occ/map/path. Install nav2 with: sudo apt install ros-$ROS_DISTRO-navigation2"
)

ARGUMENTS = {
    "source": ("sample", "KITTI sequence, KITTI raw drive, folder or bag; sample is the one in the package."),
    "rate": ("1.0", "Speed: 1 is as recorded, 2 twice as fast."),
    "loop": ("false", "true repeats the sequence until it is interrupted."),
    "model": ("", "Which model predicts. Empty: as the parameter file says."),
    "rviz": ("true", "false does not start RViz."),
    "robot_frame": ("velodyne", "Frame of the robot; TF must connect it to the map."),
    "robot_radius": ("0.9", "Minimum distance of the example planner's path to obstacles, m."),
}


def make_planner(context: LaunchContext) -> list[Any]:
    """Create the nodes of nav2, or the example planner if one of their packages is missing."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    clock = {"use_sim_time": True}
    try:
        for package in (*NAV2.values(), "nav2_lifecycle_manager"):
            get_package_prefix(package)
    except PackageNotFoundError as error:
        values = {"robot_frame": given("robot_frame"), "robot_radius": float(given("robot_radius"))}
        planner = Node(
            package=PACKAGE,
            executable="planner",
            name="planner",
            parameters=[values, clock],
            remappings=[("occupancy_grid", "/stereo_occ/map/occupancy_grid"), ("path", "/stereo_occ/map/path")],
            output="screen",
        )
        return [LogInfo(msg=MISSING.format(error)), planner]
    robot = given("robot_frame")
    nodes = [
        Node(
            package=package, executable=name, name=name, parameters=[given("nav2_params_file"), clock], output="screen"
        )
        for name, package in NAV2.items()
    ]
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_navigation",
        parameters=[{"autostart": True, "node_names": list(NAV2)}, clock],
        output="screen",
    )
    # the parameter file names base_link; the frame of a recording may have another name
    link = ["--frame-id", robot, "--child-frame-id", "base_link"]
    base = Node(package="tf2_ros", executable="static_transform_publisher", arguments=link, output="screen")
    return [*nodes, manager, *([] if robot == "base_link" else [base])]


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
    passed = {name: LaunchConfiguration(name) for name in ("source", "rate", "loop", "model", "rviz")}
    replay = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "kitti_replay.launch.py"])),
        launch_arguments=passed.items(),
    )
    return LaunchDescription([*declared, replay, OpaqueFunction(function=make_planner)])
