"""Voxels to pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.projection import PATTERNS, pattern_pixels, project_voxels

# the grid's x forward, y left, z up in a camera's z forward, x right, y down
AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def camera(fx: float = 100.0, width: int = 64, height: int = 48) -> PinholeCamera:
    k = np.array([[fx, 0, width / 2 - 0.5, 0], [0, fx, height / 2 - 0.5, 0], [0, 0, 1, 0]])
    return PinholeCamera(k, width, height)


@given(
    origin=st.tuples(*[st.floats(-5, 5)] * 3),
    fx=st.floats(20, 500),
    width=st.integers(1, 90),
    height=st.integers(1, 60),
)
def test_visible_voxels_project_into_their_pixel(
    origin: tuple[float, float, float], fx: float, width: int, height: int
) -> None:
    grid = VoxelGrid(origin, (5, 4, 3), 0.5)
    cam = camera(fx, width, height)
    found = project_voxels(grid, cam, AXES)
    points = grid.centers_of(np.indices(grid.size).reshape(3, -1).T) @ AXES[:3, :3].T
    # the origin is rounded to float32, also where the depth is close to zero
    assert np.allclose(found.depth, points[:, 2], atol=1e-6)
    assert (found.depth[found.visible] > 0).all()
    seen = points[found.visible]
    u = seen[:, 0] / seen[:, 2] * fx + width / 2 - 0.5
    v = seen[:, 1] / seen[:, 2] * fx + height / 2 - 0.5
    assert (np.abs(u - found.column[found.visible]) <= 0.5 + 1e-4 * np.abs(u)).all()
    assert (np.abs(v - found.row[found.visible]) <= 0.5 + 1e-4 * np.abs(v)).all()
    assert ((found.column >= 0) & (found.column < width))[found.visible].all()
    assert ((found.row >= 0) & (found.row < height))[found.visible].all()


def test_no_voxel_behind_the_camera_is_visible() -> None:
    found = project_voxels(VoxelGrid((-10.0, -1.0, -1.0), (20, 4, 4), 0.5), camera(), AXES)
    assert (found.depth < 0).any()
    assert not found.visible[found.depth <= 0].any()


def test_a_camera_moved_by_whole_voxels_sees_the_same_pixels() -> None:
    here = project_voxels(VoxelGrid((2.0, -1.0, -1.0), (8, 4, 4), 0.5), camera(), AXES)
    moved = AXES.copy()
    moved[:3, 3] = -AXES[:3, :3] @ [4.0, -2.0, 1.0]
    there = project_voxels(VoxelGrid((6.0, -3.0, 0.0), (8, 4, 4), 0.5), camera(), moved)
    # a projection on the border of two pixels may be rounded to either
    for name in ("column", "row", "visible"):
        assert (getattr(here, name) == getattr(there, name)).mean() > 0.98


def test_pixels_are_rounded_half_to_even() -> None:
    grid = VoxelGrid((1.5, -0.5, -0.5), (1, 1, 1), 1.0)  # one centre, at depth 2 on the axis
    for center, expected in ((10.5, 10), (11.5, 12)):
        cam = PinholeCamera(np.array([[50, 0, center, 0], [0, 50, center, 0], [0, 0, 1.0, 0]]), 64, 64)
        found = project_voxels(grid, cam, AXES)
        assert (found.column[0], found.row[0]) == (expected, expected)


def test_patterns_have_the_published_sizes() -> None:
    assert [len(p) for p in PATTERNS] == [1, 5, 5, 9, 9, 13, 25, 8, 21]
    assert all(p[0] == (0, 0) for p in PATTERNS)
    # one number of the nine repeats a neighbour; all others hold distinct pixels
    assert [i for i, p in enumerate(PATTERNS) if len(set(p)) < len(p)] == [3]


@pytest.mark.parametrize("pattern", range(9))
def test_pattern_visibility_is_the_pixels_own(pattern: int) -> None:
    cam = camera(40, 16, 12)
    found = project_voxels(VoxelGrid((-1.0, -2.0, -2.0), (8, 8, 8), 0.5), cam, AXES)
    column, row, visible = pattern_pixels(found, cam, pattern)
    assert column.shape == row.shape == visible.shape == (512, len(PATTERNS[pattern]))
    assert np.array_equal(visible[:, 0], found.visible)
    inside = (column >= 0) & (column < 16) & (row >= 0) & (row < 12)
    assert np.array_equal(visible, inside & (found.depth > 0)[:, None])


def test_unknown_pattern_is_refused() -> None:
    found = project_voxels(VoxelGrid((1.0, 0.0, 0.0), (1, 1, 1), 1.0), camera(), AXES)
    with pytest.raises(ModelError, match="pattern 9"):
        pattern_pixels(found, camera(), 9)


@pytest.mark.golden
@pytest.mark.parametrize("view", ["P2", "P3"])
def test_projection_equals_the_published_one(golden_dir: Path, view: str) -> None:
    with np.load(golden_dir / "occdepth_parts.npz") as golden:
        cam = PinholeCamera(np.hstack([golden[f"K_{view}"], np.zeros((3, 1))]), 1220, 370)
        grid = VoxelGrid.semantic_kitti().coarsened(2)
        found = project_voxels(grid, cam, golden[f"T_{view}"])
        every5 = np.stack([found.column, found.row], axis=1)[::5, None]
        assert (every5 == golden[f"pix_{view}_s2_p0_stride5"]).mean() > 0.9999
        published = np.unpackbits(golden[f"fov_{view}_s2_p0_packed"], count=found.visible.size)
        assert (found.visible == published).mean() > 0.9999
        assert np.abs(found.depth[::5] - golden[f"z_{view}_s2_stride5"]).max() < 1e-9
        for pattern in range(9):
            column, row, visible = pattern_pixels(found, cam, pattern)
            pixels = np.stack([column, row], axis=2)[::97]
            assert (pixels == golden[f"pix_{view}_s2_p{pattern}_stride97"]).mean() > 0.9999
            assert (visible[::97] == golden[f"fov_{view}_s2_p{pattern}_stride97"]).mean() > 0.9999


@pytest.mark.golden
def test_rig_from_kitti_is_the_published_calibration(golden_dir: Path, kitti_mini: Path) -> None:
    lines = next(kitti_mini.rglob("sequences/00/calib.txt")).read_text().splitlines()
    entries = dict(line.split(":") for line in lines if line.strip())
    rig = StereoRig.from_kitti({k: np.array(v.split(), float) for k, v in entries.items()}, 1241, 376)
    with np.load(golden_dir / "occdepth_b3_full.npz") as golden:
        for i, (cam, pose) in enumerate([(rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)]):
            assert np.allclose(cam.intrinsics, golden["cam_k"][i], atol=1e-9)
            assert np.allclose(pose, golden["T_velo_2_cam"][i], atol=1e-6)
