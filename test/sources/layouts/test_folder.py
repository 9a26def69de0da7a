"""Plain folders: calibration, times, poses, and the error for each malformed file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.sequences import BASELINE, HEIGHT, WIDTH, lidar_poses, make_image, pose_of, projection, row, save

from occdepth_ros.errors import CalibrationError, OccDepthError, SourceError
from occdepth_ros.sources import open_source

P = projection().ravel().tolist()
LEVEL = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "drive"
    for i, name in enumerate(("a", "b", "c")):
        save(path / "left" / f"{name}.png", make_image(i))
        save(path / "right" / f"{name}.png", make_image(100 + i))
    calibrate(path)
    return path


def calibrate(path: Path, **changes: Any) -> None:
    entries: dict[str, Any] = {
        "left": {"image_width": WIDTH, "image_height": HEIGHT, "projection_matrix": projection().ravel().tolist()},
        "baseline": BASELINE,
        "grid_frame": "base_link",
        "grid_from_left": {"translation": [0.3, 0.06, 1.2], "rotation": [-0.5, 0.5, -0.5, 0.5]},
    }
    entries.update(changes)
    text = yaml.safe_dump({key: value for key, value in entries.items() if value is not None})
    (path / "calibration.yaml").write_text(text)


def camera_info(path: Path, matrix: np.ndarray) -> None:
    """As ROS camera calibration writes it."""
    entries = {
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "camera_name": path.stem,
        "camera_matrix": {"rows": 3, "cols": 3, "data": matrix[:, :3].ravel().tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.0] * 5},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": np.eye(3).ravel().tolist()},
        "projection_matrix": {"rows": 3, "cols": 4, "data": matrix.ravel().tolist()},
    }
    path.write_text(yaml.safe_dump(entries))


def expect(path: Path, *words: str, error: type[OccDepthError] = CalibrationError) -> None:
    with pytest.raises(error) as caught:
        open_source(path)
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)


def test_baseline_and_pose_of_one_file(folder: Path) -> None:
    source = open_source(folder)
    assert (len(source), source.grid_frame) == (3, "base_link")
    assert source.rig.baseline == pytest.approx(BASELINE)
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = LEVEL, -LEVEL @ [0.3, 0.06, 1.2]
    np.testing.assert_allclose(source.rig.left_from_grid, expected, atol=1e-12)
    frame = source[2]
    assert (frame.name, frame.stamp_ns, frame.world_from_grid) == ("c", 200_000_000, None)
    np.testing.assert_array_equal(frame.left, make_image(2))
    np.testing.assert_array_equal(frame.right, make_image(102))


def test_the_example_in_the_documentation_is_valid(folder: Path) -> None:
    from occdepth_ros.sources.layouts import folder as module

    assert module.__doc__ is not None
    example = module.__doc__.partition("An example of calibration.yaml:\n")[2]
    for side in ("left", "right"):
        for path in (folder / side).iterdir():
            save(path, np.zeros((720, 1280, 3), np.uint8))
    (folder / "calibration.yaml").write_text(re.sub("^    ", "", example, flags=re.MULTILINE))
    assert open_source(folder).rig.baseline == pytest.approx(0.12)


def test_a_level_camera_is_assumed_without_a_pose(folder: Path) -> None:
    calibrate(folder, grid_from_left=None, grid_frame=None)
    source = open_source(folder)
    assert source.grid_frame == "velodyne"
    np.testing.assert_allclose(source.rig.left_from_grid[:3, :3], LEVEL, atol=1e-12)


def test_two_camera_info_files(folder: Path) -> None:
    (folder / "calibration.yaml").unlink()
    camera_info(folder / "left.yaml", projection())
    camera_info(folder / "right.yaml", projection(-BASELINE))
    assert open_source(folder).rig.baseline == pytest.approx(BASELINE)
    calibrate(folder, left="left.yaml", right="right.yaml", baseline=None)
    source = open_source(folder)
    assert source.rig.baseline == pytest.approx(BASELINE)
    assert source.rig.left_from_grid[0, 3] == pytest.approx(0.06)


def test_times_in_seconds_nanoseconds_or_file_names(folder: Path) -> None:
    file = folder / "timestamps.txt"
    file.write_text("1.5\n1.6\n1.75\n")
    assert [open_source(folder)[i].stamp_ns for i in range(3)] == [1_500_000_000, 1_600_000_000, 1_750_000_000]
    file.write_text("1403636579763555584\n1403636579813555456\n1403636579863555584\n")
    assert open_source(folder)[1].stamp_ns == 1403636579813555456
    file.unlink()
    for side in ("left", "right"):
        for path in sorted((folder / side).iterdir()):
            path.rename(path.with_name(f"140363657{'abc'.index(path.stem)}763555584.png"))
    assert open_source(folder)[2].stamp_ns == 1403636572763555584


def test_poses_need_one_line_per_frame(folder: Path) -> None:
    (folder / "poses.txt").write_text("".join(row(pose[:3]) + "\n" for pose in lidar_poses(3)))
    np.testing.assert_allclose(pose_of(open_source(folder)[2]), lidar_poses(3)[2], atol=1e-12)
    (folder / "poses.txt").write_text(row(np.eye(4)[:3]) + "\n")
    expect(folder, r"poses\.txt", "1 lines for 3 frames", error=SourceError)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n2\n", ("2 lines for 3 frames",)),
        ("1\n2\nthree\n", ("line 3", "'three'")),
        ("1\nnan\n3\n", ("line 2", "'nan'")),
        ("3\n2\n1\n", ("not after",)),
    ],
)
def test_malformed_times_name_the_line(folder: Path, text: str, words: tuple[str, ...]) -> None:
    (folder / "timestamps.txt").write_text(text)
    expect(folder, *words, error=SourceError)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": None}, ("neither right nor baseline",)),
        ({"baseline": -0.1}, ("-0.1", "not positive")),
        ({"baseline": "wide"}, ("baseline",)),
        ({"left": None}, ("left is missing",)),
        ({"left": {"projection_matrix": [1, 2, 3]}}, ("12 finite numbers",)),
        ({"left": {"projection_matrix": [float("nan")] * 12}}, ("12 finite numbers",)),
        ({"left": {"projection_matrix": [0.0] * 12}}, ("focal lengths", "not positive")),
        ({"left": {"image_width": 640, "image_height": 480, "projection_matrix": P}}, ("640x480", "160x48")),
        ({"grid_from_left": {"rotation": [0, 0, 0, 0]}}, ("quaternion",)),
        ({"grid_from_left": {"translation": [1, 2]}}, ("translation", "3 finite")),
        ({"grid_from_left": [1, 2]}, ("grid_from_left",)),
        ({"right": {"projection_matrix": projection(BASELINE).ravel().tolist()}}, ("baseline", "swapped")),
    ],
)
def test_malformed_calibrations_name_the_file_and_the_entry(
    folder: Path, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    calibrate(folder, **changes)
    expect(folder, r"calibration\.yaml", *words)


def test_broken_yaml_names_the_line(folder: Path) -> None:
    (folder / "calibration.yaml").write_text("left: {\nright: [\n")
    expect(folder, r"calibration\.yaml, line \d", "not valid YAML")
    (folder / "calibration.yaml").write_text("just words")
    expect(folder, "no entries")


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "calibration.yaml").unlink()
    expect(folder, "neither calibration.yaml nor left.yaml", error=SourceError)
    (folder / "right" / "b.png").unlink()
    expect(folder, "right", "missing: b", error=SourceError)


def test_a_misspelt_pose_is_listed(folder: Path) -> None:
    calibrate(folder, grid_from_left=None, grid_form_left={"translation": [0, 0, 1]})
    (warning,) = (w for w in open_source(folder).description.warnings if w.name == "no_pose")
    assert "entries: baseline, grid_form_left, grid_frame, left" in str(warning)


@pytest.mark.parametrize(
    ("baseline", "expected_text"),
    [("0,3", "baseline is '0,3', not a finite number"), (float("nan"), "is 'nan', not a finite")],
)
def test_the_value_that_is_no_number_is_shown(folder: Path, baseline: object, expected_text: str) -> None:
    calibrate(folder, baseline=baseline)
    expect(folder, expected_text)


def test_decimal_commas_change_the_count_of_numbers(folder: Path) -> None:
    calibrate(folder, left={"projection_matrix": [float("nan"), *P[1:]]})
    expect(folder, "projection_matrix contains NaN or infinity, not 12 finite numbers")
    calibrate(folder, left={"projection_matrix": [*P, 5, 0]})
    expect(folder, "projection_matrix has 14 numbers, not 12 finite numbers. Decimals are written with a point")
