"""Unusual calibrations and poses in the running node: predicted, with a named warning on /diagnostics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

import tf2_ros
from helpers import raytraced
from helpers.nodes.node_bench import BASELINE, FOCAL, HEIGHT, WIDTH, Bench, image_message, info_message, raytraced_infos

from occdepth_ros.nodes.stereo_occ.rig_checks import FIRST_PERIOD
from occdepth_ros.stereo.ground.pose import MIN_ABOVE, MIN_MEASUREMENTS
from occdepth_ros.stereo.pair_checks.focal_watch import FIRST_PERIOD as FIRST_TURNS
from occdepth_ros.stereo.pair_checks.focal_watch import MIN_MEASUREMENTS as MIN_TURNS

pytestmark = pytest.mark.ros

GRID: dict[str, Any] = {"grid_size": [64, 64, 16], "grid_origin": [0.0, -6.4, -2.0], "allow_unchanged_images": True}


@pytest.mark.parametrize(
    ("entries", "fault", "expected_text"),
    [
        ({0: 27.0, 5: 27.0, 3: 0.5 * 27.0}, "focal_length_unusual", "field of view"),
        ({5: 1.2 * FOCAL}, "pixels_not_square", "fx = 100, fy = 120"),
        ({6: 6.0}, "principal_point_off_centre", "far from the centre"),
        ({1: 2.0}, "skew", "P[0,1] = 2"),
        ({7: 0.02 * FOCAL}, "rows_unequal", "above or below"),
    ],
)
def test_an_unusual_calibration_is_a_warning(
    bench: Bench, entries: dict[int, float], fault: str, expected_text: str
) -> None:
    given = {side: info_message(side) for side in ("left", "right")}
    for index, value in entries.items():
        if index in (3, 7):
            given["right"].p[index] = -value if index == 3 else value
        else:
            given["left"].p[index] = given["right"].p[index] = value
    before = bench.processed
    bench.calibrate(**given)
    bench.send_pair()
    bench.expect_fault(fault, expected_text)
    bench.wait_processed(before + 1)


def test_a_calibration_of_larger_images_is_scaled_with_a_warning(bench: Bench) -> None:
    given = {side: info_message(side) for side in ("left", "right")}
    for info in given.values():
        info.width, info.height = 2 * WIDTH, 2 * HEIGHT
        info.p[:8] = 2 * np.array(info.p[:8])
        info.k[:6] = 2 * np.array(info.k[:6])
    before = bench.processed
    bench.calibrate(**given)
    bench.send_pair()
    bench.expect_fault("resized_image", f"{2 * WIDTH}x{2 * HEIGHT}")
    bench.wait_processed(before + 1)
    assert bench.pipeline.calibration.current.left.projection[0, 0] == pytest.approx(FOCAL)


def test_binning_and_a_region_of_interest_are_used_as_image_geometry_does(bench: Bench) -> None:
    """The calibration is of the full sensor, of which the images show a part at half the resolution."""
    given = {side: info_message(side) for side in ("left", "right")}
    for info in given.values():
        info.width, info.height = 2 * WIDTH + 40, 2 * HEIGHT + 20
        info.binning_x = info.binning_y = 2
        info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 30, 10, 2 * WIDTH, 2 * HEIGHT
        info.p[:8] = 2 * np.array(info.p[:8])
        info.k[:6] = 2 * np.array(info.k[:6])
        for matrix in (info.p, info.k):
            matrix[2] += 30
            matrix[6 if matrix is info.p else 5] += 10
    before = bench.processed
    bench.calibrate(**given)
    bench.send_pair()
    bench.wait_processed(before + 1)
    rig = bench.pipeline.calibration.current
    # the centre of a binned pixel lies between those of its pixels
    expected = [[FOCAL, 0, WIDTH / 2 - 0.25], [0, FOCAL, HEIGHT / 2 - 0.25], [0, 0, 1]]
    assert rig.left.projection[:, :3] == pytest.approx(np.array(expected))
    assert rig.baseline == pytest.approx(BASELINE)
    assert not {"resized_image", "image_size"} & bench.fault_names()


def test_the_coefficients_of_a_fisheye_under_another_name_are_a_warning(made: list[Bench]) -> None:
    made.append(bench := Bench(rectify=True))
    bench.wait_active()
    given = {side: info_message(side) for side in ("left", "right")}
    for info in given.values():
        info.d = [-0.01, 0.01, 0.025, 0.005, 0.0]
    bench.calibrate(**given)
    bench.send_pair()
    bench.expect_fault("distortion_unusual", "fisheye")


@pytest.mark.parametrize(
    ("parameters", "fault", "expected_text"),
    [
        ({"camera_from_grid_translation": [0.0, 0.0, 200.0]}, "camera_far", "200 m from the origin"),
        ({"camera_from_grid_translation": [0.0, -9.0, 0.0]}, "camera_height", "below the grid"),
        ({"camera_from_grid_rotation": [0.7071068, 0.0, 0.7071068, 0.0]}, "camera_rolled", "rolled by"),
        ({"grid_origin": [-40.0, -3.2, -1.6]}, "grid_out_of_view", "of the grid's voxels are in view"),
    ],
)
def test_an_unusual_pose_is_a_warning(
    made: list[Bench], parameters: dict[str, Any], fault: str, expected_text: str
) -> None:
    made.append(bench := Bench(**parameters))
    bench.wait_active()
    bench.good_pair()
    bench.expect_fault(fault, expected_text)


def test_a_static_transform_that_changes_is_named_with_the_change(made: list[Bench]) -> None:
    made.append(bench := Bench(extrinsics="tf"))
    bench.wait_active()
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(bench.static_transform())
    bench.good_pair()
    assert "static_tf_changed" not in bench.fault_names()
    # of another publisher: the same one repeats its first transform
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(bench.static_transform((0.0, 0.0, 0.5)))

    def named() -> bool:
        bench.good_pair()
        return "static_tf_changed" in bench.fault_names()

    bench.wait(named, "the change was not named")
    bench.expect_fault("static_tf_changed", "changed by 0.50 m")


def send(bench: Bench, images: tuple[np.ndarray, np.ndarray], count: int) -> None:
    for _ in range(count):
        before = bench.processed
        bench.send_pair(image_message(images[0], 0), image_message(images[1], 0))
        bench.wait_processed(before + 1)


def test_a_height_that_contradicts_the_ground_is_named(made: list[Bench]) -> None:
    made.append(bench := Bench(grid_frame="base_link", camera_from_grid_translation=[0.0, 2.4, 0.0], **GRID))
    bench.wait_active()
    bench.calibrate(**raytraced_infos())
    send(bench, raytraced.pair(raytraced.pinhole_rays(raytraced.intrinsics())), FIRST_PERIOD * MIN_MEASUREMENTS + 2)
    bench.expect_fault("height_contradicts_ground", "2.40 m high")


def test_images_that_are_upside_down_are_named(made: list[Bench]) -> None:
    made.append(bench := Bench(grid_frame="base_link", camera_from_grid_translation=[0.0, 1.2, 0.0], **GRID))
    bench.wait_active()
    bench.calibrate(**raytraced_infos())
    left, right = raytraced.pair(raytraced.pinhole_rays(raytraced.intrinsics()))
    turned = right[::-1, ::-1].copy(), left[::-1, ::-1].copy()
    send(bench, turned, FIRST_PERIOD * MIN_ABOVE + 2)
    bench.expect_fault("upside_down", "180 degrees")


def test_a_focal_length_that_contradicts_turns_is_named(made: list[Bench]) -> None:
    """As with both images zoomed: the pair is consistent and the ground level."""
    made.append(bench := Bench())
    bench.wait_active()
    given = raytraced_infos()
    for side, x in (("left", 0.0), ("right", raytraced.BASELINE)):
        k = raytraced.intrinsics(0.85 * raytraced.intrinsics()[0, 0])
        given[side].k, given[side].p = k.ravel(), raytraced.projection(k, x).ravel()
    bench.calibrate(**given)
    for i in range((MIN_TURNS + 1) * (FIRST_TURNS + 1)):
        send(bench, raytraced.turned_pair(1.5 * i - 12), 1)
    bench.expect_fault("focal_length_contradicts_turns", "times the stated 136 px")
