"""The rig of a bag: choice of the pair, grid frame, body frames, moving cameras, raw or rectified images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import raytraced
from helpers.bags import OPTICAL, START, Recorder
from helpers.raytraced import BASELINE, HEIGHT, WIDTH, intrinsics, lens_rays, pair, pinhole_rays

from occdepth_ros.errors import CalibrationError, SourceError
from occdepth_ros.sources import SourceOptions, StereoSource, open_source
from occdepth_ros.sources.bags.topics import stereo_candidates
from occdepth_ros.sources.grid_frames import grid_frame_candidates, is_base_frame
from occdepth_ros.stereo.calibration.extrinsics_checks import CameraPose

SIZE = (WIDTH, HEIGHT)
K = intrinsics()
NONE = np.array([0.0, 0, 0, 1])


def about_z(degrees: float) -> np.ndarray:
    half = np.deg2rad(degrees) / 2
    return np.array([0, 0, np.sin(half), np.cos(half)])


def record(
    bag: Recorder,
    root: str = "",
    *,
    frame: str = "left_optical",
    name: str = "image_rect",
    p: np.ndarray = K,
    k: np.ndarray | None = None,
    d: tuple[float, ...] = (),
    model: str = "plumb_bob",
    baseline: float = BASELINE,
    size: tuple[int, int] = SIZE,
    rays: np.ndarray | None = None,
    stamp: int = START,
    right_frame: str = "",
) -> None:
    images = pair(pinhole_rays(K) if rays is None else rays)
    for side, image, x in (("left", images[0], 0.0), ("right", images[1], baseline)):
        matrix = raytraced.projection(p, x)
        bag.info(f"{root}/{side}/camera_info", matrix, stamp, d=d, k=p if k is None else k, size=size, model=model)
        bag.image(f"{root}/{side}/{name}", image, stamp, (side == "right" and right_frame) or frame)


def names(source: StereoSource) -> set[str]:
    return {warning.name for warning in source.description.warnings}


@pytest.mark.parametrize(
    "base", ["base_link", "robot1/base_link", "/base_link", "body", "chassis_link", "robot1_base_link"]
)
def test_base_frames_of_robots_carry_the_grid(tmp_path: Path, base: str) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, base, "left_optical", np.array([0.4, 0, 1.1]), OPTICAL)
        record(bag)
    source = open_source(tmp_path / "bag")
    assert source.grid_frame == base.lstrip("/")
    assert CameraPose.of(source.rig.left_from_grid).height == pytest.approx(1.1)
    assert "TF" in source.description.pose and names(source) == set()


def test_another_grid_frame_can_be_requested(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, "base_link", "left_optical", np.array([0.4, 0, 1.1]), OPTICAL)
        bag.tf("/tf_static", START, "base_link", "deck", np.array([0, 0, 0.5]), NONE)
        record(bag)
    source = open_source(tmp_path / "bag", SourceOptions(grid_frame="deck"))
    assert source.grid_frame == "deck"
    assert CameraPose.of(source.rig.left_from_grid).height == pytest.approx(0.6)
    with pytest.raises(SourceError, match=r"'roof'.*base_link, deck, left_optical"):
        open_source(tmp_path / "bag", SourceOptions(grid_frame="roof"))


@pytest.mark.parametrize(("distance", "expected"), [(BASELINE, set()), (2 * BASELINE, {"baseline_contradicts_tf"})])
def test_a_baseline_that_contradicts_the_frames_of_the_cameras_is_named(
    tmp_path: Path, distance: float, expected: set[str]
) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, "base_link", "left_optical", np.array([0.4, 0.1, 1.1]), OPTICAL)
        bag.tf("/tf_static", START, "base_link", "right_optical", np.array([0.4, 0.1 - distance, 1.1]), OPTICAL)
        record(bag, right_frame="right_optical")
    source = open_source(tmp_path / "bag")
    assert names(source) == expected
    assert not expected or "0.3 m, the frames of the cameras are 0.6 m apart" in str(source.description.warnings[0])


def test_without_tf_the_assumed_pose_is_named(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        record(bag)
    source = open_source(tmp_path / "bag")
    assert names(source) == {"no_tf"} and "assumption" in source.description.pose


def test_images_in_a_body_frame_look_along_its_x_axis(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, "base_link", "camera_link", np.array([0.4, 0, 1.1]), NONE)
        record(bag, frame="camera_link")
    source = open_source(tmp_path / "bag")
    assert names(source) == {"body_frame"}
    assert "camera_link" in str(source.description.warnings[0])
    assert CameraPose.of(source.rig.left_from_grid).pitch == pytest.approx(0, abs=1e-6)


def test_the_pair_with_most_of_the_grid_in_view_is_chosen(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        for name, yaw in (("back", 180.0), ("front", 0.0), ("left", 90.0)):
            bag.tf("/tf_static", START, "base_link", f"{name}_link", np.array([0, 0, 1.0]), about_z(yaw))
            bag.tf("/tf_static", START, f"{name}_link", f"{name}_optical", np.zeros(3), OPTICAL)
            record(bag, f"/{name}_camera", frame=f"{name}_optical")
    source = open_source(tmp_path / "bag")
    assert source.description.images.startswith("/front_camera/left/image_rect")
    assert "most of the grid" in source.description.choice and "/back_camera" in source.description.choice
    assert names(source) == set()
    other = open_source(tmp_path / "bag", SourceOptions(topics="back_camera"))
    assert other.description.images.startswith("/back_camera/left")
    topics = SourceOptions(left="/left_camera/left/image_rect", right="/left_camera/right/image_rect")
    assert open_source(tmp_path / "bag", topics).description.images.startswith("/left_camera/left")
    with pytest.raises(SourceError, match=r"no image topic /x.*front_camera"):
        open_source(tmp_path / "bag", SourceOptions(left="/x"))
    with pytest.raises(SourceError, match=r"matches 'roof'.*back_camera"):
        open_source(tmp_path / "bag", SourceOptions(topics="roof"))


def test_indistinguishable_pairs_are_reported(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        for name in ("back", "front"):
            record(bag, f"/{name}_camera")
    assert "several_pairs" in names(open_source(tmp_path / "bag"))


def test_cameras_without_a_baseline_are_no_pair_where_there_is_one(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        record(bag, "/arm", baseline=0.0)
        record(bag, "/zed")
    source = open_source(tmp_path / "bag")
    assert source.description.images.startswith("/zed/left") and "plausible baseline" in source.description.choice


def test_the_pose_of_moving_cameras_is_that_of_each_pair(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, "pan_link", "left_optical", np.zeros(3), OPTICAL)
        for i in range(3):
            stamp = START + i * 100_000_000
            bag.tf("/tf", stamp, "base_link", "pan_link", np.array([0, 0, 1.0]), about_z(10.0 * i))
            record(bag, stamp=stamp)
    source = open_source(tmp_path / "bag")
    assert "moving" in source.description.pose
    for i in range(3):
        rig = source[i].rig
        assert rig is not None
        ahead = np.linalg.inv(rig.left_from_grid)[:3, 2]
        np.testing.assert_allclose(ahead, [np.cos(np.deg2rad(10 * i)), np.sin(np.deg2rad(10 * i)), 0], atol=1e-6)


def test_transforms_that_end_before_the_images_are_named(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        bag.tf("/tf_static", START, "pan_link", "left_optical", np.zeros(3), OPTICAL)
        for i in range(2):
            bag.tf("/tf", START + i * 100_000_000, "base_link", "pan_link", np.array([0, 0, 1.0]), NONE)
        for i in range(3):
            record(bag, stamp=START + i * 2_000_000_000)
    warning = next(w for w in open_source(tmp_path / "bag").description.warnings if w.name == "old_tf")
    assert "'pan_link'" in warning.what and "2 of 3 pairs" in warning.what and "3.9 s" in warning.what


@pytest.mark.parametrize("slash", ["/", ""])
def test_rectified_images_named_raw_are_used_as_they_are_with_and_without_a_slash(tmp_path: Path, slash: str) -> None:
    lens = {"d": (-0.3, 0.1, 0.0, 0.0, 0.0), "k": intrinsics(190.0, 180.0, 118.0)}
    with Recorder(tmp_path / "bag", "sqlite3") as bag:
        record(bag, f"{slash}kitti/camera", name="image_raw", **lens)  # type: ignore[arg-type]
    source = open_source(tmp_path / "bag")
    np.testing.assert_array_equal(source[0].left, pair(pinhole_rays(K))[0])
    assert "raw_or_rectified" in names(source)


def test_raw_images_without_distortion_are_mapped_from_k_to_p(tmp_path: Path) -> None:
    other = intrinsics(140.0, 150.0, 95.0)
    with Recorder(tmp_path / "bag", "mcap") as bag:
        record(bag, name="image_raw", p=other, k=K, d=(0.0,) * 5)
    found = open_source(tmp_path / "bag")[0].left[30:-30, 40:-40].astype(int)
    assert np.abs(found - pair(pinhole_rays(other))[0][30:-30, 40:-40]).mean() < 7


def test_fisheye_images_under_an_alias_are_rectified_and_unknown_models_refused(tmp_path: Path) -> None:
    d, p = (-0.01, 0.04, -0.04, 0.008), intrinsics(150.0)
    rays = lens_rays(K, d, fisheye=True)
    for model in ("kannala_brandt4", "double_sphere"):
        with Recorder(tmp_path / model, "mcap") as bag:
            record(bag, name="image_raw", p=p, k=K, d=d, model=model, rays=rays)
    found = open_source(tmp_path / "kannala_brandt4")[0].left[30:-30, 40:-40].astype(int)
    assert np.abs(found - pair(pinhole_rays(p))[0][30:-30, 40:-40]).mean() < 7
    with pytest.raises(CalibrationError, match="double_sphere"):
        open_source(tmp_path / "double_sphere")


def test_camera_info_without_a_size_takes_that_of_the_image(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        record(bag, size=(0, 0))
    assert open_source(tmp_path / "bag").rig.left.width == WIDTH


def test_a_baseline_in_millimetres_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag", "mcap") as bag:
        record(bag, baseline=1000 * BASELINE)
    with pytest.raises(CalibrationError, match=r"300 m.*millimetres"):
        open_source(tmp_path / "bag")


def test_options_of_topics_are_refused_for_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no topics"):
        open_source("sample", SourceOptions(left="/left/image"))
    with pytest.raises(SourceError, match="'velodyne', not 'base'"):
        open_source("sample", SourceOptions(grid_frame="base"))


def test_one_topic_with_and_without_a_slash() -> None:
    image, info = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
    kinds = {"left/image": image, "/right/image": image, "/left/camera_info": info, "right/camera_info": info}
    found = stereo_candidates(kinds, "bag")[0]
    assert (found.left, found.right_info) == ("/left/image", "/right/camera_info")


def test_the_image_without_camera_info_is_named() -> None:
    image, info = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
    kinds = {"/left/image": image, "/right/image": image, "/left/camera_info": info}
    with pytest.raises(
        SourceError, match=r"no camera_info topic belongs to /right/image \(CameraInfo: /left/camera_info"
    ):
        stereo_candidates(kinds, "bag")


def test_the_order_of_grid_frames() -> None:
    frames = {"a/base_link", "base_footprint", "velodyne", "odom", "b_base_link"}
    assert list(grid_frame_candidates(frames)) == ["velodyne", "base_footprint", "a/base_link", "b_base_link"]
    assert is_base_frame("spot1/body") and is_base_frame("x_base_link") and not is_base_frame("velodyne")
