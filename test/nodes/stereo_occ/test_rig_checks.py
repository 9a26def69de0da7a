"""Changes of a static transform are named for some time; a moving camera is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 environment")

from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, projection

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.faults import NamedError
from occdepth_ros.nodes.stereo_occ.extrinsics import GridPose
from occdepth_ros.nodes.stereo_occ.rig_checks import CHANGE_PERIOD, RigChecks

AXES = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def rig_at(height: float) -> StereoRig:
    left, right = (PinholeCamera(projection(intrinsics(), x), WIDTH, HEIGHT) for x in (0.0, BASELINE))
    pose = AXES.copy()
    pose[1, 3] = height
    return StereoRig(left, right, pose)


def checks() -> RigChecks:
    settings: Any = SimpleNamespace(
        tf_age_warning=1.0, tf_age_error=4.0, measured_extrinsics=False, grid_frame="velodyne"
    )
    return RigChecks(settings, VoxelGrid((0.0, -3.2, -2.0), (32, 32, 16), 0.2))


def names(check: RigChecks) -> set[str]:
    return {warning.name for warning in check.warnings}


def use(check: RigChecks, rig: StereoRig, source: str) -> None:
    check.checked(rig, GridPose(rig.left_from_grid, source))


def test_a_static_transform_that_changes_is_named_with_the_change() -> None:
    check, first, second = checks(), rig_at(1.0), rig_at(2.5)
    for _ in range(3):
        use(check, first, "static tf")
    assert "static_tf_changed" not in names(check)
    use(check, second, "static tf")
    (warning,) = (warning for warning in check.warnings if warning.name == "static_tf_changed")
    assert "1.50 m and 0.0 degrees" in str(warning)
    for _ in range(CHANGE_PERIOD):
        use(check, second, "static tf")
    assert "static_tf_changed" not in names(check)


def test_a_moving_camera_is_no_change_of_a_static_transform() -> None:
    check = checks()
    for height in (1.0, 1.2, 1.4):
        use(check, rig_at(height), "tf")
    assert "static_tf_changed" not in names(check)


@pytest.mark.parametrize(
    ("age", "expected_text"), [(2.5, "2 s older than the images"), (-2.5, "before the transforms")]
)
def test_images_outside_the_known_transforms_are_named(age: float, expected_text: str) -> None:
    check, rig = checks(), rig_at(1.0)
    check.checked(rig, GridPose(rig.left_from_grid, "tf", age, is_outside=True))
    (warning,) = (warning for warning in check.warnings if warning.name == "old_tf")
    assert expected_text in str(warning)
    use(check, rig, "tf")
    assert "old_tf" not in names(check)
    with pytest.raises(NamedError, match="transform") as raised:
        check.checked(rig, GridPose(rig.left_from_grid, "tf", 3 * age, is_outside=True))
    assert raised.value.name == "old_tf"


def test_images_long_before_the_newest_transform_are_no_fault_while_it_is_known() -> None:
    check, rig = checks(), rig_at(1.0)
    check.checked(rig, GridPose(rig.left_from_grid, "tf", -8.0))
    assert "old_tf" not in names(check)
