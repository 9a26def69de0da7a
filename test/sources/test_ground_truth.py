"""Ground truth of the benchmark and derived ground truth: labels, masks, damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.ground_truth import read_ground_truth

SIZE = (256, 256, 32)


def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 20, SIZE, dtype=np.uint8)


def test_official_labels_are_mapped_and_invalid_voxels_are_unknown(tmp_path: Path) -> None:
    raw = np.zeros(SIZE, "<u2")
    raw[1, 2, 3], raw[4, 5, 6], raw[7, 8, 9], raw[255, 255, 31] = 40, 252, 1, 80
    invalid = np.zeros(SIZE, bool)
    invalid[4, 5, 6] = invalid[0, 0, 0] = True
    raw.tofile(tmp_path / "000000.label")
    np.packbits(invalid).tofile(tmp_path / "000000.invalid")
    ground_truth = read_ground_truth(tmp_path, "000000")
    assert ground_truth is not None
    assert ground_truth.name == "semantic_kitti"
    assert ground_truth.labels[1, 2, 3] == 9
    assert ground_truth.labels[4, 5, 6] == ground_truth.labels[0, 0, 0] == ground_truth.labels[7, 8, 9] == 255
    assert ground_truth.labels[255, 255, 31] == 18
    assert (ground_truth.labels == 0).sum() == np.prod(SIZE) - 5


def test_derived_ground_truth_has_its_name_and_origin(tmp_path: Path) -> None:
    target = labels()
    invalid = np.zeros(SIZE, bool)
    invalid[0] = True
    np.savez_compressed(tmp_path / "000000.recon10.npz", target=target, invalid=np.packbits(invalid))
    np.savez_compressed(tmp_path / "000001.synthetic.npz", target=target, origin=np.array([0, -25.6, -2.0]))
    derived, own = read_ground_truth(tmp_path, "000000"), read_ground_truth(tmp_path, "000001")
    assert derived is not None and own is not None
    assert (derived.name, derived.grid.origin) == ("recon10", (0.0, -25.6, -2.2))
    assert (own.name, own.grid.origin) == ("synthetic", (0.0, -25.6, -2.0))
    assert (derived.labels[0] == 255).all()
    np.testing.assert_array_equal(derived.labels[1:], target[1:])
    np.testing.assert_array_equal(own.labels, target)


def test_without_a_file_there_is_no_ground_truth(tmp_path: Path) -> None:
    assert read_ground_truth(tmp_path, "000000") is None
    assert read_ground_truth(tmp_path / "voxels", "000000") is None


def test_damaged_ground_truth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "000000.label").write_bytes(bytes(100))
    with pytest.raises(SourceError, match="100 bytes, not 4194304"):
        read_ground_truth(tmp_path, "000000")
    file = tmp_path / "000001.recon10.npz"
    np.savez_compressed(file, target=labels())
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"000001\.recon10\.npz"):
        read_ground_truth(tmp_path, "000001")
    np.savez_compressed(tmp_path / "000002.recon10.npz", target=np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(SourceError, match="not uint8"):
        read_ground_truth(tmp_path, "000002")
    np.savez_compressed(tmp_path / "000003.recon10.npz", other=labels())
    with pytest.raises(SourceError, match="target"):
        read_ground_truth(tmp_path, "000003")
