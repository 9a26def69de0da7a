"""Checks of a SemanticKITTI download, file by file."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.sequences import kitti_odometry, make_image, save

from occdepth_ros.cli import main
from occdepth_ros.data.semantic_kitti import dataset as semantic_kitti
from occdepth_ros.data.semantic_kitti.check import VOXEL_BYTES, check_sequence


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write complete downloads of two sequences, shortened by a patch: 04 (train) and 12 (test)."""
    for name, scans in (("04", 7), ("12", 3)):
        monkeypatch.setitem(semantic_kitti.SCANS, name, scans)
        sequence = kitti_odometry(tmp_path / "dataset" / "sequences" / name, scans)
        (sequence / "voxels").mkdir()
        for frame in semantic_kitti.voxel_frames(name):
            for kind in ("bin",) if name == "12" else VOXEL_BYTES:
                with (sequence / "voxels" / f"{frame:06d}.{kind}").open("wb") as file:
                    file.truncate(VOXEL_BYTES[kind])
    return tmp_path


def problems(root: Path, name: str = "04") -> list[str]:
    folder = root / "dataset" / "sequences"
    return [f"{p.where.relative_to(folder)}: {p.what}" for p in check_sequence(folder / name)]


def test_a_complete_download(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems(root, "04") == problems(root, "12") == []
    assert main(["eval", "--root", str(root), "--sequences", "4", "12", "--check"]) == 0
    assert capsys.readouterr().out == "04, 12: complete\n"


def test_missing_files_are_named_with_their_archive(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequence = root / "dataset" / "sequences" / "04"
    (sequence / "voxels" / "000005.invalid").unlink()
    (sequence / "image_3" / "000000.png").unlink()
    (sequence / "calib.txt").unlink()
    calibration, images, voxels = problems(root)
    assert calibration.startswith("04/calib.txt: the file cannot be read") and "with Tr" in calibration
    assert images.startswith("04/image_3: 1 of 2 images are missing (000000); they are in data_odometry_color.zip")
    assert voxels.startswith("04/voxels: 1 of 2 .invalid files are missing (000005); they are in the voxel archive")
    assert main(["eval", "--root", str(root), "--sequences", "04", "08", "--check"]) == 1
    printed = capsys.readouterr().out
    assert "08: the sequence is missing" in printed and printed.endswith("04, 08: 4 problems\n")


def test_truncated_and_invalid_files_are_named(root: Path) -> None:
    sequence = root / "dataset" / "sequences" / "04"
    image = sequence / "image_2" / "000005.png"
    image.write_bytes(image.read_bytes()[:-100])
    (sequence / "voxels" / "000000.label").write_bytes(b"<html>404</html>")
    (sequence / "voxels" / "000003.bin").write_bytes(bytes(VOXEL_BYTES["bin"]))
    found = problems(root)
    assert [line.split(": ")[0] for line in found] == [
        "04/image_2/000005.png",
        "04/voxels/000003.bin",
        "04/voxels/000000.label",
    ]
    assert "no voxels for this frame" in found[1] and "16 bytes, not 4194304" in found[2]


def test_an_image_of_another_size_is_named(root: Path) -> None:
    sequence = root / "dataset" / "sequences" / "12"
    semantic_kitti.SCANS["12"] = 11
    for frame in (0, 5, 10):
        (sequence / "voxels" / f"{frame:06d}.bin").write_bytes(bytes(VOXEL_BYTES["bin"]))
        for side in ("image_2", "image_3"):
            save(sequence / side / f"{frame:06d}.png", make_image(frame))
    save(sequence / "image_2" / "000005.png", make_image(0)[:-1])
    assert problems(root, "12") == ["12/image_2/000005.png: the image is 160x47, but most images are 160x48"]


def test_a_calibration_without_the_lidar_is_named(root: Path) -> None:
    calibration = root / "dataset" / "sequences" / "04" / "calib.txt"
    lines = [line for line in calibration.read_text().splitlines() if not line.startswith("Tr")]
    calibration.write_text("\n".join(lines))
    (line,) = problems(root)
    assert line.startswith("04/calib.txt: Tr must have twelve numbers; use data_odometry_calib.zip")


def test_missing_files_of_an_incomplete_real_data_set_are_named(kitti_mini: Path) -> None:
    found = problems(kitti_mini, "00")
    assert "00/voxels: 909 of 909 .label files are missing" in "\n".join(found)
    assert len(found) == 6, "only missing files are reported"
