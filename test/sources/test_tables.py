"""Text tables of poses and times: formats that are read, and those that are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.tables import read_calibration, read_poses, read_times

POSE = "1 0 0 {0} 0 1 0 0 0 0 1 0"


def test_poses_of_three_and_of_four_rows_are_equal(tmp_path: Path) -> None:
    three, four = tmp_path / "three.txt", tmp_path / "four.txt"
    lines = [POSE.format(i) for i in range(3)]
    three.write_text("# x of every frame\n\n" + "\n".join(lines))
    four.write_text("\r\n".join(f"{line} 0 0 0 1" for line in lines))
    np.testing.assert_array_equal(read_poses(three), read_poses(four))


@pytest.mark.parametrize(
    ("text", "expected_text"),
    [
        ("0.1 0 0 0 0 0 0 1", "the format of TUM"),
        ("7 " + POSE.format(0), "a frame number and a 3x4 matrix"),
        ("7 " + POSE.format(0) + " 0 0 0 1", "KITTI-360"),
        ("1 0 0 0 0 1 0 0 0 0 1 0 5 5 5 1", "column by column"),
        (POSE.format(0) + "\n" + POSE.format(0) + " 0 0 0 1", "16 numbers, not 12"),
        (POSE.format("0,5"), "decimal points"),
        (POSE.format(0).replace("1", "2"), "without scale"),
    ],
)
def test_other_poses_are_refused_with_their_format(tmp_path: Path, text: str, expected_text: str) -> None:
    (tmp_path / "poses.txt").write_text(text)
    with pytest.raises(SourceError, match=expected_text):
        read_poses(tmp_path / "poses.txt")


@pytest.mark.parametrize(("period", "unit"), [(33, "milliseconds"), (100_000, "microseconds"), (10**8, "nanoseconds")])
def test_times_in_another_unit_are_named(tmp_path: Path, period: int, unit: str) -> None:
    (tmp_path / "times.txt").write_text("".join(f"{period * frame}\n" for frame in range(5)))
    with pytest.raises(SourceError, match=f"s apart: the times may be in {unit}"):
        read_times(tmp_path / "times.txt")


def test_separate_frames_ten_seconds_apart_are_read(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("0\n10\n20\n")
    assert read_times(tmp_path / "times.txt").tolist() == [0, 10**10, 2 * 10**10]


def test_times_may_have_comments(tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text("# seconds\n0\n0.1\n")
    assert read_times(tmp_path / "times.txt").tolist() == [0, 100_000_000]


def test_an_entry_of_two_calibrations_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calib.txt"
    file.write_text("P2: 1 2 3\nTr: 1 0\nP2: 1 2 3\n")
    assert read_calibration(file)["P2"].tolist() == [1, 2, 3]
    file.write_text("P2: 1 2 3\nTr: 1 0\nP2: 1 2 4\n")
    with pytest.raises(SourceError, match="P2 occurs twice, with different numbers"):
        read_calibration(file)
