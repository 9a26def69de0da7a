"""Bad images and calibrations: each is named on /diagnostics, and the next good pair is predicted."""

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

from helpers.nodes.node_bench import HEIGHT, WIDTH, Bench, image_message, info_message, stamp_of
from occdepth_ros.msg import SemanticGrid
from octomap_msgs.msg import Octomap
from sensor_msgs.msg import CameraInfo, Image

pytestmark = pytest.mark.ros


def _changed(info: CameraInfo, **changes: Any) -> CameraInfo:
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def _with_p(side: str, index: int, value: float) -> CameraInfo:
    info = info_message(side)
    info.p[index] = value
    return info


@pytest.mark.parametrize(
    ("infos", "fault", "expected_text"),
    [
        ({"left": _with_p("left", 0, 0.0)}, "intrinsics", "not positive"),
        ({"left": _changed(info_message("left"), p=[0.0] * 12)}, "intrinsics", "left/camera_info"),
        ({"right": _with_p("right", 5, float("nan"))}, "intrinsics", "NaN"),
        ({"right": _with_p("right", 3, 0.0)}, "baseline", "not positive"),
        ({"left": info_message("right"), "right": info_message("left")}, "baseline", "swapped"),
        ({"right": _with_p("right", 0, 50.0)}, "calibration", "focal lengths"),
        ({"left": _changed(info_message("left"), width=0)}, "intrinsics", "size"),
        ({"left": _changed(info_message("left"), width=320)}, "image_size", "320x96"),
    ],
)
def test_a_bad_calibration_is_named_and_the_next_good_one_works(
    bench: Bench, infos: dict[str, CameraInfo], fault: str, expected_text: str
) -> None:
    received = bench.listen(Octomap, "octomap_binary", latched=True)
    bench.wait(lambda: received, "no map before")
    before = bench.processed
    bench.calibrate(**infos)
    bench.send_pair()
    bench.expect_fault(fault, expected_text)
    assert bench.processed == before
    late = bench.listen(Octomap, "octomap_binary", latched=True)
    bench.wait(lambda: late, "the last good map did not stay")
    assert late[-1].header.stamp == received[-1].header.stamp
    bench.good_pair()
    assert fault not in bench.fault_names()


def _image(**changes: Any) -> Image:
    message = image_message(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0)
    for name, value in changes.items():
        if name == "frame":
            message.header.frame_id = value
        else:
            setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("side", "message", "fault", "expected_text"),
    [
        ("left", image_message(np.zeros((48, 80, 3), np.uint8), 0), "image_size", "80x48"),
        ("right", image_message(np.zeros((48, 80, 3), np.uint8), 0), "image_size", "right/image_rect"),
        ("left", _image(encoding="no_such_encoding"), "image_encoding", "no_such_encoding"),
        ("left", _image(encoding="32FC1", step=WIDTH * 4, data=bytes(WIDTH * HEIGHT * 4)), "image_encoding", "32FC1"),
        ("left", _image(data=bytes(100)), "image_data", "100 bytes"),
        ("right", _image(data=b""), "image_data", "0 bytes"),
        ("right", _image(width=0), "image_data", "0x96"),
        ("left", _image(width=2**31), "image_data", "bytes per row"),
        ("left", _image(step=3), "image_data", "3 bytes per row"),
        ("left", _image(frame=""), "frame_id", "no frame_id"),
    ],
)
def test_a_bad_image_is_named_and_the_next_good_one_works(
    bench: Bench, side: str, message: Image, fault: str, expected_text: str
) -> None:
    before = bench.processed
    bench.send_pair(**{side: message})
    bench.expect_fault(fault, expected_text)
    assert bench.processed == before
    bench.good_pair()
    assert fault not in bench.fault_names()


def test_swapped_images_are_named_and_the_right_order_works(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.pipeline.host._engine._swap_guard, "_countdown", 0)
    before = bench.processed
    for _ in range(2):
        bench.send_pair(image_message(bench.right, 0), image_message(bench.left, 0))
        bench.expect_fault("swapped", "Exchange the two images")
    assert bench.processed == before
    bench.good_pair()
    assert "swapped" not in bench.fault_names()


@pytest.mark.parametrize("encoding", ["bgr8", "mono8", "8UC1", "rgba8", "bayer_rggb8"])
def test_common_encodings_are_accepted(bench: Bench, encoding: str) -> None:
    channels = {"bgr8": 3, "rgba8": 4}.get(encoding, 1)
    before = bench.processed
    pair = [image_message(np.repeat(p[..., :1], channels, -1), 0, encoding) for p in (bench.left, bench.right)]
    bench.send_pair(*pair)
    bench.wait_processed(before + 1)


def test_16_bit_images_with_an_empty_upper_byte_are_named(bench: Bench) -> None:
    """Samples up to 255 of 65535, as of a driver that copies 8 bits into 16."""
    before = bench.processed
    pair = []
    for image in (bench.left, bench.right):
        message = image_message(image[..., 0].astype("<u2").view(np.uint8), 0, "mono16")
        message.width = WIDTH
        pair.append(message)
    bench.send_pair(*pair)
    bench.expect_fault("dark_images", "upper byte is empty")
    bench.wait_processed(before + 1)
    bench.good_pair()
    assert "dark_images" not in bench.fault_names()


def test_another_frame_than_the_calibration_is_a_warning(bench: Bench) -> None:
    before = bench.processed
    bench.send_pair(left=image_message(bench.left, 0, frame="elsewhere"))
    bench.wait_processed(before + 1)
    bench.expect_fault("frame_id", "'elsewhere'")


def test_a_left_projection_that_counts_from_another_camera_gives_the_same(bench: Bench) -> None:
    """KITTI's camera 2 has a nonzero Tx; only the difference is the baseline."""
    received = bench.listen(SemanticGrid, "grid")
    output = next(o for o in bench.pipeline.outputs.outputs if o.spec.name == "grid")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    bench.good_pair()
    bench.wait(lambda: received, "no grid")
    shifted = {side: info_message(side) for side in ("left", "right")}
    for info in shifted.values():
        info.p[3] += 45.0
    bench.calibrate(**shifted)
    stamp = bench.send_pair()
    bench.wait(lambda: stamp_of(received[-1]) == stamp, "the shifted pair was not predicted")
    assert bench.pipeline.calibration.current.baseline == pytest.approx(0.5)
    assert received[-1].labels == received[0].labels


def test_calibration_is_needed_and_named(made: list[Bench]) -> None:
    made.append(bench := Bench(input_timeout=0.2))
    bench.wait_active()
    for _ in range(5):
        bench.send_pair()
        time.sleep(0.1)
    bench.expect_fault("camera_info", "left/camera_info")
    bench.good_pair()
    assert "camera_info" not in bench.fault_names()


def test_a_pair_that_overtakes_its_calibration_waits_for_it(made: list[Bench]) -> None:
    made.append(bench := Bench())
    bench.wait_active()
    stamp = bench.send_pair()
    bench.expect_fault("camera_info", "left/camera_info")
    bench.send_infos()
    bench.wait_processed(1)
    assert bench.pipeline.outputs.latest.prediction.stamp_ns == stamp
    assert bench.pipeline.failed == 0 and not bench.fault_names(without_clock=True)


def test_raw_images_are_rectified(made: list[Bench]) -> None:
    """A shift of the principal point between K and P moves the image by as many pixels."""
    made.append(bench := Bench(rectify=True))
    bench.wait_active()
    infos = {side: info_message(side) for side in ("left", "right")}
    for info in infos.values():
        info.k[2] += 4.0
    bench.calibrate(**infos)
    seen: list[Any] = []
    begin = bench.pipeline.host.begin

    def recorded(rig: Any, left: Any, right: Any, stamp: int, **options: Any) -> Any:
        seen.append((left, right))
        return begin(rig, left, right, stamp, **options)

    bench.pipeline.host.begin = recorded
    bench.send_pair()
    bench.wait_processed(1)
    np.testing.assert_array_equal(seen[0][0][:, 4 : WIDTH - 8], bench.left[:, 8 : WIDTH - 4])
