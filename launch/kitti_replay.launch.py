"""Replay a recorded stereo sequence into the node stereo_occ and look at it in RViz.

ros2 launch occdepth_ros kitti_replay.launch.py source:=/data/kitti/dataset/sequences/00
"""

from __future__ import annotations

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from occdepth_ros.nodes.launch_names import camera_topics
from occdepth_ros.nodes.middleware import large_message_environment

PACKAGE = "occdepth_ros"

REPLAY = {
    "source": (str, "sample", "KITTI sequence, KITTI raw drive, folder or bag; sample is the one in the package."),
    "rate": (float, "1.0", "Speed: 1 is as recorded, 2 twice as fast, 0 as fast as images can be read."),
    "loop": (bool, "false", "true repeats the sequence until it is interrupted."),
    "start": (int, "0", "First frame."),
    "count": (int, "0", "Number of pairs, repeating the sequence where it is shorter; 0 publishes each pair once."),
}

NODE = {
    "model": ("", "Which model predicts (occdepth run --help lists them). Empty: as the parameter file says."),
    "weights": ("", "Checkpoint file of the model. Empty: as the parameter file says."),
    "device": ("", "Where the model runs: auto, cpu, cuda or cuda:N. Empty: as the parameter file says."),
    "namespace": ("", "Namespace of the replay, the node, and their topics."),
    "left_namespace": ("left", "Namespace of the left camera's image_rect and camera_info."),
    "right_namespace": ("right", "Namespace of the right camera's image_rect and camera_info."),
    "log_level": ("info", "Lowest severity that is logged: debug, info, warn, error."),
    "rviz": ("true", "false does not start RViz."),
}


def make_replay(context: LaunchContext) -> list[Any]:
    """Create the replay in the namespaces that the node subscribes to."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    return [
        Node(
            package=PACKAGE,
            executable="replay",
            name="replay",
            namespace=given("namespace"),
            remappings=camera_topics(given("left_namespace"), given("right_namespace")),
            parameters=[
                {
                    name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                    for name, (kind, _, _) in REPLAY.items()
                }
            ],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    share = FindPackageShare(PACKAGE)
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (_, default, text) in REPLAY.items()
    ]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in NODE.items()
    ]
    declared.append(
        DeclareLaunchArgument(
            "params_file",
            default_value=PathJoinSubstitution([share, "config", "stereo_occ.yaml"]),
            description="Parameter file of the node.",
        )
    )
    passed = {name: LaunchConfiguration(name) for name in (*NODE, "params_file")}
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "stereo_occ.launch.py"])),
        # the replay publishes /clock, so that latency is counted in recorded time at any rate
        launch_arguments={**passed, "use_sim_time": "true"}.items(),
    )
    # images are larger than what Fast DDS passes between processes by itself
    middleware = [SetEnvironmentVariable(name, value) for name, value in large_message_environment().items()]
    return LaunchDescription([*middleware, *declared, node, OpaqueFunction(function=make_replay)])
