"""`occdepth voxelize` and its input scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import LANDMARK, ROAD, SIGN, labelled_scans, lidar_poses

from occdepth_ros.cli import main
from occdepth_ros.data.scans.labelled import LabelledScans
from occdepth_ros.errors import SourceError
from occdepth_ros.sources.ground_truth import read_ground_truth

COUNT = 3


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Three scans of a static sign and of the road around the vehicle."""
    return labelled_scans(tmp_path / "sequences" / "00", COUNT)


def test_written_labels_are_read_as_ground_truth(sequence: Path, tmp_path: Path) -> None:
    out = tmp_path / "voxels"
    assert main(["voxelize", "--source", str(sequence), "--out", str(out)]) == 0
    sizes = {path.name: path.stat().st_size for path in out.iterdir()}
    bits = 256 * 256 * 32 // 8
    kinds = {"label": 16 * bits, "bin": bits, "invalid": bits, "occluded": bits}
    assert sizes == {f"000000.{kind}": size for kind, size in kinds.items()}
    ground_truth = read_ground_truth(out, "000000")
    assert ground_truth is not None
    (cell,), _ = ground_truth.grid.index_of(LANDMARK[None])
    assert np.argwhere(ground_truth.labels == 19).tolist() == [cell.tolist()]
    assert (ground_truth.labels == 9).sum() > 2000
    assert (ground_truth.labels[40:80, 120:136, 0] == 255).all(), "below the road"
    assert (ground_truth.labels[40:80, 120:136, 5:10] == 0).all(), "above it"


def test_existing_files_are_not_overwritten(sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "000002.invalid").write_bytes(b"mine")
    command = ["voxelize", "--source", str(sequence), "--out", str(tmp_path), "--frames", "0", "2"]
    assert main(command) == 2
    assert "000002.invalid: the file exists already" in capsys.readouterr().err
    assert not (tmp_path / "000000.label").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--frames", "0", "9"], "frame 9 has no labelled scan"),
        (["--reach", "nan"], "is not a valid distance"),
    ],
)
def test_invalid_arguments_are_refused(
    sequence: Path, tmp_path: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["voxelize", "--source", str(sequence), "--out", str(tmp_path / "o"), *arguments]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_poses_are_converted_to_the_lidar_frame(sequence: Path) -> None:
    scans = LabelledScans(sequence)
    assert scans.frames == ["000000", "000001", "000002"]
    for i, pose in enumerate(lidar_poses(COUNT)):
        np.testing.assert_allclose(scans.pose(f"{i:06d}"), pose, atol=1e-9)
    assert scans.near("000000", 1.0) == ["000000", "000001"]
    points, labels = scans.read("000001")
    assert np.isfinite(points).all() and set(labels) == {ROAD, SIGN}


def test_compact_scans_fill_the_gaps(sequence: Path) -> None:
    (sequence / "scans").mkdir()
    for frame in ("000001", "000002"):
        xyz = np.array([[150, -20, 7]], np.int16)
        np.savez(sequence / "scans" / f"{frame}.npz", xyz=xyz, label=np.array([SIGN], np.uint16))
    (sequence / "velodyne" / "000002.bin").unlink()
    scans = LabelledScans(sequence)
    assert len(scans.read("000001")[1]) > 1
    points, labels = scans.read("000002")
    np.testing.assert_allclose(points, [[1.5, -0.2, 0.07]])
    assert labels.tolist() == [SIGN]


def test_damaged_files_are_refused_by_name(sequence: Path) -> None:
    scan, label = sequence / "velodyne" / "000000.bin", sequence / "labels" / "000000.label"
    whole = label.read_bytes()
    label.write_bytes(whole[:-4])
    with pytest.raises(SourceError, match=r"000000\.label: there are \d+ labels for the \d+ points"):
        LabelledScans(sequence).read("000000")
    label.write_bytes(whole[:-3])
    with pytest.raises(SourceError, match="not a multiple of 4"):
        LabelledScans(sequence).read("000000")
    scan.write_bytes(b"")
    with pytest.raises(SourceError, match=r"000000\.bin: the file has 0 bytes"):
        LabelledScans(sequence).read("000000")
    (sequence / "scans").mkdir()
    (sequence / "scans" / "000007.npz").write_bytes(b"PK")
    with pytest.raises(SourceError, match="none for scan 000007"):
        LabelledScans(sequence)
    (sequence / "scans" / "000007.npz").rename(sequence / "scans" / "000002.npz")
    (sequence / "velodyne" / "000002.bin").unlink()
    with pytest.raises(SourceError, match=r"000002\.npz: the scan cannot be read"):
        LabelledScans(sequence).read("000002")


def test_missing_calibration_poses_and_scans_are_refused(sequence: Path, tmp_path: Path) -> None:
    (sequence / "poses.txt").rename(tmp_path / "poses.txt")
    with pytest.raises(SourceError, match=r"poses\.txt is missing"):
        LabelledScans(sequence)
    (sequence / "calib.txt").write_text("P2: " + " ".join(["1"] * 12))
    with pytest.raises(SourceError, match="no entry Tr"):
        LabelledScans(sequence)
    with pytest.raises(SourceError, match="no labelled scans"):
        LabelledScans(tmp_path)
