"""occdepth-edge-sfa: projection of voxels into both images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.networks.edge import (
    CONFIG,
    GRID,
    RIG,
    WIDTH,
    geometry_of,
    rig_of,
)

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.projection import project_voxels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("focal", [97.3, 61.1])
def test_voxel_projection_equals_the_reference_projection(focal: float) -> None:
    rig = rig_of(focal)
    geometry = geometry_of(rig)
    found = project_voxels(GRID, rig.left, rig.left_from_grid)
    visible = geometry.fine_depth.isfinite().numpy()
    # the tables leave out voxels nearer than 0.1 m, and round in float32
    near = found.depth <= 0.1
    assert (visible != found.visible)[~near].mean() < 1e-3
    both = visible & found.visible
    assert 0.1 < both.mean() < 0.9
    pixel = found.row * WIDTH + found.column
    assert (geometry.fine_pixel.numpy() != pixel)[both].mean() < 1e-3
    np.testing.assert_allclose(geometry.fine_depth.numpy()[both], found.depth[both], atol=1e-4)
    assert not geometry.fine_pixel.numpy()[~visible].any()


def test_lifted_voxels_index_the_quarter_resolution_maps_of_both_images() -> None:
    geometry = geometry_of()
    lifted = GRID.coarsened(2)
    assert geometry.size == lifted.size == (32, 32, 8)
    for side, (camera, pose) in enumerate(((RIG.left, RIG.left_from_grid), (RIG.right, RIG.right_from_grid))):
        found = project_voxels(lifted, camera, pose)
        visible = geometry.visible[side].numpy()
        assert (visible != found.visible)[found.depth > 0.1].mean() < 1e-3
        both = visible & found.visible
        cell = found.row // 4 * (WIDTH // 4) + found.column // 4
        assert (geometry.pixels[side].numpy() != cell)[both].mean() < 1e-3
    assert not torch.equal(geometry.pixels[0], geometry.pixels[1])


def test_all_tables_move_to_another_device() -> None:
    moved = geometry_of().to("meta")
    assert moved.pixels.device.type == moved.position.device.type == moved.depth_grid.device.type == "meta"
    assert moved.size == geometry_of().size


@pytest.mark.parametrize(
    "grid", [replace(GRID, resolution=0.1), replace(GRID, size=(64, 60, 16)), replace(GRID, size=(64, 64, 12))]
)
def test_grids_that_cannot_be_halved_are_refused(grid: VoxelGrid) -> None:
    with pytest.raises(GridError, match="in sizes that 8 divides"):
        CONFIG.check_grid(grid)
    CONFIG.check_grid(replace(GRID, origin=(1.0, 2.0, 3.0), size=(8, 16, 24)))
