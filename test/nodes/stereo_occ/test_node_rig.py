"""Calibration and pose in the running node: raw images, implausible numbers, body frames, TF that has stopped."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

import tf2_ros
from geometry_msgs.msg import TransformStamped
from helpers import raytraced
from helpers.nodes.node_bench import BASELINE, FOCAL, HEIGHT, WIDTH, Bench, image_message, info_message, raytraced_infos
from sensor_msgs.msg import CameraInfo

from occdepth_ros.nodes.stereo_occ.rig_checks import FIRST_PERIOD
from occdepth_ros.stereo.calibration.extrinsics_checks import CameraPose
from occdepth_ros.stereo.ground.pose import MIN_MEASUREMENTS

pytestmark = pytest.mark.ros
DISTORTION = [-0.28, 0.09, 0.001, -0.001, 0.0]
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])


def infos(**changes: Any) -> dict[str, CameraInfo]:
    made = {}
    for side in ("left", "right"):
        made[side] = info_message(side)
        for name, value in changes.items():
            setattr(made[side], name, value)
    return made


def pair_until(bench: Bench, fault: str, expected_text: str, **given: CameraInfo) -> None:
    bench.calibrate(**given)
    end = time.monotonic() + 20
    while fault not in bench.fault_names() and time.monotonic() < end:
        bench.send_pair()
        time.sleep(0.1)
    bench.expect_fault(fault, expected_text)


@pytest.mark.parametrize(
    ("scale", "fault", "expected_text"),
    [
        (1000.0, "baseline", "millimetres"),
        (100.0, "baseline", "centimetres"),
        (1 / FOCAL, "baseline_unusual", "baseline itself"),
    ],
)
def test_baselines_in_other_units_are_named(bench: Bench, scale: float, fault: str, expected_text: str) -> None:
    given = infos()
    given["right"].p[3] = -FOCAL * BASELINE * scale
    pair_until(bench, fault, expected_text, **given)
    is_error = next(f.is_error for f in bench.node.faults.present() if f.name == fault)
    assert is_error == (fault == "baseline")


def test_a_baseline_that_changes_in_flight_is_named_with_its_values(made: list[Bench]) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    bench.good_pair()
    assert "calibration_changes" not in bench.fault_names()
    given = infos()
    given["right"].p[3] *= 1.3
    pair_until(bench, "calibration_changes", "P[0,3] from -50 to -65", **given)


def test_pairs_whose_rows_do_not_match_are_rejected(bench: Bench) -> None:
    given = infos()
    given["right"].p[6] += 3.0
    pair_until(bench, "calibration", "rows of the left and the right image", **given)


def test_raw_images_on_a_remapped_topic_are_recognised_by_their_rows(bench: Bench) -> None:
    bench.pipeline.calibration.topics = ("/camera/left/image_raw", "/camera/right/image_raw")
    k, d = raytraced.intrinsics(), tuple(DISTORTION)
    left, right = raytraced.pair(raytraced.lens_rays(k, d))
    bench.calibrate(
        **{
            side: CameraInfo(
                width=raytraced.WIDTH,
                height=raytraced.HEIGHT,
                distortion_model="plumb_bob",
                header=info_message(side).header,
                d=DISTORTION,
                k=k.ravel(),
                r=np.eye(3).ravel(),
                p=raytraced.projection(k, x).ravel(),
            )
            for side, x in (("left", 0.0), ("right", raytraced.BASELINE))
        }
    )
    bench.send_pair(image_message(left, 0), image_message(right, 0))
    bench.expect_fault("raw_or_rectified", "rows of")
    text = next(fault.text for fault in bench.node.faults.present() if fault.name == "raw_or_rectified")
    assert "rectify is false" in text and "/camera/left/image_raw" in text


def test_images_whose_rows_differ_are_named(made: list[Bench]) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    # coarse texture, which matches despite the offset
    smooth = [
        cv2.GaussianBlur(image, (0, 0), 2) for image in raytraced.pair(raytraced.pinhole_rays(K, (WIDTH, HEIGHT)))
    ]
    left, right = (np.clip(128 + 3 * (image.astype(float) - 128), 0, 255).astype(np.uint8) for image in smooth)
    bench.left, bench.right = left, np.roll(right, 2, axis=0)
    pair_until(bench, "rows_differ", "-2.0 px", **infos())


def test_a_right_image_of_another_moment_of_a_turn_is_named(made: list[Bench]) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    bench.calibrate(**raytraced_infos())

    def send(yaw: float, late: float = 0.0) -> None:
        before = bench.processed
        bench.send_pair(*(image_message(image, 0) for image in raytraced.turned_pair(yaw, late)))
        bench.wait_processed(before + 1)

    send(0.0)
    assert "rows_differ" not in bench.fault_names()
    send(2.0, late=1.5)
    bench.expect_fault("rows_differ", "different moments of a turn")
    # the next comparison is in a faster turn
    send(-4.0)
    send(4.0)
    bench.wait(lambda: "rows_differ" not in bench.fault_names(), "both cameras trigger together now")


def test_an_unknown_distortion_model_is_named_where_images_are_rectified(made: list[Bench]) -> None:
    made.append(bench := Bench(rectify=True))
    bench.wait_active()
    pair_until(bench, "intrinsics", "double_sphere", **infos(distortion_model="double_sphere", d=[0.1, 0.2]))


def test_camera_info_without_a_size_is_used_with_that_of_the_image(bench: Bench) -> None:
    before = bench.processed
    bench.calibrate(**infos(width=0, height=0))
    bench.send_pair()
    bench.wait_processed(before + 1)


def test_a_body_frame_is_named_and_used_as_one(made: list[Bench]) -> None:
    made.append(bench := Bench(extrinsics="tf"))
    bench.wait_active()
    body = bench.static_transform((0.0, 0.0, 1.0))
    q = body.transform.rotation
    q.x, q.y, q.z, q.w = 0.0, 0.0, 0.0, 1.0
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(body)
    bench.good_pair()
    bench.expect_fault("body_frame", "camera_left_optical")
    pose = CameraPose.of(bench.pipeline.calibration.current.left_from_grid)
    assert (pose.height, pose.pitch) == pytest.approx((1.0, 0.0), abs=1e-6)


@pytest.mark.parametrize(("x", "is_named"), [(BASELINE, False), (0.5 * BASELINE, True)])
def test_a_baseline_that_contradicts_the_frames_of_the_cameras_is_named(
    made: list[Bench], x: float, is_named: bool
) -> None:
    made.append(bench := Bench(extrinsics="tf"))
    bench.wait_active()
    between = TransformStamped(child_frame_id="right_optical")
    between.header.frame_id = "camera_left_optical"
    between.transform.translation.x, between.transform.rotation.w = x, 1.0
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform([bench.static_transform(), between])
    bench.calibrate()
    before = bench.processed
    while bench.processed == before:
        bench.send_pair(right=image_message(bench.right, 0, frame="right_optical"))
        time.sleep(0.05)
    assert ("baseline_contradicts_tf" in bench.fault_names()) == is_named
    if is_named:
        bench.expect_fault("baseline_contradicts_tf", "0.5 m, the frames of the cameras are 0.25 m apart")


def test_a_camera_that_points_at_the_sky_is_rejected(made: list[Bench]) -> None:
    made.append(bench := Bench(camera_from_grid_rotation=[0.0, 0.0, 0.0, 1.0]))
    bench.wait_active()
    pair_until(bench, "camera_looks_up", "90 degrees above the horizon")
    assert bench.processed == 0


def test_a_frame_with_a_prefix_is_proposed(made: list[Bench]) -> None:
    made.append(bench := Bench(extrinsics="tf"))
    bench.wait_active()
    prefixed = bench.static_transform()
    prefixed.header.frame_id = "robot1/velodyne"
    tf2_ros.StaticTransformBroadcaster(bench.tester).sendTransform(prefixed)
    bench.wait(lambda: "robot1/velodyne" in bench.pipeline.extrinsics._buffer.all_frames_as_yaml(), "no transform")
    pair_until(bench, "missing_tf", "robot1/velodyne")


def test_transforms_that_stopped_are_a_warning_and_then_an_error(made: list[Bench]) -> None:
    made.append(bench := Bench(extrinsics="tf", grid_frame="/velodyne", tf_age_warning=1.0, tf_age_error=4.0))
    bench.wait_active()
    moving = bench.static_transform()
    stamp = moving.header.stamp
    broadcaster = tf2_ros.TransformBroadcaster(bench.tester)

    def send(stamp_ns: int) -> None:
        stamp.sec, stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        broadcaster.sendTransform(moving)

    send(bench.stamp_ns)
    bench.good_pair()
    assert "old_tf" not in bench.fault_names()
    bench.stamp_ns += 2_000_000_000
    bench.good_pair()
    bench.expect_fault("old_tf", "more than 2 s older")
    before = bench.processed
    bench.stamp_ns += 3_000_000_000
    bench.send_pair()
    bench.wait(lambda: any(f.is_error for f in bench.node.faults.present() if f.name == "old_tf"), "no error")
    assert bench.processed == before
    send(bench.stamp_ns)
    bench.good_pair()
    bench.wait(lambda: "old_tf" not in bench.fault_names(), "the fault stayed")


@pytest.mark.parametrize("measured", [False, True])
def test_a_pose_that_contradicts_the_ground_is_named_or_replaced(made: list[Bench], measured: bool) -> None:
    k = raytraced.intrinsics()
    large: dict[str, Any] = {"grid_size": [64, 64, 16], "grid_origin": [0.0, -6.4, -2.0]}
    translation: dict[str, Any] = {"camera_from_grid_translation": [0.0, 1.2, 0.0]}
    options: dict[str, Any] = {"grid_frame": "base_link", "measured_extrinsics": measured}
    options["allow_unchanged_images"] = True
    made.append(bench := Bench(**options, **large, **translation))
    bench.wait_active()
    left, right = raytraced.pair(raytraced.rotated(raytraced.pinhole_rays(k), pitch=15.0))
    bench.calibrate(**raytraced_infos())
    for _ in range(FIRST_PERIOD * MIN_MEASUREMENTS + 2):
        before = bench.processed
        bench.send_pair(image_message(left, 0), image_message(right, 0))
        bench.wait_processed(before + 1)
    rig = bench.pipeline.host._engine.rig
    if measured:
        assert CameraPose.of(rig.left_from_grid).pitch == pytest.approx(-15, abs=1)
        assert "pose_contradicts_ground" not in bench.fault_names()
    else:
        assert CameraPose.of(rig.left_from_grid).pitch == pytest.approx(0, abs=1e-6)
        bench.expect_fault("pose_contradicts_ground", "+0.0 deg stated")
