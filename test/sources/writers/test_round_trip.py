"""Round trips: a sequence that is written as a recording or as a KITTI folder reads back equal."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.sequences import kitti_odometry, pose_of
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.interfaces import ConnectionExtRosbag2, QosDurability
from rosbags.rosbag2 import Reader
from scipy.spatial.transform import Rotation

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import OutputError
from occdepth_ros.sources.bags.source import BagSequence
from occdepth_ros.sources.base import SceneGroundTruth, SourceDescription, StereoFrame, StereoSource
from occdepth_ros.sources.factory import open_source
from occdepth_ros.sources.layouts.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.writers.bag import write_bag
from occdepth_ros.sources.writers.kitti import write_kitti

WIDTH, HEIGHT = 32, 20
OPTICAL = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])


@dataclasses.dataclass
class MemorySource:
    """A `StereoSource` of frames in memory."""

    frames: list[StereoFrame]
    rig: StereoRig
    grid_frame: str = "velodyne"
    name: str = "memory"
    description: SourceDescription = dataclasses.field(default_factory=SourceDescription)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> StereoFrame:
        return self.frames[index]

    def ground_truth(self, index: int) -> SceneGroundTruth | None:
        return None

    def period_s(self) -> float:
        return 0.1


def rotation(vector: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(Rotation.from_rotvec(vector).as_matrix())


@st.composite
def poses(draw: st.DrawFn, reach: float = 1e5, turn: float = 3.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = rotation(draw(st.tuples(*[st.floats(-turn, turn)] * 3)))
    pose[:3, 3] = draw(st.tuples(*[st.floats(-reach, reach)] * 3))
    return pose


@st.composite
def rigs(draw: st.DrawFn) -> StereoRig:
    f = draw(st.floats(20, 4000))
    cx, cy = draw(st.floats(0.4, 0.55)) * WIDTH, draw(st.floats(0.4, 0.55)) * HEIGHT
    offset, baseline = draw(st.floats(-0.2, 0.2)), draw(st.floats(0.05, 1.5))
    pose = draw(poses(reach=5, turn=0.1))
    pose[:3, :3] = pose[:3, :3] @ OPTICAL
    projections = [np.array([[f, 0, cx, f * tx], [0, f, cy, 0], [0, 0, 1, 0]]) for tx in (offset, offset - baseline)]
    left, right = (PinholeCamera(p, WIDTH, HEIGHT) for p in projections)
    return StereoRig(left, right, pose)


@st.composite
def sources(draw: st.DrawFn, *, grey: bool) -> MemorySource:
    seed, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(2, 4))
    start, steps = draw(st.integers(0, 2_100_000_000_000_000_000)), draw(st.lists(st.integers(1, 10**9), min_size=4))
    stamps = start + np.cumsum(steps[:count])
    rng = np.random.default_rng(seed)
    frames = []
    for index, stamp in enumerate(stamps):
        images = rng.integers(0, 256, (2, HEIGHT, WIDTH, 1 if grey else 3), np.uint8)
        left, right = np.broadcast_to(images, (2, HEIGHT, WIDTH, 3))
        frames.append(StereoFrame(f"{index:06d}", int(stamp), left, right, draw(poses()), grey=grey))
    return MemorySource(frames, draw(rigs()))


def assert_same_frames(found: StereoSource, expected: StereoSource) -> None:
    assert len(found) == len(expected)
    for index in range(len(expected)):
        a, b = found[index], expected[index]
        assert a.stamp_ns == b.stamp_ns
        assert a.grey == b.grey
        np.testing.assert_array_equal(a.left, b.left)
        np.testing.assert_array_equal(a.right, b.right)
        assert (a.world_from_grid is None) == (b.world_from_grid is None)
        if a.world_from_grid is not None and b.world_from_grid is not None:
            np.testing.assert_allclose(a.world_from_grid, b.world_from_grid, rtol=1e-12, atol=1e-6)


def assert_same_rig(found: StereoRig, expected: StereoRig) -> None:
    a, b = found.referenced_to_left(), expected.referenced_to_left()
    for name in ("left", "right"):
        p, q = getattr(a, name).projection, getattr(b, name).projection
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.reference_from_grid, b.reference_from_grid, rtol=0, atol=1e-7)
    assert (a.left.width, a.left.height) == (b.left.width, b.left.height)


@settings(max_examples=15, deadline=None)
@given(sources(grey=False) | sources(grey=True), st.booleans())
def test_a_recording_holds_images_stamps_calibration_and_poses(source: MemorySource, compressed: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        write_bag(Path(place) / "bag", source, source.frames, compressed=compressed)
        found = BagSequence(Path(place) / "bag")
        assert found.grid_frame == "velodyne"
        assert_same_frames(found, source)
        assert_same_rig(found.rig, source.rig)


@settings(max_examples=15, deadline=None)
@given(sources(grey=False) | sources(grey=True))
def test_a_kitti_folder_holds_images_stamps_calibration_and_poses(source: MemorySource) -> None:
    with tempfile.TemporaryDirectory() as place:
        write_kitti(Path(place) / "00", source, source.frames)
        found = open_kitti_odometry(Path(place) / "00")
        assert_same_frames(found, source)
        np.testing.assert_array_equal(found.rig.left.projection, source.rig.left.projection)
        np.testing.assert_array_equal(found.rig.right.projection, source.rig.right.projection)
        np.testing.assert_array_equal(found.rig.reference_from_grid, source.rig.reference_from_grid)


def test_the_sample_goes_to_a_recording_and_back(tmp_path: Path) -> None:
    source = open_source()
    frames = [source[index] for index in range(3)]
    write_bag(tmp_path / "bag", source, frames)
    bag = open_source(tmp_path / "bag")
    write_kitti(tmp_path / "00", bag, [bag[index] for index in range(3)])
    back = open_source(tmp_path / "00")
    assert len(back) == 3
    assert_same_rig(back.rig, source.rig)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(back[index].left, frame.left)
        np.testing.assert_array_equal(back[index].right, frame.right)
        assert back[index].stamp_ns == frame.stamp_ns
        np.testing.assert_allclose(pose_of(back[index]), pose_of(frame), atol=1e-6)


def test_moving_cameras_keep_their_pose_of_each_pair(tmp_path: Path) -> None:
    fixed = open_kitti_odometry(kitti_odometry(tmp_path / "00", 3))
    frames = []
    for index in range(3):
        pose = fixed.rig.reference_from_grid.copy()
        pose[0, 3] += 0.05 * index
        frames.append(dataclasses.replace(fixed[index], rig=dataclasses.replace(fixed.rig, reference_from_grid=pose)))
    write_bag(tmp_path / "bag", fixed, frames)
    found = BagSequence(tmp_path / "bag")
    for index, frame in enumerate(frames):
        rig = found[index].rig
        assert rig is not None and frame.rig is not None
        np.testing.assert_allclose(rig.left_from_grid, frame.rig.left_from_grid, atol=1e-6)
    with pytest.raises(OutputError, match="the cameras move"):
        write_kitti(tmp_path / "01", fixed, frames)


def test_frames_without_poses_give_no_pose_file_and_no_dynamic_transform(tmp_path: Path) -> None:
    (kitti_odometry(tmp_path / "00", 2) / "poses.txt").unlink()
    source = open_kitti_odometry(tmp_path / "00")
    write_bag(tmp_path / "bag", source, [source[0], source[1]])
    write_kitti(tmp_path / "01", source, [source[0], source[1]])
    assert not (tmp_path / "01" / "poses.txt").exists()
    assert BagSequence(tmp_path / "bag")[0].world_from_grid is None


def test_a_recording_has_the_topics_of_the_replay_and_latches_static_transforms(tmp_path: Path) -> None:
    source = open_kitti_odometry(kitti_odometry(tmp_path / "00", 2))
    write_bag(tmp_path / "bag", source, [source[0], source[1]])
    with Reader(tmp_path / "bag") as reader:
        topics = {connection.topic: connection for connection in reader.connections}
        order = [connection.topic for connection, _, _ in reader.messages()]
    sides = [f"/{side}/{name}" for name in ("camera_info", "image_rect") for side in ("left", "right")]
    assert set(topics) == {"/tf", "/tf_static", *sides}
    extension = topics["/tf_static"].ext
    assert isinstance(extension, ConnectionExtRosbag2)
    profile = extension.offered_qos_profiles[0]
    assert profile.durability is QosDurability.TRANSIENT_LOCAL
    assert order == ["/tf_static", "/tf", *sides, "/tf", *sides]
    about = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert about["storage_identifier"] == "mcap"
    assert [(tmp_path / "bag" / name).is_file() for name in about["relative_file_paths"]] == [True]


def test_a_calibration_that_kitti_readers_refuse_is_refused_before_writing(tmp_path: Path) -> None:
    folder = open_kitti_odometry(kitti_odometry(tmp_path / "00", 2))
    source = MemorySource([folder[0]], folder.rig.cropped(60, 48))
    with pytest.raises(OutputError, match="--to mcap"):
        write_kitti(tmp_path / "01", source, [source[0]])
    assert not (tmp_path / "01").exists()


def test_a_time_that_ros_cannot_represent_is_named(tmp_path: Path) -> None:
    source = open_kitti_odometry(kitti_odometry(tmp_path / "00", 2))
    with pytest.raises(OutputError, match="does not fit a ROS time stamp"):
        write_bag(tmp_path / "bag", source, [dataclasses.replace(source[0], stamp_ns=3_000_000_000_000_000_000)])
