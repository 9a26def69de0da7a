"""Cache of a teacher's features: refused files, and the selection of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from occdepth_ros.errors import SourceError
from occdepth_ros.training.tasks.monoocc_volume_cache import VolumeCache, rows_among


def test_features_round_trip_in_half_precision(tmp_path: Path) -> None:
    cache = VolumeCache(tmp_path, "me", (10, 3))
    missing = cache.read("00/000001", mirrored=True)
    assert missing.features is None and missing.to("cpu") is missing
    features = torch.randn(2, 3)
    cache.keep(missing.path, torch.tensor([4, 9]), features)
    found = cache.read("00/000001", mirrored=True).to("cpu")
    assert found.voxels is not None and found.features is not None
    assert found.voxels.tolist() == [4, 9]
    assert torch.equal(found.features, features.half().float())
    assert cache.read("00/000001", mirrored=False).features is None


@pytest.mark.parametrize("scene", ["../x", "/x", ""])
def test_names_that_leave_the_folder_are_refused(scene: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a valid file name"):
        VolumeCache(tmp_path, "me", (10, 3)).read(scene, mirrored=False)


def test_other_files_are_refused(tmp_path: Path) -> None:
    cache = VolumeCache(tmp_path, "me", (10, 3))
    good = {"voxels": torch.tensor([4], dtype=torch.int32), "features": torch.zeros(1, 3).half()}
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"damaged")
    with pytest.raises(SourceError, match="cannot be read"):
        cache.read("x", mirrored=False)
    save_file(good, path, {"teacher": "you"})
    with pytest.raises(SourceError, match="another teacher"):
        cache.read("x", mirrored=False)
    bad = (
        {"voxels": torch.tensor([10], dtype=torch.int32)},
        {"voxels": torch.tensor([-1], dtype=torch.int32)},
        {"voxels": torch.tensor([4])},
        {"features": torch.zeros(1, 4).half()},
        {"features": torch.full((1, 3), float("nan")).half()},
    )
    for change in bad:
        save_file({**good, **change}, path, {"teacher": "me"})
        with pytest.raises(SourceError, match="do not fit"):
            cache.read("x", mirrored=False)


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_rows_of_a_part(voxels: set[int], requested: set[int]) -> None:
    a, b = (torch.tensor(sorted(numbers), dtype=torch.long) for numbers in (voxels, requested))
    chosen, rows = rows_among(a, b)
    assert a[chosen].tolist() == b[rows].tolist() == sorted(voxels & requested)
    every, same = rows_among(a, None)
    assert torch.equal(a[every], same)
