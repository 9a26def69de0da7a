"""Every parameter of the configurations for planners exists in its consumer, with that type.

ROS 2 refuses an integer for a float, and ignores a name that no node declares.

The tables hold what the sources declare that are named in docs/planners.md: nav2 a3a9704, spatio_temporal_voxel_layer
403d9ed, semantic_segmentation_layer a70cf6e, moveit2 8fcb5d2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[2] / "config"


def names(**by_type: str) -> dict[str, type]:
    """Parameters by name, from the names of each type."""
    types = {"text": str, "flag": bool, "number": float, "count": int, "texts": list}
    return {name: types[kind] for kind, text in by_type.items() for name in text.split()}


COSTMAP = names(
    text="global_frame robot_base_frame footprint",
    flag="rolling_window track_unknown_space trinary_costmap use_maximum always_send_full_costmap",
    number="robot_radius update_frequency publish_frequency resolution origin_x origin_y transform_tolerance",
    count="width height lethal_cost_threshold inscribed_obstacle_cost_value",
    texts="plugins filters",
)
STATIC = names(
    text="plugin map_topic",
    flag="enabled subscribe_to_updates map_subscribe_transient_local footprint_clearing_enabled "
    "restore_cleared_footprint",
)
INFLATION = names(
    text="plugin",
    flag="enabled inflate_unknown inflate_around_unknown",
    number="inflation_radius cost_scaling_factor custom_inscribed_radius",
    count="num_threads",
)
VOXEL = names(
    text="plugin observation_sources",
    flag="enabled footprint_clearing_enabled publish_voxel_map",
    number="min_obstacle_height max_obstacle_height origin_z z_resolution tf_filter_tolerance",
    count="z_voxels unknown_threshold mark_threshold combination_method",
)
OBSERVATION = names(
    text="topic sensor_frame data_type transport_type",
    flag="inf_is_valid marking clearing",
    number="observation_persistence expected_update_rate min_obstacle_height max_obstacle_height obstacle_max_range "
    "obstacle_min_range raytrace_max_range raytrace_min_range",
)
STVL = names(
    text="plugin observation_sources",
    flag="enabled publish_voxel_map update_footprint_enabled track_unknown_space mapping_mode",
    number="transform_tolerance voxel_size voxel_decay map_save_duration",
    count="combination_method mark_threshold decay_model",
)
STVL_SOURCE = names(
    text="topic sensor_frame data_type filter",
    flag="inf_is_valid marking clearing clear_after_reading enabled",
    number="observation_persistence expected_update_rate min_obstacle_height max_obstacle_height obstacle_range min_z "
    "max_z vertical_fov_angle vertical_fov_padding horizontal_fov_angle decay_acceleration",
    count="voxel_min_points model_type",
)
SEMANTIC = names(
    text="plugin observation_sources",
    flag="enabled publish_debug_topics use_approximate_time_sync",
    count="combination_method",
)
SEMANTIC_SOURCE = names(
    text="segmentation_topic confidence_topic labels_topic pointcloud_topic",
    flag="visualize_tile_map use_cost_selection",
    number="observation_persistence expected_update_rate max_obstacle_distance min_obstacle_distance "
    "tile_map_decay_time",
    texts="class_types",
)
SEMANTIC_CLASSES = names(
    flag="dominant_priority", count="base_cost max_cost mark_confidence samples_to_max_cost", texts="classes"
)
COLLISION_MONITOR = names(
    text="base_frame_id odom_frame_id cmd_vel_in_topic cmd_vel_out_topic state_topic",
    flag="enabled base_shift_correction use_realtime_priority",
    number="transform_tolerance source_timeout stop_pub_timeout",
    texts="polygons observation_sources",
)
POLYGON = names(
    text="type points action_type polygon_pub_topic polygon_sub_topic footprint_topic",
    flag="enabled visualize polygon_subscribe_transient_local",
    number="slowdown_ratio linear_limit angular_limit time_before_collision simulation_time_step",
    count="min_points trigger_consecutive_points release_consecutive_points",
    texts="sources_names",
)
MONITOR_CLOUD = names(
    text="type topic transport_type",
    flag="enabled use_global_height",
    number="min_height max_height min_range source_timeout",
)
MOVEIT = names(text="octomap_frame", number="octomap_resolution", texts="sensors")
MOVEIT_CLOUD = names(
    text="sensor_plugin point_cloud_topic filtered_cloud_topic ns",
    number="max_range padding_offset padding_scale max_update_rate",
    count="point_subsample",
)
PLANNER = names(number="expected_planner_frequency", texts="planner_plugins")
NAVFN = names(
    text="plugin",
    flag="use_astar allow_unknown use_final_approach_orientation",
    number="tolerance",
    count="max_cycles_factor",
)
CONTROLLER = names(
    number="controller_frequency", texts="controller_plugins progress_checker_plugins goal_checker_plugins"
)
PROGRESS = names(text="plugin", number="required_movement_radius movement_time_allowance")
GOAL = names(text="plugin", flag="stateful", number="xy_goal_tolerance yaw_goal_tolerance")
PURE_PURSUIT = names(text="plugin", number="desired_linear_vel")
FRAMES = names(text="global_frame robot_base_frame")

TABLES = {
    r".*static_layer": STATIC,
    r".*inflation_layer": INFLATION,
    r".*voxel_layer": VOXEL,
    r".*voxel_layer\.(mark|clear)": OBSERVATION,
    r".*stvl_layer": STVL,
    r".*stvl_layer\.(mark|clear)": STVL_SOURCE,
    r".*semantic_layer": SEMANTIC,
    r".*semantic_layer\.occupancy": SEMANTIC_SOURCE,
    r".*semantic_layer\.occupancy\.\w+": SEMANTIC_CLASSES,
    r"(\w+_costmap\.){2}ros__parameters": COSTMAP,
    r"collision_monitor\.ros__parameters": COLLISION_MONITOR,
    r"collision_monitor\.ros__parameters\.(stop|slow)": POLYGON,
    r"collision_monitor\.ros__parameters\.points": MONITOR_CLOUD,
    r"planner_server\.ros__parameters": PLANNER,
    r".*GridBased": NAVFN,
    r"controller_server\.ros__parameters": CONTROLLER,
    r".*progress_checker": PROGRESS,
    r".*goal_checker": GOAL,
    r".*FollowPath": PURE_PURSUIT,
    r"(behavior_server|bt_navigator)\.ros__parameters": FRAMES,
    r"": MOVEIT,
    r"stereo_occ": MOVEIT_CLOUD,
}


def leaves(content: dict[str, Any], section: str = "") -> Iterator[tuple[str, str, Any]]:
    """Section, name and value of every parameter."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{section}.{name}".lstrip("."))
        else:
            yield section, name, value


@pytest.mark.parametrize(
    "file",
    [
        "nav2_params.yaml",
        "nav2_stvl.yaml",
        "nav2_collision_monitor.yaml",
        "nav2_semantic_layer.yaml",
        "moveit_sensors_3d.yaml",
    ],
)
def test_parameters_of_consumers_exist_with_their_types(file: str) -> None:
    found = list(leaves(yaml.safe_load((CONFIG / file).read_text())))
    assert len(found) > 8
    for section, name, value in found:
        (table,) = (table for pattern, table in TABLES.items() if re.fullmatch(pattern, section))
        assert name in table, f"{section}.{name} does not exist"
        assert type(value) is table[name], f"{section}.{name} is {value!r}, not {table[name].__name__}"


def test_sources_that_are_listed_are_configured() -> None:
    for file in ("nav2_params.yaml", "nav2_stvl.yaml", "nav2_semantic_layer.yaml"):
        content = list(leaves(yaml.safe_load((CONFIG / file).read_text())))
        sections = {section for section, _, _ in content}
        for section, name, value in content:
            listed = value.split() if name == "observation_sources" else value if name == "plugins" else []
            assert {f"{section}.{part}" for part in listed} <= sections
