"""The highest rate of an output, and the formulas that turn messages into cameras and poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from occdepth_ros.nodes.conversions import camera_of, pose_of
from occdepth_ros.nodes.faults import NamedError
from occdepth_ros.nodes.stereo_occ.model_host import nominal_rig
from occdepth_ros.nodes.stereo_occ.output_specs import OUTPUTS, OutputSpec, Result
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.nodes.stereo_occ.publishers import OutputSet, RateLimit

pytestmark = pytest.mark.ros


class _Silent:
    """A publisher that nobody hears."""

    def get_subscription_count(self) -> int:
        return 0

    def publish(self, message: bytes) -> None:
        raise AssertionError("nothing is published while warming up")


def test_warming_up_encodes_the_enabled_topics_and_publishes_nothing() -> None:
    encoded: dict[str, int] = {}

    def recorded(spec: OutputSpec) -> OutputSpec:
        def encode(result: Result, settings: Settings) -> bytes | None:
            message = spec.encode(result, settings)
            encoded[spec.name] = len(message or b"")
            return message

        return replace(spec, encode=encode)

    outputs = OutputSet(lambda *_: _Silent(), lambda *_: None, [recorded(spec) for spec in OUTPUTS])
    chosen = Settings(publish_points=False)
    outputs.warm_up(chosen, nominal_rig(chosen))
    assert {"markers", "octomap_binary", "octomap_full", "occupancy_grid", "grid"} <= encoded.keys()
    assert "points" not in encoded and min(encoded[name] for name in ("markers", "octomap_full", "grid")) > 100
    assert outputs.latest is None


def _passes(times: list[float], rate: float) -> int:
    limit, count = RateLimit(), 0
    for now in times:
        if limit.is_due(rate, now):
            limit.passed(rate, now)
            count += 1
    return count


@given(st.lists(st.floats(0.0, 0.3), min_size=1, max_size=200), st.floats(0.5, 50.0))
def test_the_rate_is_never_exceeded_for_long(gaps: list[float], rate: float) -> None:
    times = (1000.0 + np.cumsum(gaps)).tolist()
    assert _passes(times, rate) <= rate * (times[-1] - times[0]) + 2


def test_jitter_does_not_halve_an_input_of_the_same_rate() -> None:
    rng = np.random.default_rng(0)
    times = (1000.0 + np.arange(200) * 0.1 + rng.uniform(-0.008, 0.008, 200)).tolist()
    assert _passes(times, 10.0) >= 198
    assert _passes(times, 5.0) == pytest.approx(100, abs=2)
    assert _passes(times, 3.0) == pytest.approx(60, abs=8)
    assert _passes(times, 0.0) == 200


def test_a_pose_is_built_from_a_quaternion_or_from_roll_pitch_yaw() -> None:
    expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    for rotation in ((0.0, 0.0, np.pi / 2), (0.0, 0.0, 2.0, 2.0)):
        np.testing.assert_allclose(pose_of((1, 2, 3), rotation), expected, atol=1e-12)


def test_the_default_rotation_is_a_level_camera_looking_along_x() -> None:
    pose = pose_of((0, 0, 0), Settings().camera_from_grid_rotation)
    np.testing.assert_allclose(pose[:3, :3], [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-15)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 20), st.integers(0, 10))
def test_region_and_binning_move_pixels_as_the_camera_does(binning: int, x: int, y: int) -> None:
    info = CameraInfo(width=640, height=480, binning_x=binning, binning_y=binning)
    info.p = [500.0, 0.0, 320.0, -50.0, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.roi.width, info.roi.height, info.roi.x_offset, info.roi.y_offset = 480, 360, x, y
    camera = camera_of(info, "left/camera_info")
    assert (camera.width, camera.height) == (480 // binning, 360 // binning)
    point = np.array([0.3, -0.2, 4.0, 1.0])
    full = np.asarray(info.p).reshape(3, 4) @ point
    here = camera.projection @ point
    # the middle of a binned pixel is the middle of its full-size pixels
    requested = (full[:2] / full[2] - (x, y) + 0.5) / binning - 0.5
    np.testing.assert_allclose(here[:2] / here[2], requested, atol=0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -500.0])
def test_invalid_focal_lengths_are_rejected(value: float) -> None:
    info = CameraInfo(width=640, height=480)
    info.p = [value, 0.0, 320.0, 0.0, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    with pytest.raises(NamedError, match="right/camera_info") as refusal:
        camera_of(info, "right/camera_info")
    assert refusal.value.name == "intrinsics" and refusal.value.remedy
