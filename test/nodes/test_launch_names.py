"""Namespaces and logger names as launch and rclpy resolve them."""

from __future__ import annotations

import pytest

from occdepth_ros.nodes.launch_names import camera_topics, logger_name, resolved_namespace


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        (("", ""), "/"),
        (("/", "robot"), "/robot"),
        (("/fleet/robot1", "front"), "/fleet/robot1/front"),
        (("/fleet", "/robot2/"), "/robot2"),
        (("robot", "", "left/image_rect"), "/robot/left/image_rect"),
        (("/robot", "/cam/l/image_rect"), "/cam/l/image_rect"),
    ],
)
def test_namespaces_are_joined_and_absolute_ones_replace(namespaces: tuple[str, ...], expected: str) -> None:
    assert resolved_namespace(*namespaces) == expected


def test_the_logger_has_the_fully_qualified_name_with_dots() -> None:
    assert logger_name("/", "stereo_occ") == "stereo_occ"
    assert logger_name("/fleet/robot1", "stereo_occ") == "fleet.robot1.stereo_occ"


def test_camera_topics_lie_in_the_namespaces_of_the_cameras() -> None:
    assert camera_topics("/cam/l/", "right", "image_raw") == [
        ("left/image_rect", "/cam/l/image_raw"),
        ("left/camera_info", "/cam/l/camera_info"),
        ("right/image_rect", "right/image_raw"),
        ("right/camera_info", "right/camera_info"),
    ]
