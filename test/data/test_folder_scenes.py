"""Scenes from a user's folder, and the names of all data sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from helpers.rooms import quaternion, room
from helpers.sequences import BASELINE, HEIGHT, WIDTH, make_image, projection, save

from occdepth_ros.cli import main
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.factory import CHECKS, DATASETS, open_dataset
from occdepth_ros.data.folder_scenes import FolderScenes
from occdepth_ros.data.tartanair.scenes import TartanScenes
from occdepth_ros.errors import SourceError
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

SIZE = (8, 6, 4)


def target(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([0, 1, 9, 19, 255], SIZE).astype(np.uint8)


def own_folder(path: Path) -> Path:
    """Write three pairs: a without ground truth, b with voxels, depth and semantics, c with voxels."""
    for i, name in enumerate("abc"):
        save(path / "left" / f"{name}.png", make_image(i))
        save(path / "right" / f"{name}.png", make_image(100 + i))
    calibration = {
        "left": {"image_width": WIDTH, "image_height": HEIGHT, "projection_matrix": projection().ravel().tolist()},
        "baseline": BASELINE,
        "grid_frame": "base_link",
    }
    (path / "calibration.yaml").write_text(yaml.safe_dump(calibration))
    for part in ("voxels", "depth", "semantics"):
        (path / part).mkdir()
    seen = target(1) == 9
    np.savez(path / "voxels" / "b.npz", target=target(1), origin=[1.0, -2, 0], resolution=0.4, seen=np.packbits(seen))
    np.savez(path / "voxels" / "c.npz", target=target(2))
    levels = np.full((HEIGHT, WIDTH), 512, np.uint16)
    levels[0] = 0
    assert cv2.imwrite(str(path / "depth" / "b.png"), levels)
    np.save(path / "depth" / "a.npy", np.full((HEIGHT, WIDTH), np.inf, np.float32))
    assert cv2.imwrite(str(path / "semantics" / "b.png"), np.full((HEIGHT, WIDTH), 255, np.uint8))
    return path


def test_scenes_of_one_folder(tmp_path: Path) -> None:
    data = FolderScenes(own_folder(tmp_path))
    assert isinstance(data, SceneDataset) and data.names == ["b", "c"]
    b, c = data[0], data[1]
    np.testing.assert_array_equal(b.left, make_image(1))
    np.testing.assert_array_equal(b.right, make_image(101))
    np.testing.assert_array_equal(b.target, target(1))
    assert b.grid.origin == (1, -2, 0) and b.grid.resolution == 0.4 and b.grid.frame_id == "base_link"
    np.testing.assert_array_equal(b.seen, target(1) == 9)
    assert b.depth is not None and np.isnan(b.depth[0]).all() and (b.depth[1:] == 2).all()
    assert b.semantics is not None and (b.semantics == 255).all()
    assert c.grid.origin == BENCHMARK_GRID.origin and (c.seen, c.depth, c.semantics) == (None, None, None)


def test_labels_in_the_format_of_the_benchmark_have_precedence(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    raw = np.zeros(BENCHMARK_GRID.size, "<u2")
    raw[5] = 252
    raw.tofile(folder / "voxels" / "c.label")
    scene = FolderScenes(folder)[1]
    assert scene.grid.size == BENCHMARK_GRID.size and (scene.target[5] == 1).all() and not scene.target[6:].any()


def test_several_folders_below_one_root(tmp_path: Path) -> None:
    own_folder(tmp_path / "monday")
    own_folder(tmp_path / "tuesday")
    assert open_dataset("folder", tmp_path)[3].name == "tuesday/c"
    assert len(open_dataset("folder", tmp_path, ["monday"])) == 2
    with pytest.raises(SourceError, match=r"no folder friday .*There are monday, tuesday"):
        open_dataset("folder", tmp_path, ["friday"])
    (tmp_path / "monday" / "left" / "c.png").unlink()
    (tmp_path / "monday" / "right" / "c.png").unlink()
    with pytest.raises(SourceError, match="1 of 2 frames with voxels have no images: c"):
        FolderScenes(tmp_path)


def test_the_check_names_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_folder(tmp_path)
    check = ["eval", "--dataset", "folder", "--root", str(folder), "--check"]
    assert main(check) == 0
    assert capsys.readouterr().out == "folder: complete\n"
    damaged = (folder / "voxels" / "c.npz").read_bytes()[:-50]
    (folder / "voxels" / "c.npz").write_bytes(damaged)
    np.savez(folder / "voxels" / "b.npz", target=np.full(SIZE, 20, np.uint8))
    np.savez(folder / "voxels" / "z.npz", target=target(0))
    np.save(folder / "depth" / "a.npy", np.zeros((2, 2), np.float32))
    assert cv2.imwrite(str(folder / "semantics" / "b.png"), make_image(0))
    image = folder / "right" / "c.png"
    image.write_bytes(image.read_bytes()[:-9])
    assert main(check) == 1
    found = capsys.readouterr().out.replace(f"{folder}", "").splitlines()
    assert found[-1] == "folder: 6 problems" and len(found) == 7
    starts = [
        ": frame z has a ground truth, but no images",
        "/depth/a.npy: depth is not float32 (48, 160)",
        "/semantics/b.png: the image does not have one channel",
        "/voxels/b.npz: 20 is not a class id",
        "/right/c.png: the image file is damaged",
        "/voxels/c.npz: the voxels cannot be read",
    ]
    assert all(line.startswith(start) for line, start in zip(found, starts, strict=False))


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"target": target(0).astype(np.int64)}, "target is int64"),
        ({"target": target(0)[0]}, "not uint8"),
        ({"labels": target(0)}, "cannot be read"),
        ({"target": target(0), "resolution": -1.0}, "origin and resolution"),
        ({"target": target(0), "origin": [1.0, 2]}, "origin and resolution"),
        ({"target": target(0), "seen": np.zeros(3, np.uint8)}, "not one bit per voxel"),
        ({"target": np.array([None])}, "cannot be read"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, object], text: str) -> None:
    folder = own_folder(tmp_path)
    np.savez(folder / "voxels" / "b.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=text) as caught:
        FolderScenes(folder)[0]
    assert "b.npz" in str(caught.value)


def test_voxels_of_tartanair_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [((0.0, 0.0, 0.0), quaternion(0.1)), ((6.5, 0.2, 0.0), quaternion(3.0))]
    trajectory = room(tmp_path / "office" / "Easy" / "P005", places)
    for ground_truth in ("fused", "visible"):
        out = tmp_path / ground_truth
        command = [
            "voxelize",
            "--kind",
            "tartanair",
            "--source",
            str(trajectory),
            "--out",
            str(out),
            "--ground-truth",
            ground_truth,
        ]
        assert main(command) == 0
        scene = open_dataset("tartanair", tmp_path, ["val"], labels=ground_truth)[0]
        assert scene.seen is not None
        with np.load(out / "000000.npz") as arrays:
            np.testing.assert_array_equal(arrays["target"], scene.target)
            np.testing.assert_array_equal(arrays["seen"], np.packbits(scene.seen))
            assert tuple(arrays["origin"]) == scene.grid.origin and arrays["resolution"] == scene.grid.resolution
        assert [path.name for path in out.iterdir()] == ["000000.npz"]
        assert main(command) == 2 and "the file exists already" in capsys.readouterr().err
    assert isinstance(open_dataset("tartanair", tmp_path, ["Easy/P005"]), TartanScenes)
    assert main(["eval", "--dataset", "tartanair", "--root", str(tmp_path), "--check"]) == 0
    assert main(["eval", "--dataset", "tartanair", "--root", str(tmp_path)]) == 2
    assert "no model has the classes of tartanair" in capsys.readouterr().err


def test_every_data_set_that_is_a_download_can_be_checked() -> None:
    assert set(CHECKS) == set(DATASETS) - {"synthetic", "images"}


@pytest.mark.parametrize("kind", ["nyu", "tartanair", "folder"])
def test_invalid_requests_are_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=f"{kind} needs a root folder"):
        open_dataset(kind)
    with pytest.raises(SourceError, match="has no labels 'recon10'"):
        open_dataset(kind, tmp_path, labels="recon10")
    with pytest.raises(SourceError):
        open_dataset(kind, tmp_path)
