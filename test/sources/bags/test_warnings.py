"""Recordings whose stamps, transforms or calibrations contradict themselves are named."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import BASELINE, make_image, projection

from occdepth_ros.errors import SourceError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.bags.tf import TransformTree
from occdepth_ros.sources.base import SourceOptions

pytest.importorskip("rosbags", reason="no rosbags: bags cannot be read")
from helpers.bags import START, Recorder, stereo

SECOND = 1_000_000_000
UNIT = (0.0, 0.0, 0.0, 1.0)
TOPICS = ("/left/image_rect", "/right/image_rect")


@pytest.mark.parametrize(
    ("row", "expected_text"),
    [
        ((0.0, 0.0, float("nan"), *UNIT), "is not a finite pose"),
        ((0.0, 0.0, 1e300, *UNIT), "is not a finite pose"),
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), "quaternion of zeros: it is not used"),
    ],
)
def test_transforms_that_are_no_pose_are_left_out_and_named(row: tuple[float, ...], expected_text: str) -> None:
    tree = TransformTree()
    tree.add("base_link", "camera", 0, row)
    assert tree.pose("base_link", "camera", 0) is None
    assert expected_text in str(tree.warnings[0])


def test_a_quaternion_that_is_not_normalized_is_used_and_named() -> None:
    tree = TransformTree()
    tree.add("base_link", "camera", 0, (1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 2.0))
    pose = tree.pose("base_link", "camera", 0)
    assert pose is not None
    np.testing.assert_allclose(pose[:3], [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3]], atol=1e-12)
    assert "norm 2: it is normalized" in str(tree.warnings[0])


def test_loops_and_second_parents_are_named_and_the_first_parent_counts() -> None:
    tree = TransformTree()
    for parent, child in (("base_link", "mast"), ("mast", "camera"), ("camera", "base_link"), ("other", "camera")):
        tree.add(parent, child, 0, (1.0, 0.0, 0.0, *UNIT))
    texts = " ".join(map(str, tree.warnings))
    assert "'camera' to 'base_link' closes a loop" in texts and "contradicts the parent 'mast'" in texts
    pose = tree.pose("base_link", "camera", 0)
    assert pose is not None and pose[0, 3] == 2.0


def test_frames_without_a_name_are_not_blamed_on_tf(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        bag.tf("/tf_static", START, "base_link", "camera", np.zeros(3), np.array(UNIT))
        for topic, tx in zip(TOPICS, (0.0, -BASELINE), strict=True):
            bag.image(topic, make_image(0), START, "")
            bag.info(topic.replace("image_rect", "camera_info"), projection(tx), START, frame="")
    (warning,) = (w for w in open_source(tmp_path / "drive").description.warnings if w.name == "no_tf")
    assert "neither the left images nor their CameraInfo have a frame_id" in str(warning)


def test_clocks_and_calibrations_that_change_are_named(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for i, stamp in enumerate((100, 101, 40, 41)):
            for side, tx in (("left", 0.0), ("right", -BASELINE)):
                p = projection(tx)
                if i == 3:
                    p[0, 2] += 5
                bag.late = (i - stamp + 1000) * SECOND
                bag.image(f"/{side}/image_rect", make_image(i), stamp * SECOND, "camera")
                bag.info(f"/{side}/camera_info", p, stamp * SECOND)
    found = {warning.name: str(warning) for warning in open_source(tmp_path / "drive").description.warnings}
    assert "the stamps go back by 61.0 s after image 1" in found["clock_jump"]
    assert "the first one is used" in found["calibration_changes"]


def test_calibrations_that_differ_in_the_padding_of_their_streams_do_not_change(tmp_path: Path) -> None:
    # one to three bytes after the frame, "camera" and a zero, are padding, which rmw implementations do not set
    def fill(padding: int, data: bytes) -> bytes:
        return data.replace(b"camera\0\0", b"camera\0" + bytes([padding]), 1)

    with Recorder(tmp_path / "drive", "mcap") as bag:
        for i in range(3):
            for side, tx in (("left", 0.0), ("right", -BASELINE)):
                bag.image(f"/{side}/image_rect", make_image(i), i * SECOND, "camera")
                bag.alter = partial(fill, i)
                bag.info(f"/{side}/camera_info", projection(tx), i * SECOND)
                bag.alter = bytes
    source = open_source(tmp_path / "drive")
    assert source.rig.baseline == pytest.approx(BASELINE)
    assert "calibration_changes" not in {warning.name for warning in source.description.warnings}


@pytest.mark.parametrize(("late", "is_named"), [(SECOND, True), (-1_000_000, False)])
def test_stamps_of_0_are_named_unless_the_recording_itself_starts_at_0(
    tmp_path: Path, late: int, is_named: bool
) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx in (("left", 0.0), ("right", -BASELINE)):
            bag.late = late  # images are recorded 1 ms after `stamp + late`
            bag.image(f"/{side}/image_rect", make_image(0), 0, "camera")
            bag.late = 0
            bag.info(f"/{side}/camera_info", projection(tx), 0)
    warnings = open_source(tmp_path / "drive").description.warnings
    assert ("no_stamp" in {warning.name for warning in warnings}) == is_named


def test_zeros_before_the_calibration_are_named_and_the_calibration_is_used(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for i in range(3):
            for side, tx in (("left", 0.0), ("right", -BASELINE)):
                bag.image(f"/{side}/image_rect", make_image(i), i * SECOND, "camera")
                bag.info(f"/{side}/camera_info", projection(tx) * (i > 0), i * SECOND)
    source = open_source(tmp_path / "drive")
    assert source.rig.baseline == pytest.approx(BASELINE)
    found = [str(warning) for warning in source.description.warnings if warning.name == "calibration_late"]
    assert len(found) == 2 and "P is all zeros" in found[0]
    assert "calibration_changes" not in {warning.name for warning in source.description.warnings}


def test_cameras_with_different_clocks_are_named(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        for side, tx, start in (("left", 0.0, START), ("right", -BASELINE, 5 * SECOND)):
            bag.image(f"/{side}/image_rect", make_image(0), start, "camera")
            bag.info(f"/{side}/camera_info", projection(tx), start)
    with pytest.raises(SourceError, match="stamped by different clocks"):
        open_source(tmp_path / "drive")


def test_one_topic_for_both_sides_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", "mcap") as bag:
        stereo(bag, *TOPICS)
    with pytest.raises(SourceError, match="given for both sides"):
        open_source(tmp_path / "drive", SourceOptions(left=TOPICS[0], right=TOPICS[0]))


def test_a_git_lfs_pointer_is_no_damaged_bag(tmp_path: Path) -> None:
    (tmp_path / "drive.mcap").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(SourceError, match=r"Git LFS pointer.*git lfs pull"):
        open_source(tmp_path / "drive.mcap")
