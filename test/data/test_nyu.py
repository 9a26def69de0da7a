"""NYUv2: run-length encoded voxels, virtual right images, and the check of a download."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import NYU
from occdepth_ros.data import nyu
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.nyu import FINE, NyuScenes, check_nyu, read_voxels
from occdepth_ros.data.virtual_view import right_view
from occdepth_ros.errors import CalibrationError, OccDepthError, SourceError

# The optical axis is the y axis of the room; right is x, down is -z.
POSE = np.array([[1.0, 0, 0, 0.1], [0, 0, 1, -0.2], [0, -1, 0, 1.3], [0, 0, 0, 1]])
ORIGIN = (-2.4, 0.0, -0.05)
FLOOR, SOFA = 2, 8  # raw ids


def volume() -> np.ndarray:
    """Return raw ids of a floor, a block of sofa and unknown space behind it; axes x, up, y."""
    raw = np.zeros(FINE, np.uint8)
    raw[:, :4] = FLOOR
    raw[100:140, 4:40, 120:160] = SOFA
    raw[:, :, 200:] = 255
    return raw


def encode(raw: np.ndarray, pose: np.ndarray = POSE) -> bytes:
    flat = raw.ravel()
    starts = np.flatnonzero(np.r_[True, np.diff(flat.astype(int)) != 0])
    lengths = np.diff(np.r_[starts, flat.size])
    pairs = np.stack([flat[starts].astype("<u4"), lengths.astype("<u4")], 1)
    return struct.pack("<3f", *ORIGIN) + pose.astype("<f4").tobytes() + pairs.astype("<u4").tobytes()


def write(folder: Path, name: str = "NYU0003_0000") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bin").write_bytes(encode(volume()))
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    depth = np.full((480, 640), 16000, np.uint16)
    depth[:10] = 0
    depth[10:20] = 65535
    assert cv2.imwrite(str(folder / f"{name}_color.jpg"), cv2.GaussianBlur(image, (0, 0), 8))
    assert cv2.imwrite(str(folder / f"{name}.png"), np.minimum(depth, 65535))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "NYUtest")
    return tmp_path


def test_a_scene_of_the_official_layout(root: Path) -> None:
    data = NyuScenes(root, "test")
    assert isinstance(data, SceneDataset) and data.names == ["NYU0003_0000"]
    scene = data[0]
    assert scene.virtual and scene.grid.size == (60, 60, 36) and scene.grid.origin == pytest.approx(ORIGIN)
    expected = np.zeros(scene.grid.size, np.uint8)
    expected[:, :, 0] = NYU.id_of("floor")
    expected[25:35, 30:40, 1:10] = NYU.id_of("sofa")
    expected[:, 50:] = 255
    np.testing.assert_array_equal(scene.target, expected)
    assert scene.depth is not None and scene.seen is not None
    assert np.isnan(scene.depth[:10]).all() and scene.depth[10:20].max() == pytest.approx(65535 / 8000)
    assert scene.depth[20:].min() == scene.depth[20:].max() == 2.0
    assert scene.seen[30, 30, 5] and not scene.seen[30, 41:50, 2].any() and not scene.seen[expected == 255].any()
    assert scene.rig.baseline == pytest.approx(0.1)
    point = scene.rig.left_from_grid @ [0.1, 1.8, 1.3, 1]
    np.testing.assert_allclose(point[:3], [0, 0, 2], atol=1e-6)


def test_the_virtual_image_agrees_with_the_rig() -> None:
    left = np.random.default_rng(1).integers(1, 255, (6, 40, 3), np.uint8)
    depth = np.full((6, 40), 5.0, np.float32)
    depth[:, 20:24] = 2.0
    depth[0] = np.nan
    depth[1] = np.inf
    right = right_view(left, depth, 10.0)
    assert not right[0].any()
    np.testing.assert_array_equal(right[1], left[1])
    np.testing.assert_array_equal(right[2:, 15:19], left[2:, 20:24])
    np.testing.assert_array_equal(right[2:, :15], left[2:, 2:17])
    assert not right[2:, 19:22].any(), "hidden from the left camera"
    np.testing.assert_array_equal(right[2:, 22:38], left[2:, 24:])


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 240 * 144 * 240 - 1), unique=True, max_size=8), seed=st.integers(0, 99))
def test_runs_round_trip(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], seed: int) -> None:
    edges = [0, *sorted(cuts), 240 * 144 * 240]
    values = np.random.default_rng(seed).integers(0, 37, len(edges) - 1)
    pairs = np.stack([values, np.diff(edges)], 1).astype("<u4")
    path = tmp_path_factory.mktemp("runs") / "a.bin"
    path.write_bytes(struct.pack("<3f", *ORIGIN) + POSE.astype("<f4").tobytes() + pairs.tobytes())
    made = read_voxels(path).labels
    raw = np.zeros(240 * 144 * 240, np.uint8)
    for value, a, b in zip(values, edges, edges[1:], strict=False):
        raw[a:b] = value
    # A block with a single label has that label.
    blocks = raw.reshape(60, 4, 36, 4, 60, 4).transpose(0, 4, 2, 1, 3, 5).reshape(60, 60, 36, 64)
    pure = (blocks == blocks[..., :1]).all(-1)
    np.testing.assert_array_equal(made[pure], NYU.from_raw(blocks[..., 0])[pure])


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (lambda b: b[:-8], SourceError, "voxels, not 8294400"),
        (lambda b: b[:-3], SourceError, "bytes, not 76 plus a multiple of 8"),
        (lambda b: b"", SourceError, "0 bytes"),
        (lambda b: b[:12] + bytes(64) + b[76:], CalibrationError, "not a rotation"),
        (lambda b: b[:76] + struct.pack("<I", 37) + b[80:], SourceError, "37 is not a label"),
    ],
)
def test_damaged_voxels_are_named(root: Path, damage, error: type[OccDepthError], text: str) -> None:  # type: ignore[no-untyped-def]
    path = root / "NYUtest" / "NYU0003_0000.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(error, match=text) as caught:
        read_voxels(path)
    assert str(path) in str(caught.value)


def test_the_check_names_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "depthbin" / "NYUtest")
    write(folder, "NYU0004_0000")
    monkeypatch.setitem(nyu.SPLITS, "test", ("NYUtest", 2))
    assert list(check_nyu(tmp_path, "test")) == []
    (folder / "NYU0003_0000_color.jpg").unlink()
    png = folder / "NYU0003_0000.png"
    png.write_bytes(png.read_bytes()[:200])
    voxels = folder / "NYU0004_0000.bin"
    voxels.write_bytes(voxels.read_bytes()[:-8])
    monkeypatch.setitem(nyu.SPLITS, "test", ("NYUtest", 654))
    found = [str(problem).removeprefix(f"{folder}") for problem in check_nyu(tmp_path, "test")]
    assert found[0] == ": there are 2 scenes, not 654"
    assert found[1].startswith("/NYU0004_0000.bin: the runs hold")
    assert found[2].startswith(": 1 of 2 scenes have no _color.jpg file: NYU0003_0000")
    assert found[3].startswith("/NYU0003_0000.png: the image file is damaged")
    with pytest.raises(SourceError, match=r"1 of 2 scenes have no NAME_color\.jpg: NYU0003_0000"):
        NyuScenes(tmp_path, "test")
    with pytest.raises(SourceError, match="there is no folder NYUtrain"):
        NyuScenes(tmp_path, "train")
