"""`occdepth submit`: content of submissions, and the rules of the official validator."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.sequences import kitti_odometry

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.cli import main
from occdepth_ros.data.semantic_kitti import dataset as semantic_kitti
from occdepth_ros.data.semantic_kitti.submission import check_submission
from occdepth_ros.errors import OutputError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy

LABEL = "sequences/11/predictions/000000.label"


class Layers:
    """A predictor whose labels encode the height: unknown at -2.0 m, then classes 1 to 19, then empty."""

    name = "stereo-geometry"
    free_space = FreeSpace.SUPPORTED

    def calibrate(self, rig: Any, grid: VoxelGrid) -> None:
        self.size, self.lowest = grid.size, round((-2.0 - grid.origin[2]) / grid.resolution)

    def infer(self, left: ImageArray, right: ImageArray) -> Occupancy:
        labels = np.zeros(self.size, np.uint8)
        labels[..., self.lowest] = UNKNOWN
        labels[..., self.lowest + 1 : self.lowest + 20] = np.arange(1, 20)
        full = np.full(self.size, 200, np.uint8)
        return Occupancy(labels, full, full // 200, np.full(left.shape[:2], 7.0, np.float32))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Test sequences that are made out to be two, of six frames and one."""
    monkeypatch.setitem(semantic_kitti.SPLITS, "test", ("11", "12"))
    monkeypatch.setattr("occdepth_ros.engine.create_predictor", lambda *_, **__: Layers())
    for name, scans in (("11", 6), ("12", 1)):
        monkeypatch.setitem(semantic_kitti.SCANS, name, scans)
        kitti_odometry(tmp_path / "dataset" / "sequences" / name, scans)
    return tmp_path


def written(root: Path, *more: str) -> Path:
    file = root / "out" / "submission.zip"
    assert main(["submit", str(file), "--root", str(root), *more]) == 0
    return file


def rewritten(file: Path, change: Any) -> Path:
    """A copy of a zip whose entries `change(name, content)` replaces, or drops by None."""
    copy = file.with_name("changed.zip")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = change(entry.filename, old.read(entry))
            if content is not None:
                new.writestr(entry, content)
    return copy


@pytest.mark.parametrize(("align", "lift"), [("place", 1), ("index", 0)])
def test_a_submission_holds_raw_ids_on_the_benchmark_s_layers(
    root: Path, align: str, lift: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(root, "--align", align)
    assert "complete and valid" in capsys.readouterr().out
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        labels = np.frombuffer(archive.read(LABEL), "<u2").reshape(256, 256, 32)
    assert [name for name in names if name.endswith(".label")] == [
        LABEL,
        "sequences/11/predictions/000005.label",
        "sequences/12/predictions/000000.label",
    ]
    assert {"sequences/", "sequences/12/predictions/"} <= set(names)
    assert (labels[..., : lift + 1] == 0).all()
    for layer in range(1, 20):
        assert (labels[..., layer + lift] == SEMANTIC_KITTI.class_to_raw[layer]).all()


def test_reasons_for_refusal_by_the_benchmark_are_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(root)
    cases = {
        f"{LABEL}: missing": lambda name, content: None if name == LABEL else content,
        f"{LABEL}: 8 bytes, not 4194304": lambda name, content: bytes(8) if name == LABEL else content,
        f"{LABEL}: contains ids that are not classes": lambda name, content: (
            b"\x07\x00" + content[2:] if name == LABEL else content
        ),
        "sequences/12/: the folder is not an entry": lambda name, content: None if name == "sequences/12/" else content,
    }
    for expected, change in cases.items():
        (problem,) = check_submission(rewritten(file, change))
        assert problem.startswith(expected)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("description.txt", "ours")
    assert not list(check_submission(file))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("notes.txt", "ours")
    assert main(["submit", str(file)]) == 1
    assert "notes.txt: this entry is not allowed in a submission" in capsys.readouterr().out


def test_files_are_not_overwritten_and_not_left_incomplete(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "out" / "submission.zip"
    image = root / "dataset" / "sequences" / "11" / "image_3" / "000005.png"
    image.write_bytes(image.read_bytes()[:-50])
    assert main(["submit", str(file), "--root", str(root)]) == 2
    assert "000005.png" in capsys.readouterr().err and not list(file.parent.iterdir())
    file.write_bytes(b"mine")
    assert main(["submit", str(file), "--root", str(root)]) == 2
    assert "exists already" in capsys.readouterr().err and file.read_bytes() == b"mine"
    with pytest.raises(OutputError, match="cannot be read"):
        list(check_submission(file))


def test_incomplete_sequences_are_refused_before_anything_is_predicted(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("image_2", "image_3"):
        (root / "dataset" / "sequences" / "11" / side / "000005.png").unlink()
    assert main(["submit", str(root / "s.zip"), "--root", str(root)]) == 2
    assert "1 frames of the benchmark have no images: 000005" in capsys.readouterr().err


def test_frames_are_those_of_the_data_sets_voxel_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxels = root / "dataset" / "sequences" / "11" / "voxels"
    voxels.mkdir()
    for name in ("000003.bin", "000003.invalid", "000004.label"):
        (voxels / name).touch()
    file = written(root)
    printed = capsys.readouterr().err
    assert "11/voxels lists 1 frames where the benchmark has 2, without 000000, 000005" in printed
    assert "12/voxels" not in printed
    with zipfile.ZipFile(file) as archive:
        labels = [name for name in archive.namelist() if name.endswith(".label")]
    assert labels == ["sequences/11/predictions/000003.label", "sequences/12/predictions/000000.label"]
    capsys.readouterr()
    # without the data set's list every fifth frame is expected
    assert main(["submit", str(file)]) == 1
    assert "000000.label: missing" in capsys.readouterr().out
    assert main(["submit", str(file), "--check", "--root", str(root)]) == 0


def test_frames_of_sequence_21_need_the_data_sets_voxel_files(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(root)
    monkeypatch.setitem(semantic_kitti.SPLITS, "test", ("11", "12", "21"))
    monkeypatch.setitem(semantic_kitti.SCANS, "21", 11)
    folder = root / "dataset" / "sequences" / "21"
    kitti_odometry(folder, 11)
    assert main(["submit", str(root / "second.zip"), "--root", str(root)]) == 2
    assert "data_odometry_voxels.zip" in capsys.readouterr().err and not (root / "second.zip").exists()
    assert main(["submit", str(file)]) == 1
    assert "sequences 21: no label file" in capsys.readouterr().out
    (folder / "voxels").mkdir()
    (folder / "voxels" / "000005.bin").touch()
    assert main(["submit", str(root / "second.zip"), "--root", str(root)]) == 0
    assert main(["submit", str(root / "second.zip")]) == 0
    assert "can be checked only with --check --root DIR" in capsys.readouterr().out


def test_a_name_without_zip_is_refused_before_anything_is_predicted(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(root / "submission.tar"), "--root", str(root)]) == 2
    assert "ends in .zip" in capsys.readouterr().err
    assert not (root / "submission.tar").exists()


def test_the_name_of_a_submission_ends_in_zip(root: Path) -> None:
    file = written(root)
    renamed = file.rename(file.with_suffix(".dat"))
    assert list(check_submission(renamed)) == ["submission.dat: the name does not end in .zip"]
