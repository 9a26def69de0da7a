"""Surface points and their number by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.networks.exports import rig_of
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import NO_MATCH, STEPS
from occdepth_ros.stereo.surface import SurfaceBinning, SurfacePoints

RIG = rig_of(64, 160)
GRID = VoxelGrid((0.0, -6.4, -2.2), (63, 64, 31), 0.2)
BINNING = SurfaceBinning(RIG, GRID, float(RIG.left.projection[0, 0]) * RIG.baseline)


@given(st.lists(st.integers(0, GRID.count - 1), max_size=300))
@settings(max_examples=30, deadline=None)
def test_hits_are_the_number_of_points_by_voxel(voxels: list[int]) -> None:
    none = np.zeros(0, np.float32)
    voxel, hits = BINNING.hits(SurfacePoints(none, none, none, np.array(voxels, np.intp), np.zeros(0, np.intp)))
    expected, counts = np.unique(np.array(voxels, np.intp), return_counts=True)
    assert np.array_equal(voxel, expected) and np.array_equal(hits, counts)


def test_points_lie_on_the_rays_of_their_pixels_in_the_order_of_the_image() -> None:
    random = np.random.default_rng(0)
    disparity = random.integers(-1, 40 * STEPS, (RIG.left.height, RIG.left.width)).astype(np.int16)
    disparity[random.random(disparity.shape) < 0.3] = NO_MATCH
    found = BINNING.points(disparity)
    assert len(found.pixel) > 500 and (np.diff(found.pixel) > 0).all() and (disparity.ravel()[found.pixel] > 0).all()
    cell = np.stack([found.x, found.y, found.z], 1).astype(np.float64)
    points = (cell * GRID.resolution + GRID.origin) @ RIG.left_from_grid[:3, :3].T + RIG.left_from_grid[:3, 3]
    k = RIG.left.projection
    row, column = np.divmod(found.pixel, RIG.left.width)
    depth = k[0, 0] * RIG.baseline * STEPS / disparity[row, column]
    assert points[:, 2] == pytest.approx(depth, rel=1e-3, abs=1e-3)
    assert points[:, 0] * k[0, 0] / points[:, 2] + k[0, 2] == pytest.approx(column, abs=0.02)
    assert points[:, 1] * k[1, 1] / points[:, 2] + k[1, 2] == pytest.approx(row, abs=0.02)
    assert np.array_equal(found.voxel, np.ravel_multi_index(tuple(cell.T.astype(int)), GRID.size))
