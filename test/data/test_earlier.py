"""Earlier images of the left camera: their poses, storage, mirroring, and the networks that use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.cli import main
from occdepth_ros.data.earlier import EarlierView
from occdepth_ros.data.example import SceneExample
from occdepth_ros.data.factory import open_dataset
from occdepth_ros.data.semantic_kitti.scenes import SemanticKittiScenes
from occdepth_ros.data.synthetic.dataset import SyntheticDataset
from occdepth_ros.data.synthetic.folder import read_scene, write_scene
from occdepth_ros.errors import GridError, SourceError
from occdepth_ros.models.monoocc.config import PRESETS
from occdepth_ros.training.augmentation import mirrored
from occdepth_ros.training.tasks.monoocc import MonoOccOptions
from occdepth_ros.training.tasks.monoocc_views import SceneViews

PAST = (-6, -3)
ImageArray = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def scenes() -> list[SceneExample]:
    made = SyntheticDataset(3, 4, past=PAST)
    return [made[index] for index in range(4)]


def color_errors(scene: SceneExample, offset: int, pose: Callable[[EarlierView], np.ndarray]) -> float:
    """Return the median colour difference between pixels with depth and their projections into an earlier image."""
    assert scene.earlier is not None and scene.depth is not None
    view = scene.earlier[offset]
    v, u = np.nonzero(np.isfinite(scene.depth) & (scene.depth > 4) & (scene.depth < 25))
    left = scene.rig.left
    rays = np.linalg.inv(left.intrinsics) @ np.stack([u, v, np.ones_like(u)])
    in_left = np.vstack([rays * scene.depth[v, u], np.ones_like(u)])
    in_grid = np.linalg.inv(scene.rig.left_from_grid) @ in_left
    x, y, z = view.camera.intrinsics @ (pose(view) @ in_grid)[:3]
    column, row = np.rint(x / z), np.rint(y / z)
    inside = (z > 1) & (column >= 0) & (row >= 0) & (column < left.width) & (row < left.height)
    assert inside.sum() > 500
    column, row = column[inside].astype(int), row[inside].astype(int)
    then, now = (p.astype(float) for p in (view.image[row, column], scene.left[v[inside], u[inside]]))
    return float(np.median(np.abs(then - now).mean(axis=1)))


@pytest.mark.parametrize("offset", PAST)
def test_the_pose_projects_surfaces_into_an_earlier_image(scenes: list[SceneExample], offset: int) -> None:
    for scene in scenes:
        right = color_errors(scene, offset, lambda view, scene=scene: view.camera_from_grid(scene.rig))  # type: ignore[misc]
        wrong = color_errors(scene, offset, lambda _, scene=scene: scene.rig.left_from_grid)  # type: ignore[misc]
        assert right < 0.75 * wrong


def test_the_pose_projects_surfaces_into_real_images(kitti_mini: Path) -> None:
    scenes = SemanticKittiScenes(kitti_mini, ["05"], "recon10", past=PAST)
    first, sixth = scenes[0], scenes[1]
    assert first.name == "05/000000" and first.earlier == {}
    assert sixth.earlier is not None and list(sixth.earlier) == [-3], "frame 5 has no frame -1"
    right = color_errors(sixth, -3, lambda view: view.camera_from_grid(sixth.rig))
    assert right < 0.75 * color_errors(sixth, -3, lambda _: sixth.rig.left_from_grid)


def test_earlier_images_do_not_change_the_rest_of_a_scene(scenes: list[SceneExample]) -> None:
    reference = SyntheticDataset(3, 4)[1]
    assert reference.earlier is None
    for name in ("left", "right", "target", "seen", "semantics"):
        assert (getattr(reference, name) == getattr(scenes[1], name)).mean() > 0.999, name


def test_mirrored_points_are_at_mirrored_pixels(scenes: list[SceneExample]) -> None:
    scene = scenes[0]
    points = np.random.default_rng(0).uniform((8, -4, -1.5, 1), (30, 4, 1, 1), (40, 4))
    assert scene.earlier is not None
    for swap in (True, False):
        other = mirrored(scene, swap_views=swap)
        assert other.earlier is not None and list(other.earlier) == list(scene.earlier)
        for offset, view in scene.earlier.items():
            twin = other.earlier[offset]
            assert np.array_equal(twin.image, view.image[:, ::-1])
            u, v = _pixels(view, scene.rig, points)
            flipped, same = _pixels(twin, other.rig, points * [1, -1, 1, 1])
            assert np.allclose(flipped, view.camera.width - 1 - u) and np.allclose(same, v)


def _pixels(view: EarlierView, rig: StereoRig, points: np.ndarray) -> np.ndarray:
    x, y, z = view.camera.intrinsics @ (view.camera_from_grid(rig) @ points.T)[:3]
    return np.stack([x / z, y / z])


def test_scenes_on_disk_have_earlier_images(scenes: list[SceneExample], tmp_path: Path) -> None:
    path = tmp_path / f"{scenes[0].name}.npz"
    write_scene(scenes[0], path)
    made, back = scenes[0].earlier, read_scene(path).earlier
    assert made is not None and back is not None and list(back) == list(PAST)
    for offset in PAST:
        np.testing.assert_allclose(back[offset].moved, made[offset].moved)
        assert np.abs(back[offset].image.astype(int) - made[offset].image).mean() < 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"earlier_offsets": np.array([[-3]], np.int32)}, "earlier_offsets"),
        ({"earlier_offsets": np.arange(-40, 0, dtype=np.int32)}, "earlier_offsets"),
        ({"earlier_moved": np.eye(4)}, "earlier_moved"),
        ({"earlier_moved": np.full((2, 4, 4), np.nan)}, "not a finite"),
        ({"earlier_1": np.zeros(9, np.uint8)}, "an image is damaged"),
    ],
)
def test_invalid_earlier_images_are_named(
    scenes: list[SceneExample], tmp_path: Path, change: dict[str, np.ndarray], words: str
) -> None:
    path = tmp_path / "train-3-000000.npz"
    write_scene(scenes[0], path)
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    np.savez(path, **(arrays | change))
    with pytest.raises(SourceError, match=words):
        read_scene(path)


def test_an_earlier_image_of_another_size_is_refused(scenes: list[SceneExample]) -> None:
    small = PinholeCamera(np.eye(3, 4), 8, 8)
    with pytest.raises(GridError, match="earlier -3"):
        replace(scenes[0], earlier={-3: EarlierView(np.zeros((8, 8, 3), np.uint8), small, np.eye(4))})
    with pytest.raises(GridError, match="not uint8"):
        EarlierView(np.zeros((8, 9, 3), np.uint8), small, np.eye(4))


def test_networks_receive_requested_earlier_images_or_the_current_image_at_the_start_of_a_drive(
    scenes: list[SceneExample],
) -> None:
    scene = scenes[0]
    assert scene.earlier is not None
    begun = replace(scene, earlier={-3: scene.earlier[-3]})
    back, live = PRESETS["monoocc-edge-teacher"], PRESETS["monoocc-edge"]
    assert back.cameras == 1 + len(back.past)
    views = SceneViews.of(begun, back.past)
    images, references = views.shown(back, begun)
    alone, own = views.shown(live, begun)
    assert len(images) == 3 and len(alone) == 1
    for image in images[:2]:
        torch.testing.assert_close(image, alone[0])
    # Reference points are normalized to the image size.
    torch.testing.assert_close(references.points[1], own.points[0], rtol=1e-4, atol=1e-4)
    assert (references.points[2] - own.points[0]).abs().max() > 1e-3
    assert (images[2] - alone[0]).abs().mean() > 0.1


def test_offsets_of_networks_are_used_and_data_without_earlier_images_are_refused(
    scenes: list[SceneExample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MonoOccOptions(preset="monoocc-edge-teacher").past == PAST
    assert MonoOccOptions().past == ()
    assert MonoOccOptions(teacher="some.safetensors").past == PAST
    with pytest.raises(SourceError, match=r"no earlier images.*--past -6 -3"):
        SceneViews.of(replace(scenes[0], earlier=None), PAST)
    with pytest.raises(SourceError, match="nyu has no earlier images"):
        open_dataset("nyu", tmp_path, past=PAST)
    assert main(["synthetic", "--count", "1", "--out", str(tmp_path), "--past", "3"]) == 2
    assert "--past: 3 are no offsets" in capsys.readouterr().err
