"""Calibration and poses next to a symbolic link, byte order marks, missing entries, and gaps in frame numbers."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import kitti_odometry, kitti_raw, lidar_poses, pose_of

from occdepth_ros.errors import CalibrationError
from occdepth_ros.sources import open_source
from occdepth_ros.sources.layouts.links import relative_file


def test_poses_next_to_a_link_are_found_by_the_name_of_the_link(tmp_path: Path) -> None:
    target = kitti_odometry(tmp_path / "disk" / "colour_00")
    data = tmp_path / "dataset"
    for folder in ("sequences", "poses"):
        (data / folder).mkdir(parents=True)
    (target / "poses.txt").rename(data / "poses" / "00.txt")
    link = data / "sequences" / "00"
    link.symlink_to(os.path.relpath(target, link.parent))
    np.testing.assert_allclose(pose_of(open_source(link)[2]), lidar_poses(3)[2], atol=1e-9)


def test_poses_next_to_the_target_of_a_link_are_found(tmp_path: Path) -> None:
    target = kitti_odometry(tmp_path / "dataset" / "sequences" / "00")
    (tmp_path / "dataset" / "poses").mkdir()
    (target / "poses.txt").rename(tmp_path / "dataset" / "poses" / "00.txt")
    link = tmp_path / "latest"
    link.symlink_to(target)
    np.testing.assert_allclose(pose_of(open_source(link)[2]), lidar_poses(3)[2], atol=1e-9)


@pytest.mark.parametrize("calibrated", ["link", "target"])
def test_a_raw_drive_behind_a_link_is_calibrated(tmp_path: Path, calibrated: str) -> None:
    name = "2011_09_26_drive_0005_sync"
    target = kitti_raw(tmp_path / "disk" / "day" / name)
    link = tmp_path / "2011_09_26" / name
    link.parent.mkdir()
    link.symlink_to(target)
    if calibrated == "link":
        for file in target.parent.glob("calib_*.txt"):
            file.rename(link.parent / file.name)
    np.testing.assert_allclose(pose_of(open_source(link)[2]), lidar_poses(3)[2], atol=1e-4)


def test_the_place_of_the_link_precedes_that_of_its_target(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    link = tmp_path / "a" / "link"
    link.symlink_to(tmp_path / "b" / "inner")
    assert relative_file(link, "../file") == tmp_path / "a" / "file"
    (tmp_path / "a" / "file").unlink()
    assert relative_file(link, "../file") == tmp_path / "b" / "file"
    assert relative_file(link, "../no_file") is None


@pytest.mark.parametrize(("mark", "encoding"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")])
def test_a_byte_order_mark_is_no_part_of_the_first_entry(tmp_path: Path, mark: bytes, encoding: str) -> None:
    sequence = kitti_odometry(tmp_path / "00")
    expected = open_source(sequence).rig.fingerprint
    for name in ("calib.txt", "times.txt", "poses.txt"):
        lines = (sequence / name).read_text().splitlines()
        text = "\r\n".join(reversed(lines) if name == "calib.txt" else lines)
        (sequence / name).write_bytes(mark + text.encode(encoding))
    assert open_source(sequence).rig.fingerprint == expected


@pytest.mark.parametrize(
    ("key", "expected_text", "absent_text"),
    [("P2", ["P2 is missing", "data_odometry_calib"], "lacks Tr"), ("Tr", ["Tr is missing", "lacks Tr"], "P0 to P3")],
)
def test_a_missing_entry_has_its_own_remedy(
    tmp_path: Path, key: str, expected_text: list[str], absent_text: str
) -> None:
    sequence = kitti_odometry(tmp_path / "00")
    file = sequence / "calib.txt"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith(key)))
    with pytest.raises(CalibrationError) as caught:
        open_source(sequence)
    assert all(words in str(caught.value) for words in [*expected_text, str(file)])
    assert absent_text not in str(caught.value)


def test_gaps_in_frame_numbers_are_gaps_in_time(tmp_path: Path) -> None:
    sequence = kitti_odometry(tmp_path / "00", 4)
    (sequence / "times.txt").unlink()
    (sequence / "poses.txt").unlink()
    for side in ("image_2", "image_3"):
        (sequence / side / "000002.png").unlink()
        for path in sorted((sequence / side).iterdir()):
            path.rename(path.with_name(f"{int(path.stem) + 100:06d}.png"))
    source = open_source(sequence)
    assert [source[i].stamp_ns for i in range(3)] == [0, 100_000_000, 300_000_000]
