"""Start the node stereo_occ on a stereo camera, with RViz on request.

ros2 launch occdepth_ros stereo_occ.launch.py left_namespace:=/stereo/left right_namespace:=/stereo/right rviz:=true
"""

from __future__ import annotations

from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from occdepth_ros.nodes.launch_names import camera_topics, logger_name, resolved_namespace
from occdepth_ros.nodes.middleware import large_message_environment

PACKAGE = "occdepth_ros"
OUTPUTS = (
    *("octomap_binary", "octomap_full", "markers", "points", "grid", "occupancy_grid", "depth", "depth_color"),
    *("voxel_grid", "foxglove_voxels"),
    *("camera_info", "legend", "map/octomap_binary", "map/octomap_full", "map/markers", "map/points"),
    *("map/occupancy_grid", "map/path"),
)

# launch argument -> type of the node's parameter of the same name; an empty argument leaves the file's value
OVERRIDES: dict[str, type] = {
    "model": str,
    "weights": str,
    "device": str,
    "grid_frame": str,
    "extrinsics": str,
    "approximate_sync": bool,
    "slop": float,
    "rectify": bool,
    "autostart": bool,
    "markers_style": str,
}

ARGUMENTS = {
    "model": ("", "Which model predicts (occdepth run --help lists them). Empty: as the parameter file says."),
    "weights": ("", "Checkpoint file of the model. Empty: as the parameter file says."),
    "device": ("", "Where the model runs: auto, cpu, cuda or cuda:N. Empty: as the parameter file says."),
    "grid_frame": ("", "Frame that the voxel grid is fixed in. Empty: as the parameter file says."),
    "extrinsics": ("", "Where the grid's pose comes from: auto, tf or parameters. Empty: as the parameter file says."),
    "approximate_sync": (
        "",
        "true pairs images whose stamps differ by up to slop. Empty: as the parameter file says.",
    ),
    "slop": ("", "Largest difference of stamps with approximate_sync, s. Empty: as the parameter file says."),
    "rectify": ("", "true for raw images: they are rectified by CameraInfo. Empty: as the parameter file says."),
    "autostart": (
        "",
        "false leaves configuring and activating to a lifecycle manager. Empty: as the parameter file says.",
    ),
    "markers_style": (
        "",
        "boxes or triangles in ~/markers. Empty: triangles with rviz:=true, otherwise as the parameter file says.",
    ),
    "namespace": ("", "Namespace of the node and its topics."),
    "left_namespace": ("left", "Namespace of the left camera's image and camera_info."),
    "right_namespace": ("right", "Namespace of the right camera's image and camera_info."),
    "image": ("image_rect", "Name of the image topics in these namespaces, such as image_raw with rectify:=true."),
    "use_sim_time": ("false", "true takes time from /clock (a simulator, or a bag played with --clock)."),
    "log_level": ("info", "Lowest severity that is logged: debug, info, warn, error."),
    "rviz": ("false", "true starts RViz as well."),
}


def viewer_remappings(namespace: str, inputs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Remappings of the absolute topics in the view to those of a node in `namespace`."""
    node = resolved_namespace(namespace, "stereo_occ")
    pairs = [(f"/{topic}", resolved_namespace(namespace, target)) for topic, target in inputs]
    pairs += [(f"/stereo_occ/{topic}", f"{node}/{topic}") for topic in OUTPUTS]
    return [(topic, target) for topic, target in pairs if topic != target]


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def make_nodes(context: LaunchContext) -> list[Any]:
    """Create the node, and RViz on request, from the launch arguments."""

    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in OVERRIDES.items()
        if given(name) != ""
    }
    is_viewed = IfCondition(given("rviz")).evaluate(context)
    has_viewer = is_viewed and _is_installed("rviz2")
    if has_viewer and given("markers_style") == "":
        overrides["markers_style"] = ParameterValue("triangles", value_type=str)
    use_sim_time = {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}
    inputs = camera_topics(given("left_namespace"), given("right_namespace"), given("image"))
    # PushRosNamespace of an including launch file
    pushed = context.launch_configurations.get("ros_namespace", "")
    namespace = resolved_namespace(pushed, given("namespace"))
    logger = logger_name(namespace, "stereo_occ")
    node = Node(
        package=PACKAGE,
        executable="stereo_occ",
        name="stereo_occ",
        namespace=given("namespace"),
        parameters=[given("params_file"), overrides, use_sim_time],
        remappings=inputs,
        # only the node's own logger: the libraries below it log very much at debug
        arguments=["--ros-args", "--log-level", f"{logger}:={given('log_level')}"],
        output="screen",
    )
    if not is_viewed:
        return [node]
    if not has_viewer:
        return [node, LogInfo(msg="rviz2 is not installed: nothing is displayed. rviz:=false disables this message")]
    viewer = Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        arguments=["-d", given("rviz_config")],
        parameters=[use_sim_time],
        # the view holds absolute topic names
        remappings=viewer_remappings(namespace, inputs),
        output="screen",
    )
    return [node, viewer]


def generate_launch_description() -> LaunchDescription:
    share = FindPackageShare(PACKAGE)
    files = {
        "params_file": ("stereo_occ.yaml", "Parameter file of the node."),
        "rviz_config": ("occdepth.rviz", "View that RViz opens."),
    }
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    declared += [
        DeclareLaunchArgument(name, default_value=PathJoinSubstitution([share, "config", file]), description=text)
        for name, (file, text) in files.items()
    ]
    # images are larger than what Fast DDS passes between processes by itself
    middleware = [SetEnvironmentVariable(name, value) for name, value in large_message_environment().items()]
    return LaunchDescription([*middleware, *declared, OpaqueFunction(function=make_nodes)])
