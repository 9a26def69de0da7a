"""Start planner, controller, behaviours and navigator of nav2 on the outputs of the node stereo_occ.

ros2 launch occdepth_ros nav2.launch.py nav2_params_file:=my_nav2_params.yaml
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnShutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from occdepth_ros.nodes.costmap_heights import with_ground_at
from occdepth_ros.nodes.launch_names import NAV2_LIFECYCLE_MANAGER, NAV2_NODES, NAV2_WITHOUT_NAMESPACE

ARGUMENTS = {
    "use_sim_time": ("false", "true takes the time from /clock."),
    "ground_z": ("0.0", "z of the ground in the frame of the costmaps, m; moves the heights of their layers."),
}


def make_nodes(context: LaunchContext) -> list[Any]:
    """Create the removal of the nodes' parameter file, the nodes, and their lifecycle manager."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    pushed = context.launch_configurations.get("ros_namespace", "")
    if pushed not in ("", "/"):
        raise RuntimeError(f"PushRosNamespace {pushed}: {NAV2_WITHOUT_NAMESPACE}")
    clock = {"use_sim_time": given("use_sim_time") == "true"}
    content = yaml.safe_load(Path(given("nav2_params_file")).read_text(encoding="utf-8"))
    # a file, because parameters of the file's section of a node take precedence over those of a launch file
    with tempfile.NamedTemporaryFile("w", prefix="nav2_params_", suffix=".yaml", delete=False) as file:
        yaml.safe_dump(with_ground_at(content, float(given("ground_z"))), file)
    nodes = [
        Node(package=package, executable=name, name=name, parameters=[file.name, clock], output="screen")
        for name, package in NAV2_NODES.items()
    ]
    manager = Node(
        package=NAV2_LIFECYCLE_MANAGER,
        executable="lifecycle_manager",
        name="lifecycle_manager_navigation",
        parameters=[{"autostart": True, "node_names": list(NAV2_NODES)}, clock],
        output="screen",
    )
    removal = OnShutdown(on_shutdown=lambda event, context: Path(file.name).unlink(missing_ok=True))
    # first, because a missing package ends the launch at its node
    return [RegisterEventHandler(removal), *nodes, manager]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    file = PathJoinSubstitution([FindPackageShare("occdepth_ros"), "config", "nav2_params.yaml"])
    declared.append(
        DeclareLaunchArgument("nav2_params_file", default_value=file, description="Parameter file of nav2.")
    )
    return LaunchDescription([*declared, OpaqueFunction(function=make_nodes)])
