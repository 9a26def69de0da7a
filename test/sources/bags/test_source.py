"""Bags in every container, with the topic names of common recorders and drivers."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.sequences import BASELINE, FOCAL, WIDTH, lidar_poses, make_image, pose_of, projection

from occdepth_ros.errors import CalibrationError, ImageError, OccDepthError, SourceError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.bags.topics import stereo_candidates
from occdepth_ros.sources.base import SizedSource

pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")
from helpers.bags import START, STYLES, Recorder, kitti_tf, stereo


@pytest.mark.parametrize("kind", ["ros1", "sqlite3", "mcap"])
def test_every_container(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("drive.bag" if kind == "ros1" else "drive")
    with Recorder(path, kind) as bag:
        kitti_tf(bag)
        unrectified = np.array([[120.0, 0, 90], [0, 120, 30], [0, 0, 1]])
        stereo(bag, *STYLES["kitti2bag raw"], frame="camera_color_left", d=(-0.37, 0.2, 0, 0, -0.07), k=unrectified)
    source = open_source(path)
    assert (len(source), source.grid_frame) == (3, "velo_link")
    assert source.rig.baseline == pytest.approx(BASELINE)
    assert source.rig.left.projection[0, 0] == FOCAL
    assert source.period_s() == pytest.approx(0.1)
    expected = np.array([[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]])
    np.testing.assert_allclose(source.rig.left_from_grid, expected, atol=1e-9)
    velo = np.eye(4)
    velo[:3, 3] = [0.8, -0.3, 1.73]
    for i in (2, 0, 1):
        frame = source[i]
        assert frame.stamp_ns == START + i * 100_000_000
        np.testing.assert_array_equal(frame.left, make_image(i))
        np.testing.assert_array_equal(frame.right, make_image(100 + i))
        np.testing.assert_allclose(pose_of(frame), lidar_poses(3)[i] @ velo, atol=1e-9)
    assert source.ground_truth(0) is None


def test_single_mcap_file(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        stereo(bag, *STYLES["this package"])
    file = next((tmp_path / "drive").glob("*.mcap"))
    np.testing.assert_array_equal(open_source(file)[1].left, make_image(1))


@pytest.mark.parametrize("style", STYLES)
def test_every_naming_opens(tmp_path: Path, style: str) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        stereo(bag, *STYLES[style], count=1)
    source = open_source(tmp_path / "drive")
    assert source.rig.baseline == pytest.approx(BASELINE)
    np.testing.assert_array_equal(source[0].right, make_image(100))
    # nothing is known of the mounting: level, at the camera
    np.testing.assert_allclose(source.rig.left_from_grid[:3, :3], [[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    assert source[0].world_from_grid is None


def test_rectified_colour_is_preferred(tmp_path: Path) -> None:
    kinds = {}
    for family in (
        "/gray/{}/image_rect",
        "/color/{}/image_raw",
        "/color/{}/image_rect",
        "/aaa/{}/image_rect/compressed",
    ):
        for side in ("left", "right"):
            topic = family.format(side)
            kinds[topic] = f"sensor_msgs/msg/{'CompressedImage' if 'compressed' in topic else 'Image'}"
            kinds[topic.split(f"/{side}/")[0] + f"/{side}/camera_info"] = "sensor_msgs/msg/CameraInfo"
    chosen = stereo_candidates(kinds, "bag")[0]
    assert (chosen.left, chosen.right_info) == ("/color/left/image_rect", "/color/right/camera_info")


def test_raw_images_with_distortion_are_rectified(tmp_path: Path) -> None:
    k = projection()[:, :3]
    smooth = cv2.GaussianBlur(make_image(0), (0, 0), 3)
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            bag.image(f"/{side}/image_raw", smooth, START, "camera")
            bag.info(f"/{side}/camera_info", projection(tx), START, d=(-0.2, 0.05, 0, 0, 0), k=k)
    frame = open_source(tmp_path / "drive")[0]
    expected = cv2.undistort(smooth, k, np.array([-0.2, 0.05, 0, 0, 0]), None, k)
    assert np.abs(frame.left.astype(int) - expected).max() <= 2
    assert np.abs(frame.left.astype(int) - smooth).max() > 10


def test_compressed_images_and_damage_in_them(tmp_path: Path) -> None:
    contents = cv2.imencode(".png", make_image(0)[..., ::-1])[1].tobytes()
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            bag.compressed(f"/{side}/image_rect/compressed", contents, START)
            bag.compressed(f"/{side}/image_rect/compressed", contents[:-500], START + 100_000_000)
            bag.info(f"/{side}/camera_info", projection(tx), START)
    source = open_source(tmp_path / "drive")
    np.testing.assert_array_equal(source[0].left, make_image(0))
    with pytest.raises(ImageError, match=r"left/image_rect.*cut off"):
        source[1]


def expect(path: Path, *words: str, error: type[OccDepthError] = SourceError) -> None:
    with pytest.raises(error) as caught:
        open_source(path)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_dropped_images_are_counted(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for i in range(8):
            stamp = START + round(i * 1e9 / 60)
            for side, tx in (("left", 0.0), ("right", -BASELINE)):
                if side == "left" or i % 2 == 0:
                    bag.image(f"/{side}/image_rect", make_image(i), stamp, "camera")
                    bag.info(f"/{side}/camera_info", projection(tx), stamp)
    source = open_source(tmp_path / "drive")
    assert len(source) == 4
    for i in range(4):
        np.testing.assert_array_equal(source[i].left, source[i].right)
    warning = source.description.warnings[0]
    assert warning.name == "dropped_images"
    assert "4 of 8 left and 0 of 4 right images have no partner within 6.7 ms (period 16.7 ms)" in str(warning)


@pytest.mark.parametrize("form", ["raw", "compressed"])
def test_the_sizes_of_all_images_are_checked_without_decoding(tmp_path: Path, form: str) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for i in range(3):
            stamp = START + i * 100_000_000
            for side, tx in (("left", 0.0), ("right", -BASELINE)):
                image = make_image(i)[:, : WIDTH - 2 if (side, i) == ("right", 1) else WIDTH]
                if form == "raw":
                    bag.image(f"/{side}/image_rect", np.ascontiguousarray(image), stamp, "camera")
                else:
                    contents = cv2.imencode(".jpg", image)[1].tobytes()
                    bag.compressed(f"/{side}/image_rect/compressed", contents, stamp, "jpeg")
                bag.info(f"/{side}/camera_info", projection(tx), stamp)
    source = open_source(tmp_path / "drive")
    assert isinstance(source, SizedSource)
    source.check_sizes([0, 2])
    with pytest.raises(ImageError, match=rf"1 of 6 images are not 160x48: right image of frame 1 \({WIDTH - 2}x48\)"):
        source.check_sizes(range(3))


def test_missing_topics_are_reported(tmp_path: Path) -> None:
    with Recorder(tmp_path / "mono", "mcap") as bag:
        bag.image("/kitti/camera_color_left/image_raw", make_image(0), START, "camera")
    expect(tmp_path / "mono", "no pair", "/kitti/camera_color_left/image_raw")
    with Recorder(tmp_path / "uncalibrated", "mcap") as bag:
        bag.image("/left/image_rect", make_image(0), START, "camera")
        bag.image("/right/image_rect", make_image(0), START, "camera")
    expect(tmp_path / "uncalibrated", "no camera_info", "CameraInfo: none")
    with Recorder(tmp_path / "unsynchronised", "mcap") as bag:
        for i, side in enumerate(("left", "right")):
            bag.image(f"/{side}/image_rect", make_image(0), START + i * 10**9, "camera")
            bag.info(f"/{side}/camera_info", projection(-i * BASELINE), START)
    expect(tmp_path / "unsynchronised", "none of 1 left and 1 right", "within 4.0 ms", "nearest differ by 1000.0 ms")


def test_unusable_calibrations(tmp_path: Path) -> None:
    for name, left, right in (("zeros", np.zeros((3, 4)), projection(-1)), ("swapped", projection(), projection(1))):
        with Recorder(tmp_path / name, "mcap") as bag:
            for side, p in (("left", left), ("right", right)):
                bag.image(f"/{side}/image_rect", make_image(0), START, "camera")
                bag.info(f"/{side}/camera_info", p, START)
    expect(tmp_path / "zeros", "left/camera_info", "not positive", error=CalibrationError)
    expect(tmp_path / "swapped", "baseline", "swapped", error=CalibrationError)


def test_without_rosbags_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drive.mcap").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    expect(tmp_path / "drive.mcap", "requires the package rosbags", "pip install rosbags")
