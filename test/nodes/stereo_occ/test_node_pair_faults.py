"""Pairs without stereo information and implausible calibrations in the running node: named, and not published."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.nodes.node_bench import FOCAL, HEIGHT, WIDTH, Bench, image_message, info_message, stamp_of, stereo_images
from octomap_msgs.msg import Octomap
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from occdepth_ros.nodes.stereo_occ.model_host import ModelHost
from occdepth_ros.nodes.stereo_occ.monitoring import watch

pytestmark = pytest.mark.ros


def uniform(grey: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), grey, np.uint8)


LEFT, RIGHT = stereo_images()
OTHER_SCENE = stereo_images(seed=7)[1]


@pytest.mark.parametrize(
    ("left", "right", "fault", "expected_text"),
    [
        (uniform(0), uniform(0), "no_structure", "both images are black"),
        (LEFT, uniform(0), "no_structure", "the right image is black"),
        (uniform(255), RIGHT, "no_structure", "the left image is overexposed"),
        (uniform(90), uniform(90), "no_structure", "uniform"),
        (LEFT, LEFT, "equal_images", "no parallax"),
        (LEFT, OTHER_SCENE, "few_matches", "do not match"),
    ],
)
def test_a_pair_without_stereo_information_is_named_and_does_not_refresh_the_output(
    bench: Bench, left: np.ndarray, right: np.ndarray, fault: str, expected_text: str
) -> None:
    received = bench.listen(Octomap, "octomap_binary", latched=True)
    bench.wait(lambda: received, "no map before")
    before = bench.processed
    bench.send_pair(image_message(left, 0), image_message(right, 0))
    bench.expect_fault(fault, expected_text)
    assert bench.processed == before
    late = bench.listen(Octomap, "octomap_binary", latched=True)
    bench.wait(lambda: late, "the last good map did not stay")
    assert stamp_of(late[-1]) == stamp_of(received[-1])
    bench.good_pair()
    assert fault not in bench.fault_names()


def test_a_frozen_camera_is_named_and_does_not_refresh_the_output(bench: Bench) -> None:
    before = bench.processed
    bench.send_pair(image_message(bench.left, 0), image_message(bench.right, 0))
    bench.wait_processed(before + 1)
    before = bench.processed
    bench.send_pair(image_message(bench.left, 0), image_message(bench.right, 0))
    bench.expect_fault("images_unchanged", "both images are the same as in the pair before")
    assert bench.processed == before


def test_periodic_texture_is_named_and_predicted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelHost, "ambiguous_share", property(lambda self: 0.4))
    before = bench.processed
    bench.send_pair()
    bench.expect_fault("periodic_texture", "40% of the left image repeats itself")
    bench.wait_processed(before + 1)
    monkeypatch.undo()
    bench.good_pair()
    assert "periodic_texture" not in bench.fault_names()


def test_a_partly_covered_lens_is_reported_and_frees_no_space(bench: Bench) -> None:
    covered = bench.left.copy()
    covered[:, WIDTH // 2 :] = 0
    before = bench.processed
    bench.send_pair(image_message(covered, 0))
    bench.expect_fault("partly_covered", "left image")
    bench.wait_processed(before + 1)
    prediction = bench.pipeline.outputs.latest.prediction
    y = prediction.grid.axis_centers(1)
    assert prediction.free[:, y > 0.4].any()
    assert not prediction.free[:, y < -0.4].any(), "the covered half is to the right"


def test_swapped_images_are_named_at_any_time_and_do_not_refresh_the_output(bench: Bench) -> None:
    before = bench.processed
    bench.send_pair(image_message(bench.right, 0), image_message(bench.left, 0))
    bench.expect_fault("swapped", "negative disparities")
    assert bench.processed == before
    bench.good_pair()
    assert "swapped" not in bench.fault_names()


def test_unequal_exposure_is_named_and_predicted(bench: Bench) -> None:
    before = bench.processed
    darker = (0.58 * bench.right).astype(np.uint8)
    bench.send_pair(None, image_message(darker, 0))
    bench.expect_fault("exposure_differs", "mean grey level")
    bench.wait_processed(before + 1)


@pytest.mark.parametrize(
    ("entries", "expected_text"),
    [
        ({0: 4.0, 5: 4.0}, "millimetres"),
        ({0: 40 * FOCAL, 5: 40 * FOCAL}, "larger images"),
        ({2: float(WIDTH), 6: float(HEIGHT)}, "times as large"),
        ({2: WIDTH / 8, 6: HEIGHT / 8}, "times smaller"),
        ({7: 20.0}, "above or below"),
    ],
)
def test_an_implausible_calibration_is_refused_by_name(
    bench: Bench, entries: dict[int, float], expected_text: str
) -> None:
    given: dict[str, Any] = {side: info_message(side) for side in ("left", "right")}
    for index, value in entries.items():
        for side in ("right",) if index == 7 else ("left", "right"):
            given[side].p[index] = value
        if index == 0:
            given["right"].p[3] = -value * 0.5
    before = bench.processed
    bench.calibrate(**given)
    bench.send_pair()
    bench.expect_fault("calibration", expected_text)
    assert bench.processed == before


@pytest.mark.parametrize("adapts", [True, False])
def test_images_that_are_lost_in_transport_are_named_and_subscribed_to_reliably(
    made: list[Bench], monkeypatch: pytest.MonkeyPatch, adapts: bool
) -> None:
    monkeypatch.setattr(watch, "RATE_WINDOW", 0.8)
    made.append(bench := Bench(reliable_on_loss=adapts))
    bench.wait_active()
    bench.calibrate()
    count = 0

    def named() -> bool:
        nonlocal count
        count += 1
        if count % 4 == 0:
            bench.send_pair()
        else:
            bench.send_image("left", image_message(bench.left, bench.next_stamp()))
        time.sleep(0.02)
        return "images_lost" in bench.fault_names()

    def reliabilities() -> set[ReliabilityPolicy]:
        topics = (f"/{side}/image_rect" for side in ("left", "right"))
        found = (bench.tester.get_subscriptions_info_by_topic(topic) for topic in topics)
        return {endpoint.qos_profile.reliability for endpoints in found for endpoint in endpoints}

    bench.wait(named, "the lost images were not named")
    bench.expect_fault("images_lost", "have no partner")
    monkeypatch.undo()
    if not adapts:
        time.sleep(0.6)
        assert reliabilities() == {ReliabilityPolicy.BEST_EFFORT}
        return
    bench.wait(lambda: reliabilities() == {ReliabilityPolicy.RELIABLE}, "the subscriptions stayed as they were")
    bench.good_pair()
    # a publisher of best effort cannot be received reliably
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    bench.tester.create_publisher(Image, "left/image_rect", best_effort)
    both = {ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT}
    bench.wait(lambda: reliabilities() == both, "the left subscription stayed reliable")
    bench.good_pair()
