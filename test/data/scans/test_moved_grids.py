"""Rotated and translated grids, and the ground truth computed for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.sequences import LANDMARK, labelled_scans
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.data.scans.completion import RECON10
from occdepth_ros.data.scans.moved_grids import GridMotion
from occdepth_ros.data.semantic_kitti import scenes as semantic_kitti_scenes
from occdepth_ros.data.semantic_kitti.scan_options import ScanOptions
from occdepth_ros.data.semantic_kitti.scenes import SCANS, SemanticKittiScenes
from occdepth_ros.errors import SourceError

SIGN_CLASS = 19


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_poses_are_rigid_and_within_bounds(seed: int) -> None:
    motion = GridMotion()
    pose = motion.pose(np.random.default_rng(seed))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert (pose[:3, 3] >= motion.lowest).all() and (pose[:3, 3] <= motion.highest).all()
    assert abs(np.arctan2(pose[1, 0], pose[0, 0])) <= motion.yaw
    assert pose[2, 2] > np.cos(6 * motion.tilt * np.sqrt(2)) and pose[3].tolist() == [0, 0, 0, 1]


def test_rotations_are_right_handed() -> None:
    left = GridMotion(yaw=0.1, tilt=0, lowest=(1, 2, 3), highest=(1, 2, 3))
    turns = {round(float(np.arcsin(left.pose(np.random.default_rng(i))[1, 0])), 6) for i in range(20)}
    assert min(turns) < 0 < max(turns) and len(turns) == 20
    assert left.pose(np.random.default_rng(0))[:3, 3].tolist() == [1, 2, 3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    labelled_scans(tmp_path / "sequences" / "04")
    return tmp_path


def test_a_moved_grid_has_the_same_world(root: Path, tmp_path: Path) -> None:
    options = ScanOptions(RECON10, variants=3)
    data = SemanticKittiScenes(root, ["04"], SCANS, scans=options)
    assert len(data) == 9 and data.names[:4] == ["04/000000", "04/000000-1", "04/000000-2", "04/000001"]
    straight = SemanticKittiScenes(root, ["04"], SCANS, scans=ScanOptions(RECON10))[0]
    scenes = [data[i] for i in range(3)]
    np.testing.assert_array_equal(scenes[0].target, straight.target)
    assert scenes[0].rig.fingerprint == straight.rig.fingerprint
    for scene in scenes:
        (place,) = np.argwhere(scene.target == SIGN_CLASS)
        # The voxel of the landmark projects to the pixel of the landmark in the moved rig.
        centre = [*scene.grid.centers_of(place[None])[0], 1]
        seen = scene.rig.left_from_grid @ centre
        true = straight.rig.left_from_grid @ [*LANDMARK, 1]
        np.testing.assert_allclose(seen, true, atol=0.1 * np.sqrt(3) + 1e-6)
        np.testing.assert_array_equal(scene.left, straight.left)
        np.testing.assert_allclose(np.asarray(scene.depth), np.asarray(straight.depth))
        assert scene.seen is not None and scene.seen[tuple(place)]
    poses = [scene.rig.reference_from_grid for scene in scenes]
    assert not np.allclose(poses[1], poses[0]) and not np.allclose(poses[1], poses[2])
    # The lowest layer is set to free only on the original grid.
    assert (scenes[0].target[..., 0] == 0).all()
    assert any((scene.target[..., 0] != 0).any() for scene in scenes[1:])


def test_moved_grids_are_reproducible_and_cached(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(seed: int = 0) -> np.ndarray:
        options = ScanOptions(variants=2, seed=seed)
        return SemanticKittiScenes(root, ["04"], SCANS, cache=tmp_path / "cache", scans=options)[1].target

    made, other = second(), second(1)
    assert not np.array_equal(made, other) and len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr(semantic_kitti_scenes, "complete_scans", lambda *_, **__: pytest.fail("computed again"))
    np.testing.assert_array_equal(second(), made)


def test_frames_with_few_later_scans_are_omitted_if_requested(root: Path) -> None:
    assert SemanticKittiScenes(root, ["04"], SCANS, scans=ScanOptions(later=1)).names == ["04/000000", "04/000001"]
    assert SemanticKittiScenes(root, ["04"], SCANS, scans=ScanOptions(later=2)).names == ["04/000000"]
    with pytest.raises(SourceError, match="no frame has 3 later scans"):
        SemanticKittiScenes(root, ["04"], SCANS, scans=ScanOptions(later=3))


@pytest.mark.parametrize("options", [{"later": -1}, {"variants": 0}, {"stride": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=next(iter(options))):
        ScanOptions(**options)
