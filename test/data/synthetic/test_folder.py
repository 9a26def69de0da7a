"""Synthetic scenes on disk: written completely, read back unchanged, and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from occdepth_ros.cli import main
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.factory import open_dataset
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.data.synthetic.folder import SyntheticFolder, read_scene
from occdepth_ros.errors import SourceError

SIZE = ("--size", "160", "64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes")
    assert main(["synthetic", "--count", "2", "--seed", "7", "--out", str(out), *SIZE]) == 0
    return out


def test_a_scene_on_disk_is_the_generated_one(folder: Path) -> None:
    scenes = SyntheticDataset(7, 2, 160, 64)
    read = SyntheticFolder(folder, "train")
    assert isinstance(read, SceneDataset) and isinstance(scenes, SceneDataset)
    assert len(read) == 2
    made, back = scenes[1], read[1]
    assert back.name == made.name == "train-7-000001"
    assert back.rig.fingerprint == made.rig.fingerprint
    assert back.grid == made.grid
    for name in ("target", "seen", "semantics"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    assert made.depth is not None and back.depth is not None
    np.testing.assert_allclose(back.depth, made.depth, rtol=1e-3)
    assert np.abs(back.left.astype(int) - made.left).mean() < 3


def test_a_second_run_keeps_existing_files(folder: Path) -> None:
    before = {f.name: f.stat().st_mtime_ns for f in folder.iterdir()}
    assert main(["synthetic", "--count", "3", "--seed", "7", "--out", str(folder), *SIZE]) == 0
    after = {f.name: f.stat().st_mtime_ns for f in folder.iterdir()}
    assert set(after) - set(before) == {"train-7-000002.npz"}
    assert all(after[name] == time for name, time in before.items())


def test_splits_share_no_scene(tmp_path: Path) -> None:
    train, test = (SyntheticDataset(7, 1, 160, 64, split=split)[0] for split in ("train", "test"))
    assert (train.target != test.target).mean() > 0.05
    with pytest.raises(SourceError, match="validation"):
        SyntheticDataset(7, 1, split="validation")
    with pytest.raises(SourceError, match="no scenes"):
        SyntheticFolder(tmp_path, "test")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.full((4, 4, 4), 30, np.uint8)}, "unknown class 30"),
        ({"labels": np.zeros((4, 4), np.uint8)}, "labels"),
        ({"left": np.zeros(10, np.uint8)}, "damaged"),
        ({"depth": np.zeros((3, 3), np.float16)}, "image"),
        ({"depth": np.zeros((64, 160), np.float64)}, "float16"),
        ({"seen": np.zeros(3, np.uint8)}, "bit"),
        ({"left_projection": np.zeros((3, 4))}, "focal"),
        ({"left_projection": None}, "left_projection"),
        ({"resolution": np.array(np.nan)}, "resolution"),
        ({"origin": np.zeros(2)}, "scene"),
        ({"semantics": np.array([None])}, "pickle|object"),
        ({"extra": np.zeros(1 << 27, np.uint8)}, "unpacks"),
    ],
)
def test_a_wrong_file_is_named(folder: Path, tmp_path: Path, change: dict[str, object], words: str) -> None:
    with np.load(folder / "train-7-000000.npz") as arrays:
        content = {key: arrays[key] for key in arrays.files} | change
    arguments: dict[str, Any] = {k: np.asarray(v) for k, v in content.items() if v is not None}
    path = tmp_path / "train-1-000000.npz"
    with path.open("wb") as file:
        np.savez_compressed(file, **arguments)
    with pytest.raises(SourceError, match=words) as caught:
        read_scene(path)
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "train-1-000000.npz"
    path.write_bytes((folder / "train-7-000000.npz").read_bytes()[:5000])
    with pytest.raises(SourceError, match="cannot be read"):
        read_scene(path)


def test_the_former_verb_works_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["street", "--count", "1", "--seed", "7", "--out", str(tmp_path), *SIZE]) == 0
    assert "street is deprecated; use synthetic" in capsys.readouterr().err
    assert (tmp_path / "train-7-000000.npz").exists()


def test_the_former_data_set_name_works_with_a_warning(folder: Path) -> None:
    with pytest.warns(FutureWarning, match="street is deprecated; use synthetic"):
        assert len(open_dataset("street", folder)) >= 2


def test_a_figure_shows_the_first_scenes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = folder.parent / "figure.png"
    arguments = ["synthetic", "--count", "2", "--seed", "7", "--out", str(folder), *SIZE, "--figure"]
    assert main([*arguments, str(figure)]) == 0
    with Image.open(figure) as image:
        assert image.size == (3 * 460 + 184, 2 * 184)
    assert main([*arguments, str(folder.parent / "figure.tiff")]) == 2
    assert "--figure: unknown image format '.tiff'" in capsys.readouterr().err


def test_wrong_numbers_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthetic", "--count", "0", "--out", str(tmp_path)]) == 2
    assert "--count" in capsys.readouterr().err
