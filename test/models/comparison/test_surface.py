"""The matched surface, scattered features, and the upsampling layers of the comparison networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.walls import rig_of, surface_of, wall

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.comparison.scatter import as_volume, coarse_index, scatter_max, scatter_mean
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.models.layers.dense_upsample import DenseUpsample3d
from occdepth_ros.stereo.occupancy import StereoOccupancy

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 24, 16), 0.2)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_points_lie_in_their_voxels_and_at_the_depth_of_their_pixels() -> None:
    surface = surface_of(GRID)
    index = torch.stack(torch.unravel_index(surface.voxel, GRID.size), dim=1)
    assert len(surface.points) > 500
    assert torch.equal(surface.points.floor().long(), index)
    # the camera stands at the grid's frame and looks along x
    at = surface.depth.flatten()[surface.pixel]
    assert torch.allclose(surface.points[:, 0] * 0.2, at, atol=1e-3)
    assert float(at.median()) == pytest.approx(4.0, abs=0.05)
    assert surface.image.shape == (3, 64, 192)
    assert (surface.depth == 0).any()


def test_voxels_of_the_points_are_the_occupied_ones() -> None:
    stereo = StereoOccupancy(rig_of(), GRID)
    disparity, _ = stereo.match(*wall())
    surface = MatchedSurface.of(stereo, wall()[0], disparity)
    marked = np.zeros(GRID.count, bool)
    marked[surface.voxel.numpy()] = True
    # a point on the border of two voxels may be rounded to either
    assert (marked.reshape(GRID.size) == stereo.occupied(disparity)).mean() > 0.999


def test_a_coarse_voxel_is_the_block_around_a_fine_one() -> None:
    voxel = torch.arange(GRID.count)
    blocks = voxel.new_zeros(GRID.size)
    coarse = torch.arange(GRID.count // 64).view(8, 6, 4)
    blocks[:] = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(coarse_index(voxel, GRID.size, 4), blocks.flatten())


def test_rows_are_gathered_by_index() -> None:
    rows = torch.tensor([[1.0, -4.0], [3.0, -2.0], [5.0, 6.0]], requires_grad=True)
    index = torch.tensor([2, 2, 0])
    assert scatter_mean(rows, index, 4).tolist() == [[5, 6], [0, 0], [2, -3], [0, 0]]
    largest = scatter_max(rows, index, 4)
    assert largest.tolist() == [[5, 6], [0, 0], [3, -2], [0, 0]]
    largest.sum().backward()
    assert rows.grad is not None and rows.grad.tolist() == [[0, 0], [1, 1], [1, 1]]


def test_a_volume_has_a_row_where_its_voxel_is() -> None:
    rows = torch.arange(2.0 * GRID.count).view(GRID.count, 2)
    volume = as_volume(rows, GRID)
    assert volume.shape == (1, 2, *GRID.size)
    at = int(np.ravel_multi_index((3, 5, 7), GRID.size))
    assert torch.equal(volume[0, :, 3, 5, 7], rows[at])


def test_dense_upsampling_is_a_transposed_convolution_whose_blocks_do_not_overlap() -> None:
    torch.manual_seed(0)
    dense, transposed = DenseUpsample3d(3, 2), torch.nn.ConvTranspose3d(3, 2, 2, 2)
    with torch.no_grad():
        transposed.weight.copy_(dense.conv.weight.view(2, 8, 3).permute(2, 0, 1).reshape(3, 2, 2, 2, 2))
        dense.get_parameter("conv.bias").copy_(transposed.get_parameter("bias").repeat_interleave(8))
    x = torch.randn(1, 3, 3, 4, 2)
    assert torch.allclose(dense(x), transposed(x), atol=1e-6)
    assert DenseUpsample3d(3, 2, kernel=3)(x).shape == transposed(x).shape
