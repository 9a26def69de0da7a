"""Heights of nav2's costmap layers above a ground that is not at z = 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from occdepth_ros.nodes.costmap_heights import HEIGHTS, with_ground_at

FILE = Path(__file__).resolve().parents[2] / "config" / "nav2_params.yaml"
KITTI_GROUND = -1.73


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """All values by their full names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def test_heights_move_with_the_ground_and_nothing_else_changes() -> None:
    content = yaml.safe_load(FILE.read_text())
    before, after = flat(content), flat(with_ground_at(content, KITTI_GROUND))
    assert before.keys() == after.keys()
    heights = {name for name in before if name.rsplit(".", 1)[-1] in HEIGHTS}
    # the layer's own, whose default would cut off a lower ground, and those of both sources
    assert len(heights) == 7
    for name, value in before.items():
        assert after[name] == (pytest.approx(value + KITTI_GROUND) if name in heights else value)


def test_a_camera_of_kitti_is_inside_the_voxels_above_its_ground() -> None:
    """Without the shift, nav2's voxel layer marks only what is more than 2 m above the road of a KITTI drive."""
    content = with_ground_at(yaml.safe_load(FILE.read_text()), KITTI_GROUND)
    layer = content["local_costmap"]["local_costmap"]["ros__parameters"]["voxel_layer"]
    assert layer["origin_z"] < -0.08 < layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"]
    assert layer["min_obstacle_height"] <= layer["mark"]["min_obstacle_height"] < KITTI_GROUND + 0.5
