"""SemanticTartanAir on a rendered room: poses, both kinds of ground truth, the cache and the check of a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.rooms import BLOCK, ROOM, quaternion, room, rotation_of

from occdepth_ros.classes import TARTANAIR
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.tartanair.check import check_tartanair
from occdepth_ros.data.tartanair.dataset import (
    OPTICAL_FROM_NED,
    Trajectory,
    expand_trajectories,
    level_frame,
    read_ned_poses,
)
from occdepth_ros.data.tartanair.scenes import TartanScenes
from occdepth_ros.data.tartanair.voxels import TARTANAIR_GRID, fused_scene, visible_surface
from occdepth_ros.errors import CalibrationError, SourceError

START = ((0.0, 0.0, 0.0), quaternion(0.0, -0.1, 0.05))
PLACES = [
    START,
    ((7.0, 0.2, 0.0), quaternion(np.pi - 0.1)),
    ((4.0, 2.6, 0.0), quaternion(-np.pi / 2, -0.2)),
    ((4.0, -2.6, -0.8), quaternion(np.pi / 2, -0.6)),
]
CEILING, FLOOR, WALL, SOFA = (TARTANAIR.id_of(name) for name in ("ceiling", "floor", "wall", "sofa"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tartanair")
    room(folder / "office" / "Easy" / "P005", PLACES)
    return folder


def world_centers() -> np.ndarray:
    """Return the voxel centres in the NED world for the frame `START`, which is level with heading along x."""
    return TARTANAIR_GRID.centers().reshape(*TARTANAIR_GRID.size, 3) * [1, -1, -1]


def inside(box: np.ndarray, margin: float) -> np.ndarray:
    points = world_centers()
    return np.asarray(((points > box[:, 0] + margin) & (points < box[:, 1] - margin)).all(-1))


def test_poses_of_a_level_frame_ignore_pitch_and_roll(tmp_path: Path) -> None:
    yaws, others = (0.3, -2.5, 3.0), ((0.4, -0.2), (-1.2, 0.3), (0.0, 0.0))
    rows = [[1, 2, 3, *quaternion(yaw, *other)] for yaw, other in zip(yaws, others, strict=True)]
    (tmp_path / "poses.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    for pose, row, yaw in zip(read_ned_poses(tmp_path / "poses.txt"), rows, yaws, strict=True):
        np.testing.assert_allclose(pose[:3, :3], rotation_of(np.array(row[3:])) @ OPTICAL_FROM_NED.T, atol=1e-12)
        level = level_frame(pose)
        c, s = np.cos(yaw), np.sin(yaw)
        np.testing.assert_allclose(level[:3], [[c, s, 0, 1], [s, -c, 0, 2], [0, 0, -1, 3]], atol=1e-9)
    down = read_ned_poses(tmp_path / "poses.txt")[0]
    down[:3, :3] = rotation_of(quaternion(0.7, -np.pi / 2)) @ OPTICAL_FROM_NED.T
    np.testing.assert_allclose(level_frame(down)[:2, 0], [np.cos(0.7), np.sin(0.7)], atol=1e-9)


def test_one_frame_labels_surfaces_and_the_space_in_front_of_them(root: Path) -> None:
    made = Trajectory(root / "office" / "Easy" / "P005")
    scene = fused_scene(made.read("000000"), ())
    block, hall = inside(BLOCK, 0.15), inside(ROOM, 0.15)
    x, y, z = np.moveaxis(world_centers(), -1, 0)
    assert (scene.target[block] == 255).all() and not scene.seen[block].any()
    front = np.abs(x - 3.5) < 0.06
    core = front & (np.abs(y) < 0.4) & (z > -0.15) & (z < 0.9)
    assert (scene.target[core] == SOFA).any() and set(np.unique(scene.target[core])) <= {SOFA, 0, 255}
    before = hall & (x > 0.6) & (x < 3.2) & (np.abs(y) < 0.4 * x) & (np.abs(z) < 0.4 * x)
    assert (scene.target[before] == 0).all() and scene.seen[before].all()
    shadow = hall & (x > 4.7) & (x < 7.5) & (np.abs(y) < 0.4) & (z > 0.0) & (z < 0.9)
    assert (scene.target[shadow] == 255).all()
    assert (scene.target[(x > 8.2)] == 255).all(), "behind the wall"


def test_the_trajectory_completes_the_room(root: Path, tmp_path: Path) -> None:
    data = TartanScenes(root, ["val"], cache=tmp_path, stride=1)
    assert isinstance(data, SceneDataset)
    assert data.names == [f"Easy/P005/{i:06d}" for i in range(4)]
    scene = data[0]
    x, y, z = np.moveaxis(world_centers(), -1, 0)
    hall = inside(ROOM, 0.15) & (x > 1.0) & (x < 7.0)
    around = (x > BLOCK[0, 0] - 0.15) & (x < BLOCK[0, 1] + 0.15) & (np.abs(y) < 0.65) & (z > -0.4)
    assert (scene.target[hall & ~around & (np.abs(y) < 1.5)] == 0).mean() > 0.99
    assert set(np.unique(scene.target[hall & ~around])) <= {0, 255}
    assert (scene.target[inside(BLOCK, 0.15)] == 255).all(), "no ray enters the block"
    for side, expected in ((z > 0.95, FLOOR), (z < -1.45, CEILING), (x > 7.9, WALL)):
        hits = scene.target[side & (scene.target != 0) & (scene.target != 255) & ~around]
        assert len(hits) > 200 and (hits == expected).mean() > 0.85
    assert scene.seen is not None and scene.depth is not None and scene.semantics is not None
    shadow = hall & (x > 4.8) & (np.abs(y) < 0.4) & (z > 0.0) & (z < 0.8)
    assert (scene.target[shadow] == 0).mean() > 0.95 and not scene.seen[shadow].any()
    # The rig projects the front of the block to pixels with its rendered depth.
    point = scene.rig.left_from_grid @ [3.5, 0.1, -0.5, 1]
    u, v, _ = scene.rig.left.intrinsics @ point[:3] / point[2]
    assert scene.depth[round(v), round(u)] == pytest.approx(point[2], abs=0.01)
    assert scene.semantics[round(v), round(u)] == SOFA
    assert scene.rig.baseline == pytest.approx(0.25, abs=1e-6)
    assert len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(data[0].target, scene.target)


def test_the_published_ground_truth_is_one_frame_s_surface(root: Path) -> None:
    frame = Trajectory(root / "office" / "Easy" / "P005").read("000000")
    target = visible_surface(frame)
    scene = TartanScenes(root, ["P005"], ground_truth="visible")[0]
    np.testing.assert_array_equal(scene.target, target)
    assert not (target == 255).any() and scene.seen is not None and scene.seen[target != 0].all()
    # The front of the block at x = 3.5 m is rounded to cell 35.
    rows = np.argwhere(target == SOFA)
    assert rows[:, 0].min() == 35
    # Cells are rounded along the right axis, which starts at -6 m: right = 6.0 - y.
    assert rows[:, 1].min() == 119 - 65 and rows[:, 1].max() == 119 - 55
    fused = fused_scene(frame, ()).target
    assert 0.5 < (target != 0).sum() / ((fused != 0) & (fused != 255)).sum() < 2


def test_names_of_trajectories_are_expanded() -> None:
    assert expand_trajectories(["P003", "Hard/P007", "val", "Easy/P005"]) == ["Easy/P003", "Hard/P007", "Easy/P005"]
    assert "Easy/P005" not in expand_trajectories(["train"])
    for name in ("P007", "Hard/P008", "test", "../P000"):
        with pytest.raises(SourceError, match="there is no trajectory"):
            expand_trajectories([name])


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    folder = room(tmp_path / "office" / "Easy" / "P001", [START, START])
    assert list(check_tartanair(tmp_path, ["P001"])) == []
    (folder / "seg_left" / "000001_left_seg.npy").unlink()
    with pytest.raises(SourceError, match=r"1 of 2 frames have no seg_left: 000001"):
        Trajectory(folder)
    depth = folder / "depth_left" / "000000_left_depth.npy"
    depth.write_bytes(depth.read_bytes()[:-4])
    image = folder / "image_right" / "000001_right.png"
    image.write_bytes(image.read_bytes()[:-20])
    poses = folder / "pose_left.txt"
    poses.write_text(poses.read_text().splitlines()[0])
    (folder / "pose_right.txt").unlink()
    found = [str(p).removeprefix(f"{tmp_path}/office/Easy/") for p in check_tartanair(tmp_path, ["P001", "P002"])]
    assert found[0] == "P001/pose_left.txt: there are 1 poses for 2 frames"
    assert found[1].startswith("P001/pose_right.txt: the file cannot be read")
    assert found[2].startswith("P001/image_right/000001_right.png: the image file is damaged")
    assert found[3].startswith("P001/depth_left/000000_left_depth.npy: the array cannot be read")
    assert found[4] == "P001/seg_left: 1 of 2 files are missing (000001)"
    assert found[5:] == ["P002: the trajectory is missing"]


def test_swapped_cameras_are_refused(tmp_path: Path) -> None:
    folder = room(tmp_path / "Easy" / "P001", [START], baseline=-0.25)
    with pytest.raises(CalibrationError, match=r"the right camera is at \(-0.250"):
        Trajectory(folder)
