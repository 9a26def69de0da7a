"""Replay a recorded stereo sequence into the node stereo_occ and look at it in RViz.

ros2 launch occdepth_ros kitti_replay.launch.py source:=/data/kitti/dataset/sequences/00
"""

from __future__ import annotations

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from occdepth_ros.nodes.launch_names import camera_topics, logger_name, resolved_namespace
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
END = {
    "on_exit_shutdown": (
        "false",
        "true ends the node and RViz when the replay has ended; false keeps them, with the last outputs.",
    ),
}


def make_replay(context: LaunchContext) -> list[Any]:
    """Create the replay in the namespaces that the node subscribes to."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    pushed = context.launch_configurations.get("ros_namespace", "")
    logger = logger_name(resolved_namespace(pushed, given("namespace")), "replay")
    return [
        Node(
            package=PACKAGE,
            executable="replay",
            name="replay",
            namespace=given("namespace"),
            arguments=["--ros-args", "--log-level", f"{logger}:={given('log_level')}"],
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


def end(event: ProcessExited, context: LaunchContext) -> list[Any] | None:
    """End the launch after the replay on request, and always if the replay or the node failed.

    Raises:
        RuntimeError: one of them failed; launch prints the error and returns exit code 1.
    """
    executable = getattr(event.action, "node_executable", "")
    if context.is_shutdown or executable not in ("replay", "stereo_occ"):
        return None
    if event.returncode:
        raise RuntimeError(f"{executable} ended with exit code {event.returncode}; its last messages above state why")
    if executable == "stereo_occ":
        return None
    if IfCondition(LaunchConfiguration("on_exit_shutdown")).evaluate(context):
        return [EmitEvent(event=Shutdown(reason="the replay has ended"))]
    return [LogInfo(msg="the replay has ended; Ctrl-C ends the rest, on_exit_shutdown:=true does so by itself")]


def generate_launch_description() -> LaunchDescription:
    share = FindPackageShare(PACKAGE)
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (_, default, text) in REPLAY.items()
    ]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in (NODE | END).items()
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
    ends = RegisterEventHandler(OnProcessExit(on_exit=end))
    return LaunchDescription([*middleware, *declared, ends, node, OpaqueFunction(function=make_replay)])
