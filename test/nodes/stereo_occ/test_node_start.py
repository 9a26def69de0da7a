"""The process of the node: a start that fails ends with one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.nodes.node_processes import Process

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("parameters", "expected_text"),
    [
        ({"grid_size": "[1, 2]"}, "grid_size: (1, 2) is not an array of 3 numbers"),
        ({"model": "nothing"}, "'nothing' is not one of occdepth-edge, occdepth-edge-kitti, occdepth-edge-sfa"),
        ({"grid_resolution": "-1.0"}, "grid_resolution"),
        ({"occupancy_min_height": "9.0"}, "is empty"),
    ],
)
def test_a_bad_parameter_ends_the_start_with_one_clear_line(
    parameters: dict[str, Any], expected_text: str, tmp_path: Path
) -> None:
    process = Process("occdepth_ros.nodes.stereo_occ.node", tmp_path / "node.log", **parameters)
    assert process.process.wait(120.0) == 2
    assert process.end() == 2
    assert expected_text in process.text() and "Traceback" not in process.text(), process.text()


def test_an_unreadable_parameter_file_ends_the_start_with_one_clear_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("stereo_occ:\n  ros__parameters: [oops\n")
    process = Process("occdepth_ros.nodes.stereo_occ.node", tmp_path / "node.log", files=[broken])
    assert process.process.wait(120.0) == 2
    assert process.end() == 2
    assert "broken.yaml" in process.text() and "Traceback" not in process.text(), process.text()
