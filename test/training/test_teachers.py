"""Depth teachers: maps are computed once, stored, checked when they are read, and assigned to the scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.scenes import HEIGHT, WIDTH, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors.torch import save_file

from occdepth_ros.camera import StereoRig
from occdepth_ros.data.example import SceneExample
from occdepth_ros.errors import CheckpointError, RecipeError, SourceError
from occdepth_ros.models.mobilestereonet.depth import StereoNetDepth
from occdepth_ros.models.mobilestereonet.network import MobileStereoNet2d
from occdepth_ros.training.teachers import (
    DepthCache,
    SemiGlobalTeacher,
    TrainedScenes,
    read_depth,
    with_teacher,
    write_depth,
)


def shifted_pair(disparity: int) -> SceneExample:
    """A textured wall parallel to the images, with the given disparity in pixels."""
    base = scene()
    wide = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH + disparity), dtype=np.uint8)
    left, right = (np.repeat(a[..., None], 3, -1) for a in (wide[:, :WIDTH], wide[:, disparity:]))
    return replace(base, left=np.ascontiguousarray(left), right=np.ascontiguousarray(right), depth=None)


def test_the_matcher_measures_the_distance_of_a_wall() -> None:
    example = shifted_pair(6)
    depth = SemiGlobalTeacher()(example)
    assert depth.shape == (HEIGHT, WIDTH)
    expected = example.rig.left.projection[0, 0] * example.rig.baseline / 6
    assert np.isfinite(depth).mean() > 0.5
    assert np.nanmedian(depth) == pytest.approx(expected, rel=0.02)


def test_maps_are_computed_once_and_read_afterwards(tmp_path: Path) -> None:
    cache = DepthCache(tmp_path, "sgm")
    example = replace(shifted_pair(6), name="08/000005")
    first = cache.depth(example)
    path = tmp_path / "08" / "000005.png"
    assert path.is_file()
    write_depth(path, np.full((HEIGHT, WIDTH), 7.0, np.float32), example.rig.fingerprint)
    again = cache.depth(example)
    assert (again == 7.0).all()
    assert np.isfinite(first).any()
    assert list(path.parent.iterdir()) == [path]


@settings(max_examples=30, deadline=None)
@given(
    depth=arrays(
        np.float32, (HEIGHT, WIDTH), elements=st.one_of(st.floats(0, 300, width=32), st.just(np.nan), st.just(np.inf))
    )
)
def test_maps_round_trip_within_half_a_quantization_step(
    depth: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("depth") / "map.png"
    write_depth(path, depth, scene().rig.fingerprint)
    found = read_depth(path, scene())
    kept = np.isfinite(depth) & (depth < 255.9) & (depth > 0.01)
    assert np.abs(found[kept] - depth[kept]).max(initial=0) <= 0.5 / 256 + 1e-5
    assert np.isnan(found[~np.isfinite(depth) | (depth > 256)]).all()


def test_files_without_a_map_are_refused(tmp_path: Path) -> None:
    example, path = scene(), tmp_path / "map.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(SourceError, match="cannot be read"):
        read_depth(path, example)
    Image.fromarray(example.left).save(path)
    with pytest.raises(SourceError, match="not 16-bit"):
        read_depth(path, example)
    write_depth(path, np.ones((8, 8), np.float32), example.rig.fingerprint)
    with pytest.raises(SourceError, match=r"\(8, 8\)"):
        read_depth(path, example)
    write_depth(path, np.ones((HEIGHT, WIDTH), np.float32), "another")
    with pytest.raises(SourceError, match="another calibration"):
        read_depth(path, example)
    # maps of other programs have no fingerprint
    Image.fromarray(np.full((HEIGHT, WIDTH), 512, np.uint16)).save(path)
    assert (read_depth(path, example) == 2.0).all()


@pytest.mark.parametrize("name", ["../up", "/absolute", "a/../../b", ""])
def test_names_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a valid file name"):
        DepthCache(tmp_path, "sgm").path(name)


def test_scenes_get_the_requested_depth(tmp_path: Path) -> None:
    scenes = [replace(shifted_pair(6), depth=scene().depth)]
    given_depth = with_teacher(scenes, "dataset", tmp_path)[0].depth
    assert given_depth is scene().depth
    assert with_teacher(scenes, "none", tmp_path)[0].depth is None
    trained = with_teacher(scenes, "sgm", tmp_path)
    assert isinstance(trained, TrainedScenes)
    assert len(trained) == 1
    depth = trained[0].depth
    assert depth is not None
    assert np.nanmedian(depth) == pytest.approx(5.0, rel=0.02)
    with pytest.raises(RecipeError, match="oracle"):
        DepthCache(tmp_path, "oracle")


def test_another_calibration_gets_another_matcher() -> None:
    example, teacher = shifted_pair(6), SemiGlobalTeacher()
    first = np.nanmedian(teacher(example))
    projection = example.rig.right.projection.copy()
    projection[0, 3] -= 30
    wider = StereoRig(
        example.rig.left, replace(example.rig.right, projection=projection), example.rig.reference_from_grid
    )
    assert np.nanmedian(teacher(replace(example, rig=wider))) == pytest.approx(2 * first, rel=0.02)


def test_a_stereo_network_processes_images_of_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "msnet.safetensors"
    save_file(MobileStereoNet2d().state_dict(), weights)
    example = replace(shifted_pair(6), name="000000")
    cache = DepthCache(tmp_path / "maps", "mobilestereonet-2d", weights)
    depth = cache.depth(example)
    expected = StereoNetDepth("mobilestereonet-2d", weights, device="cpu")(
        example.left, example.right, example.rig, example.grid
    )
    assert depth.shape == (HEIGHT, WIDTH)
    kept = np.isfinite(depth)
    assert kept.any() and np.abs(depth - expected)[kept].max() <= 0.5 / 256
    # the map exists, so that the weights are not needed
    assert np.array_equal(DepthCache(tmp_path / "maps", "mobilestereonet-2d").depth(example), depth, equal_nan=True)


def test_network_teachers_load_their_weights(tmp_path: Path) -> None:
    example = replace(shifted_pair(6), name="000000")
    with pytest.raises(CheckpointError, match="needs a weights file"):
        DepthCache(tmp_path, "mobilestereonet-3d").depth(example)
    with pytest.raises(RecipeError, match="has no weights"):
        DepthCache(tmp_path, "sgm", tmp_path / "w.safetensors").depth(example)
    assert list(tmp_path.iterdir()) == []
