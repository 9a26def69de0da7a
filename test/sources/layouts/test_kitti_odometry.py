"""KITTI odometry sequences: frames, calibration, image formats, and the error for each damaged file."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.sequences import BASELINE, FOCAL, LIDAR_TO_CAMERA, kitti_odometry, lidar_poses, make_image, pose_of, save

from occdepth_ros.errors import CalibrationError, ImageError, OccDepthError, SourceError
from occdepth_ros.sources import open_source


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return kitti_odometry(tmp_path / "dataset" / "sequences" / "00")


def expect(path: Path, *words: str, error: type[OccDepthError] = SourceError) -> None:
    with pytest.raises(error) as caught:
        source = open_source(path)
        for i in range(len(source)):
            source[i]
    text = str(caught.value)
    assert type(caught.value) is error
    for word in words:
        assert re.search(word, text), text


def test_frames_calibration_times_and_poses(sequence: Path) -> None:
    source = open_source(str(sequence))
    assert len(source) == 3
    assert source.grid_frame == "velodyne"
    assert source.rig.baseline == pytest.approx(BASELINE)
    assert source.rig.left.projection[0, 0] == FOCAL
    np.testing.assert_allclose(source.rig.reference_from_grid[:3], LIDAR_TO_CAMERA)
    assert source.period_s() == pytest.approx(0.1)
    for i in range(3):
        frame = source[i]
        assert (frame.name, frame.stamp_ns, frame.grey) == (f"{i:06d}", i * 100_000_000, False)
        np.testing.assert_array_equal(frame.left, make_image(i))
        np.testing.assert_array_equal(frame.right, make_image(100 + i))
        assert frame.world_from_grid is not None
        np.testing.assert_allclose(pose_of(frame), lidar_poses(3)[i], atol=1e-9)
    assert source.ground_truth(0) is None
    with pytest.raises(IndexError):
        source[3]


def test_grey_cameras_use_their_own_projections_and_repeat_the_channel(tmp_path: Path) -> None:
    source = open_source(kitti_odometry(tmp_path / "07", grey=True))
    frame = source[1]
    assert frame.grey
    np.testing.assert_array_equal(frame.left, make_image(1, grey=True)[..., None].repeat(3, axis=2))
    assert source.rig.left.projection[0, 3] == 0


def test_jpeg_images(tmp_path: Path) -> None:
    frame = open_source(kitti_odometry(tmp_path / "07", suffix=".jpg"))[0]
    assert frame.left.shape == (48, 160, 3)


@pytest.mark.parametrize("suffix", [".ppm", ".bmp", ".tif", ".tiff"])
def test_other_image_formats_are_read_and_cut_ones_refused(tmp_path: Path, suffix: str) -> None:
    sequence = kitti_odometry(tmp_path / "07", suffix=suffix)
    np.testing.assert_array_equal(open_source(sequence)[2].left, make_image(2))
    victim = sequence / "image_3" / f"000001{suffix}"
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    expect(sequence, f"000001{suffix}", "damaged or cut off", error=ImageError)


def test_grey_images_with_12_bits_in_16_are_scaled(tmp_path: Path) -> None:
    sequence = kitti_odometry(tmp_path / "07", suffix=".pgm", grey=True)
    for path in sequence.glob("image_?/*.pgm"):
        save(path, np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint16) << 4)
    frame = open_source(sequence)[1]
    assert frame.grey
    np.testing.assert_array_equal(frame.left, make_image(1, grey=True)[..., None].repeat(3, axis=2))


def test_without_times_frames_are_at_10_hz_and_without_poses_there_are_none(sequence: Path) -> None:
    (sequence / "times.txt").unlink()
    (sequence / "poses.txt").unlink()
    frame = open_source(sequence)[2]
    assert frame.stamp_ns == 200_000_000
    assert frame.world_from_grid is None


def test_poses_next_to_the_folder_sequences_are_found(sequence: Path) -> None:
    poses = sequence.parent.parent / "poses" / "00.txt"
    poses.parent.mkdir()
    (sequence / "poses.txt").rename(poses)
    np.testing.assert_allclose(pose_of(open_source(sequence)[2]), lidar_poses(3)[2], atol=1e-9)


def test_a_part_of_a_sequence_has_the_times_and_poses_of_its_frame_numbers(sequence: Path) -> None:
    for side in ("image_2", "image_3"):
        (sequence / side / "000000.png").unlink()
    source = open_source(sequence)
    assert [source[i].stamp_ns for i in range(2)] == [100_000_000, 200_000_000]
    np.testing.assert_allclose(pose_of(source[0]), lidar_poses(3)[1], atol=1e-9)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kept", [0.95, 0.5, 0.02, 0.0])
def test_a_cut_image_is_refused_with_its_name(tmp_path: Path, suffix: str, kept: float) -> None:
    sequence = kitti_odometry(tmp_path / "00", suffix=suffix)
    victim = sequence / "image_3" / f"000001{suffix}"
    contents = victim.read_bytes()
    victim.write_bytes(contents[: int(kept * len(contents))])
    expect(sequence, f"000001{suffix}", "cut off|empty", error=ImageError)
    victim.write_bytes(contents[: int(kept * len(contents))] + bytes(len(contents) - int(kept * len(contents))))
    expect(sequence, f"000001{suffix}", "cut off|is not PNG", error=ImageError)


def test_a_flipped_bit_in_a_png_is_refused(sequence: Path) -> None:
    victim = sequence / "image_2" / "000002.png"
    contents = bytearray(victim.read_bytes())
    contents[len(contents) // 2] ^= 4
    victim.write_bytes(contents)
    expect(sequence, "000002.png", "damaged", error=ImageError)


def test_a_file_that_is_not_an_image_is_refused(sequence: Path) -> None:
    (sequence / "image_2" / "000001.png").write_text("<html>not found</html>")
    expect(sequence, "000001.png", "is not PNG, JPEG", error=ImageError)


def test_an_image_removed_after_opening_is_an_image_error(sequence: Path) -> None:
    source = open_source(sequence)
    (sequence / "image_2" / "000001.png").unlink()
    with pytest.raises(ImageError, match=r"000001\.png.*cannot be read"):
        source[1]


def test_unequal_counts_name_the_missing_files(sequence: Path) -> None:
    (sequence / "image_3" / "000001.png").unlink()
    expect(sequence, "image_3", "missing: 000001")
    (sequence / "image_2" / "000000.png").unlink()
    (sequence / "image_2" / "000001.png").unlink()
    expect(sequence, "image_2", "missing: 000000")


def test_an_image_of_another_size_is_refused(sequence: Path) -> None:
    save(sequence / "image_2" / "000001.png", np.zeros((48, 161, 3), np.uint8))
    expect(sequence, r"000001\.png", "161x48.*160x48", error=ImageError)


def test_resized_images_do_not_match_the_calibration(sequence: Path) -> None:
    for path in sequence.glob("image_?/*.png"):
        save(path, np.zeros((24, 80, 3), np.uint8))
    expect(sequence, r"calib\.txt", "principal point", "80x24", error=CalibrationError)


def test_a_calibration_without_tr_names_the_archive_that_has_it(sequence: Path) -> None:
    file = sequence / "calib.txt"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("Tr")))
    expect(sequence, r"calib\.txt", "Tr is missing", "archive", error=CalibrationError)


@pytest.mark.parametrize(("text", "message"), [("P2: 1 2 3", "3 numbers"), ("P2: 1 nan 3", "NaN"), ("", "no calibr")])
def test_a_damaged_calibration_is_refused(sequence: Path, text: str, message: str) -> None:
    (sequence / "calib.txt").write_text(text)
    with pytest.raises(OccDepthError, match=message):
        open_source(sequence)


def test_swapped_folders_are_refused_by_the_baseline(sequence: Path) -> None:
    file = sequence / "calib.txt"
    swapped = {"P2": "P3", "P3": "P2"}
    file.write_text(re.sub(r"P[23]", lambda m: swapped[m[0]], file.read_text()))
    expect(sequence, "baseline", "swapped", error=CalibrationError)


def test_a_missing_calibration_is_named(sequence: Path) -> None:
    (sequence / "calib.txt").unlink()
    expect(sequence, r"calib\.txt is missing")


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("times.txt", "0\n0.2\n0.1\n", ("000002", "not after", "000001")),
        ("times.txt", "0\n0.1\n", (r"times\.txt", "2 lines", "000002")),
        ("times.txt", "0\nnan\n0.2\n", (r"times\.txt, line 2", "NaN")),
        ("times.txt", "0\nlater\n0.2\n", ("line 2", "'later'")),
        ("times.txt", "", ("empty",)),
        ("poses.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n", (r"poses\.txt", "1 lines", "000001")),
        ("poses.txt", 3 * "1 0 0 nan 0 1 0 0 0 0 1 0\n", (r"poses\.txt, line 1", "NaN")),
        ("poses.txt", 3 * "1 0 0 0 0 1 0 0 0 0 1\n", ("11 numbers", "12")),
        ("poses.txt", 3 * "1 0 0 0 0 2 0 0 0 0 1 0\n", ("pose 0", "rotation")),
    ],
)
def test_damaged_times_and_poses_are_refused(sequence: Path, file: str, text: str, words: tuple[str, ...]) -> None:
    (sequence / file).write_text(text)
    expect(sequence, *words)


def test_an_empty_folder_lists_the_supported_layouts(tmp_path: Path) -> None:
    expect(tmp_path, "no stereo sequence", "KITTI odometry", "image_2")
    (tmp_path / "image_2").mkdir()
    (tmp_path / "image_3").mkdir()
    expect(tmp_path, "image_2", "no images")
    for name in ("000000.heic", "000001.heic", ".DS_Store"):
        (tmp_path / "image_2" / name).write_bytes(b"heic")
    expect(tmp_path, "image_2", "it has 2 files .heic", "Convert the images")


def test_a_folder_at_another_level_names_the_right_one(sequence: Path) -> None:
    expect(sequence.parents[1], "Give one sequence", re.escape(str(sequence)))
    expect(sequence.parents[2], "Give one sequence", re.escape(str(sequence)))
    expect(sequence / "image_2", "Give the folder above", re.escape(str(sequence)))
    expect(sequence / "calib.txt", "Give the folder above", re.escape(str(sequence)))


def test_a_folder_of_left_images_alone_is_not_suggested(sequence: Path) -> None:
    lonely = sequence.parents[1] / "a_left_only" / "image_2"
    lonely.mkdir(parents=True)
    (lonely / "000000.png").write_bytes((sequence / "image_2" / "000000.png").read_bytes())
    expect(sequence.parents[1], "Give one sequence", re.escape(str(sequence)))


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    expect(tmp_path / "nowhere", "nowhere", "does not exist")


def test_real_frames(shared_dir: Path) -> None:
    source = open_source(shared_dir / "data" / "kitti_mini" / "dataset" / "sequences" / "00")
    assert len(source) == 10
    assert source.rig.baseline == pytest.approx(0.537, abs=0.01)
    frame = source[1]
    assert frame.left.shape == (376, 1241, 3)
    assert frame.stamp_ns == pytest.approx(103735900, abs=100)
    # the car drives forward, along the LiDAR's x axis
    assert frame.world_from_grid is not None
    assert frame.world_from_grid[0, 3] == pytest.approx(0.67, abs=0.05)
    ground_truth = source.ground_truth(0)
    assert ground_truth is not None
    assert (ground_truth.name, ground_truth.grid.origin[2]) == ("recon10", -2.2)
    assert source.ground_truth(1) is None


@pytest.mark.parametrize("separator", [",", ", "])
def test_commas_in_numbers_are_named(sequence: Path, separator: str) -> None:
    file = sequence / "calib.txt"
    text = file.read_text()
    file.write_text(text.replace(".", ",") if separator == "," else text.replace(": ", ":").replace(" ", separator))
    with pytest.raises(SourceError, match=r"the entry P0 are written with commas.*decimal points"):
        open_source(sequence)


def test_a_git_lfs_pointer_is_no_damaged_image(sequence: Path) -> None:
    min((sequence / "image_2").iterdir()).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ImageError, match=r"Git LFS pointer.*git lfs pull"):
        open_source(sequence)[0]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SourceError, match="symbolic link"):
        open_source(tmp_path / "a")
