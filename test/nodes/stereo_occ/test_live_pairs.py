"""Stereo pairs among live topics: named with the arguments that select them, and selected only on request."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.nodes.node_bench import Bench, info_message
from sensor_msgs.msg import CameraInfo, Image

from occdepth_ros.nodes.stereo_occ.live_pairs import COMPRESSED, IMAGE, LivePair, advice, arguments, pairs_of
from occdepth_ros.sources.bags.topics import INFO_TYPE, StereoTopics
from occdepth_ros.sources.base import SourceOptions

pytestmark = pytest.mark.ros

OWN = {"left": "/left/image_rect", "right": "/right/image_rect"}


def kinds(*roots: str, image: str = "image_rect", kind: str = IMAGE) -> dict[str, str]:
    """Topics of stereo cameras below the given namespaces."""
    sides = [f"{root}/{side}" for root in roots for side in ("left", "right")]
    return {f"{side}/{image}": kind for side in sides} | {f"{side}/camera_info": INFO_TYPE for side in sides}


def topics_of(root: str, image: str = "image_rect") -> StereoTopics:
    return StereoTopics(*(f"{root}/{side}/{name}" for name in (image, "camera_info") for side in ("left", "right")))


def test_one_pair_is_found_for_each_camera_and_rectified_images_before_raw_ones() -> None:
    live = kinds("/front", "/back") | kinds("/front", image="image_raw") | {"/single/image_rect": IMAGE}
    assert pairs_of(live, SourceOptions(), raw=False) == [topics_of("/back"), topics_of("/front")]
    (front,) = pairs_of(live, SourceOptions(left="/front/left/image_rect"), raw=False)
    assert front == topics_of("/front")
    assert pairs_of(live, SourceOptions(), raw=True)[0] == topics_of("/front", "image_raw")
    assert not pairs_of({"/single/image_rect": IMAGE}, SourceOptions(), raw=False)


def test_the_only_pair_is_named_with_the_arguments_that_select_it() -> None:
    text = advice([LivePair(topics_of("/zed"), 0.12)], OWN, [], rectify=False)
    assert "only live stereo pair is /zed/left/image_rect and /zed/right/image_rect (baseline 0.12 m)" in text
    assert "--ros-args -r left/image_rect:=/zed/left/image_rect -r right/image_rect:=/zed/right/image_rect" in text
    assert "-r left/camera_info:=/zed/left/camera_info" in text and "rectify" not in text
    raw = topics_of("/zed", "image_raw")
    assert arguments(raw, rectify=False).endswith("-p rectify:=true")
    assert "rectify" not in arguments(raw, rectify=True)


def test_several_pairs_are_listed_with_their_baselines() -> None:
    pairs = [LivePair(topics_of("/wrists"), 0.0), LivePair(topics_of("/front"), 0.15), LivePair(topics_of("/back"))]
    text = advice(pairs, OWN, [], rectify=False)
    assert "3 stereo pairs are live" in text and "baseline 0.15 m" in text and "no CameraInfo received" in text
    assert text.endswith("-r right/camera_info:=/front/right/camera_info"), "the example has a plausible baseline"


@pytest.mark.parametrize(
    ("images", "expected_text"),
    [
        ([], "no other image topic has a publisher"),
        (["/cam/image"], "/cam/image, but no two"),
        (["/cam/image/compressed"], "republish"),
    ],
)
def test_without_a_pair_the_image_topics_are_listed(images: list[str], expected_text: str) -> None:
    assert expected_text in advice([], OWN, images, rectify=False)
    assert COMPRESSED.endswith("CompressedImage")


def test_live_pairs_are_listed_where_no_topic_is_remapped(made: list[Bench]) -> None:
    made.append(bench := Bench(namespace="robot", input_timeout=0.2))
    bench.wait(lambda: bench.node.label == "active", "the node did not become active")

    def named(text: str) -> bool:
        bench.send_infos()
        return any(text in fault.text for fault in bench.node.faults.present())

    bench.wait(lambda: named("only live stereo pair is /left/image_rect and /right/image_rect (baseline 0.5 m)"), "one")
    bench.expect_fault("stream_stopped", "-r left/image_rect:=/left/image_rect")
    senders = []
    for side in ("left", "right"):
        bench.tester.create_publisher(Image, f"/wrist/{side}/image_rect", 5)
        senders.append(bench.tester.create_publisher(CameraInfo, f"/wrist/{side}/camera_info", 5))

    def both_named() -> bool:
        for sender in senders:
            sender.publish(info_message("left"))
        return named("/wrist/left/image_rect and /wrist/right/image_rect (baseline 0 m)")

    bench.wait(both_named, "two")
    bench.expect_fault("stream_stopped", "2 stereo pairs are live")
    assert bench.processed == 0, "no pair is used without being asked"


def test_the_only_live_pair_is_used_on_request(made: list[Bench]) -> None:
    made.append(bench := Bench(namespace="robot", input_timeout=0.2, auto_select=True))
    bench.wait(lambda: bench.node.label == "active", "the node did not become active")

    def predicted() -> bool:
        bench.send_infos()
        bench.send_pair()
        return bench.processed > 0

    bench.wait(predicted, "the pair was not used")
    bench.wait(lambda: "/left/image_rect and /right/image_rect (the only live" in bench.node._summary, "not described")
