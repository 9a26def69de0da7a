"""SemanticKITTI as scenes: official, derived and completed labels; the cache; LiDAR in the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import LANDMARK, WIDTH, kitti_odometry, labelled_scans, make_image

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.data import label_cache
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.scans.completion import (
    ALL_SCANS,
    AROUND,
    RECON10,
    VIEWPOINT_SPACING,
    CompletionRule,
    complete_scans,
)
from occdepth_ros.data.scans.projection import project_scan
from occdepth_ros.data.scans.voxelize import PosedScan
from occdepth_ros.data.semantic_kitti import scenes as semantic_kitti_scenes
from occdepth_ros.data.semantic_kitti.scan_options import ScanOptions
from occdepth_ros.data.semantic_kitti.scenes import SCANS, SemanticKittiScenes
from occdepth_ros.errors import SourceError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

ROAD_CLASS, SIGN_CLASS = 9, 19
GRID = VoxelGrid((0.0, -1.2, -1.0), (16, 12, 10), 0.2)
CAR, MOVING_CAR, BUILDING, OTHER_OBJECT = 10, 252, 50, 99


def scan(cells: list[tuple[int, int, int]], labels: list[int], x: float = 0.0) -> PosedScan:
    """Return a scan with points at cell centres and a LiDAR at (x, 0, 0)."""
    pose = np.eye(4)
    pose[0, 3] = x
    return PosedScan(GRID.centers_of(np.array(cells).reshape(-1, 3)) - pose[:3, 3], np.array(labels, np.uint16), pose)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    labelled_scans(tmp_path / "sequences" / "04")
    return tmp_path


def test_completed_labels_depth_and_classes_of_a_sequence(root: Path, tmp_path: Path) -> None:
    data = SemanticKittiScenes(root, ["4"], SCANS, cache=tmp_path / "cache")
    assert isinstance(data, SceneDataset)
    assert data.names == ["04/000000", "04/000001", "04/000002"] and len(data) == 3
    scene = data[0]
    np.testing.assert_array_equal(scene.left, make_image(0))
    np.testing.assert_array_equal(scene.right, make_image(100))
    assert scene.grid == BENCHMARK_GRID
    (cell,), _ = scene.grid.index_of(LANDMARK[None])
    assert np.argwhere(scene.target == SIGN_CLASS).tolist() == [cell.tolist()]
    assert (scene.target == ROAD_CLASS).sum() > 2000
    assert scene.seen is not None and scene.seen[tuple(cell)] and not scene.seen[scene.target == 255].any()
    assert scene.depth is not None and scene.semantics is not None
    at = scene.rig.left_from_grid @ [*LANDMARK, 1]
    u, v, _ = scene.rig.left.intrinsics @ at[:3] / at[2]
    pixel = round(v), round(u)
    assert scene.depth[pixel] == pytest.approx(at[2], abs=1e-4) and scene.semantics[pixel] == SIGN_CLASS
    np.testing.assert_array_equal(np.isnan(scene.depth), scene.semantics == 255)
    with pytest.raises(IndexError):
        data[3]


def test_earlier_pairs_come_with_their_poses_in_the_scene_s_grid(root: Path) -> None:
    data = SemanticKittiScenes(root, ["4"], SCANS, scans=ScanOptions(variants=2))
    first, last, turned = data[0], data[data.names.index("04/000002")], data[data.names.index("04/000002-1")]
    assert first.history is not None and list(first.history(5)) == []
    assert last.history is not None and turned.history is not None
    pairs = last.history(5)
    assert len(pairs) == 2 and len(last.history(1)) == 1
    np.testing.assert_array_equal(pairs[0].left, first.left)
    assert first.world_from_grid is not None and turned.world_from_grid is not None
    np.testing.assert_allclose(pairs[0].world_from_grid, first.world_from_grid)
    np.testing.assert_allclose(last.history(1)[0].world_from_grid, pairs[1].world_from_grid)
    # the grid is turned in the same way at every time
    moved = np.linalg.inv(pairs[1].world_from_grid) @ turned.history(1)[0].world_from_grid
    assert last.world_from_grid is not None
    np.testing.assert_allclose(moved, np.linalg.inv(last.world_from_grid) @ turned.world_from_grid, atol=1e-9)


def test_the_cache_is_read_and_invalidated_by_changed_inputs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def first(rule: CompletionRule = AROUND) -> np.ndarray:
        return SemanticKittiScenes(root, ["04"], SCANS, cache=cache, scans=ScanOptions(rule))[0].target

    made = first()
    (file,) = cache.iterdir()
    monkeypatch.setattr(semantic_kitti_scenes, "complete_scans", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(first(), made)
    monkeypatch.undo()
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(first(), made)
    np.testing.assert_array_equal(first(), made)
    first(CompletionRule(reach=1.0))
    assert len(list(cache.iterdir())) == 2, "the reach differs"
    poses = root / "sequences" / "04" / "poses.txt"
    first_pose, *rest = poses.read_text().splitlines()
    poses.write_text("\n".join([first_pose, *reversed(rest)]))
    first()
    assert len(list(cache.iterdir())) == 3, "the poses differ"
    monkeypatch.setattr(label_cache, "__version__", "0.0.0")
    first()
    assert len(list(cache.iterdir())) == 4, "the version differs"


def test_visibility_of_official_labels_follows_the_occluded_files(root: Path) -> None:
    voxels = root / "sequences" / "04" / "voxels"
    voxels.mkdir()
    raw = np.zeros(BENCHMARK_GRID.size, "<u2")
    raw[10, 10, 4], raw[20, 20, 4] = 40, 50
    masks = {kind: np.zeros(raw.shape, bool) for kind in ("invalid", "occluded", "bin")}
    masks["bin"][10, 10, 4] = True
    masks["occluded"][10, 10, 4] = masks["occluded"][20:, 20, 4] = True
    masks["invalid"][30:, 20, 4] = True
    raw.tofile(voxels / "000000.label")
    for kind, mask in masks.items():
        (voxels / f"000000.{kind}").write_bytes(np.packbits(mask).tobytes())
    scene = SemanticKittiScenes(root, ["04"])[0]
    assert scene.name == "04/000000" and scene.seen is not None
    assert scene.target[10, 10, 4] == 9 and scene.target[20, 20, 4] == 13
    assert (scene.target[30:, 20, 4] == 255).all() and (scene.target == 255).sum() == 226
    assert scene.seen[10, 10, 4] and not scene.seen[20:, 20, 4].any() and scene.seen[20, 21].all()


def test_derived_labels_without_scans(tmp_path: Path) -> None:
    folder = kitti_odometry(tmp_path / "sequences" / "04", 1)
    (folder / "voxels").mkdir()
    target = np.zeros(BENCHMARK_GRID.size, np.uint8)
    target[20] = 13
    target[21:] = 255
    np.savez(folder / "voxels" / "000000.mine.npz", target=target)
    scene = SemanticKittiScenes(tmp_path, ["04"], "mine")[0]
    np.testing.assert_array_equal(scene.target, target)
    assert scene.depth is None and scene.semantics is None and scene.seen is not None
    assert scene.seen[:20].all() and scene.seen[20, 108:148, 8:24].all() and not scene.seen[21:].any()


def test_the_last_frame_of_a_drive_is_completed_by_earlier_scans(root: Path) -> None:
    both, ahead = (
        SemanticKittiScenes(root, ["04"], SCANS, scans=ScanOptions(rule))[2].target for rule in (AROUND, RECON10)
    )
    occupied, alone = ((target != 0) & (target != 255) for target in (both, ahead))
    assert occupied.sum() > 1.1 * alone.sum() and not (alone & ~occupied).any()


def test_scans_without_images_are_named(root: Path) -> None:
    for side in ("image_2", "image_3"):
        (root / "sequences" / "04" / side / "000001.png").unlink()
    with pytest.raises(SourceError, match=r"1 of 3 labelled scans have no images: 000001"):
        SemanticKittiScenes(root, ["04"], SCANS)
    with pytest.raises(SourceError, match="sequence 05 is missing"):
        SemanticKittiScenes(root, ["05"], SCANS)


def test_hidden_space_is_free_only_if_the_rule_uses_lines_of_sight_of_other_scans() -> None:
    wall = [(6, y, z) for y in range(GRID.size[1]) for z in range(1, GRID.size[2])]
    own, other = scan(wall, [CAR] * len(wall)), scan([(14, 6, 4)], [CAR], 2.5)
    alone = complete_scans(own, [other], CompletionRule(viewpoints="reference"), GRID)
    shared = complete_scans(own, [other], CompletionRule(viewpoints="all"), GRID)
    for made in (alone, shared):
        assert (made.target[:6] == 0).all() and (made.target[6, :, 1:] == 1).all() and made.target[14, 6, 4] == 1
        assert made.seen[:6, :, 1:].all() and made.seen[6, 6, 5] and not made.seen[7:].any()
    assert (alone.target[7:14, :, 1:] == 255).all() and (shared.target[7:14, :, 1:] == 0).all()


def test_viewpoints_below_the_minimum_spacing_are_not_used() -> None:
    wall = [(6, y, z) for y in range(GRID.size[1]) for z in range(1, GRID.size[2])]
    own, near = scan(wall, [CAR] * len(wall)), scan([(14, 6, 4)], [CAR], VIEWPOINT_SPACING - 0.5)
    assert (complete_scans(own, [near], CompletionRule(viewpoints="all"), GRID).target[10:14, 5, 3] == 255).all()


def test_the_lowest_layer_is_free_and_moving_objects_leave_trails_only_if_requested() -> None:
    own = scan([(4, 6, 0), (4, 6, 5)], [CAR, MOVING_CAR])
    other = scan([(9, 6, 5), (9, 2, 5)], [MOVING_CAR, OTHER_OBJECT], 1.0)
    clean = complete_scans(own, [other], CompletionRule(moving_from_all=False), GRID)
    trail = complete_scans(own, [other], CompletionRule(moving_from_all=True), GRID)
    assert np.argwhere(clean.target == 1).tolist() == [[4, 6, 5]]
    assert np.argwhere(trail.target == 1).tolist() == [[4, 6, 5], [9, 6, 5]]
    assert (clean.target[..., 0] == 0).all() and clean.target[9, 2, 5] == 255


def test_gaps_between_hits_of_the_ground_are_unknown_by_the_densest_rule() -> None:
    ground = scan([(x, y, 2) for x in (4, 5, 8, 9) for y in range(GRID.size[1])], [40] * 4 * GRID.size[1])
    for rule, expected in ((CompletionRule(viewpoints="all"), 0), (ALL_SCANS, 255)):
        target = complete_scans(ground, [], rule, GRID).target
        assert (target[7, 4:8, 2] == expected).all() and (target[4, :, 2] == ROAD_CLASS).all()
        assert (target[7, 4:8, 5] == 0).all()
    assert ALL_SCANS.past and not ALL_SCANS.moving_from_all


def test_buildings_hide_space_above_the_highest_beam() -> None:
    house = scan([(8, y, z) for y in range(GRID.size[1]) for z in range(1, 6)], [BUILDING] * GRID.size[1] * 5)
    cars = scan([(8, y, z) for y in range(GRID.size[1]) for z in range(1, 6)], [CAR] * GRID.size[1] * 5)
    behind = (slice(12, None), slice(None), slice(8, None))
    assert (complete_scans(house, [], CompletionRule(), GRID).target[8:, :, 6:] == 255).all()
    assert (complete_scans(house, [], CompletionRule(shifted=-9.0), GRID).target[behind] == 0).any()
    assert (complete_scans(cars, [], CompletionRule(), GRID).target[behind] == 0).any()


def test_pixels_have_the_depth_and_class_of_the_nearest_point() -> None:
    camera = PinholeCamera(np.array([[100.0, 0, 80, 0], [0, 100, 24, 0], [0, 0, 1, 0]]), WIDTH, 48)
    points = np.array([[0.0, 0, 9], [0, 0, 5], [0, 0, 7], [1, 0, 10], [0, 0, -5], [50, 0, 5], [0.1, 0, 2]])
    labels = np.array([40, 10, 50, 0, 71, 71, 252], np.uint16)
    depth, classes = project_scan(points, labels, camera, np.eye(4))
    assert {(int(r), int(c)): float(depth[r, c]) for r, c in np.argwhere(np.isfinite(depth))} == {
        (24, 80): 5.0,
        (24, 90): 10.0,
        (24, 85): 2.0,
    }
    assert classes[24, 80] == 1 and classes[24, 90] == 255 and classes[24, 85] == 1


def test_completed_scans_agree_with_recon10(kitti_mini: Path) -> None:
    derived = SemanticKittiScenes(kitti_mini, ["00"], "recon10")
    made = SemanticKittiScenes(kitti_mini, ["00"], SCANS, scans=ScanOptions(RECON10))
    theirs, ours = (data[data.names.index("00/000000")].target[..., 1:] for data in (derived, made))
    occupied, also = ((target != 0) & (target != 255) for target in (theirs, ours))
    assert (occupied & also).sum() / (occupied | also).sum() > 0.96
    assert (theirs == ours)[occupied & also].mean() > 0.998
    both = (theirs != 255) & (ours != 255)
    assert (occupied == also)[both].mean() > 0.999 and both.sum() / (theirs != 255).sum() > 0.9
