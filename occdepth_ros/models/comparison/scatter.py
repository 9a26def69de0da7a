"""Aggregation of point features by voxel."""

from __future__ import annotations

import torch

from occdepth_ros.grid import VoxelGrid


def coarse_index(voxel: torch.Tensor, size: tuple[int, int, int], factor: int) -> torch.Tensor:
    """Return the flat index of the coarse voxel around each voxel.

    Args:
        voxel: flat indices in a volume of `size`, C order, `[N]`.
        size: voxels along x, y, z, multiples of `factor`.
        factor: edge of a coarse voxel, voxels.
    """
    column, k = voxel // size[2], voxel % size[2]
    i, j = column // size[1], column % size[1]
    return (i // factor * (size[1] // factor) + j // factor) * (size[2] // factor) + k // factor


def scatter_mean(features: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """Average the rows with the same index: `[N, C]` and `[N]` to `[count, C]` float32, 0 for unused indices."""
    total = features.new_zeros(count, features.shape[1], dtype=torch.float32).index_add(0, index, features.float())
    number = torch.bincount(index, minlength=count).clamp_min(1)
    return total / number[:, None]


def scatter_max(features: torch.Tensor, index: torch.Tensor, count: int) -> torch.Tensor:
    """Return the largest value of the rows with the same index, by channel; shapes as `scatter_mean`."""
    out = features.new_zeros(count, features.shape[1], dtype=torch.float32)
    rows = index[:, None].expand_as(features)
    return out.scatter_reduce(0, rows, features.float(), "amax", include_self=False)


def as_volume(rows: torch.Tensor, grid: VoxelGrid) -> torch.Tensor:
    """View the features of all voxels, `[X*Y*Z, C]`, as a volume `[1, C, X, Y, Z]` with channels innermost."""
    return rows.view(1, *grid.size, -1).movedim(-1, 1)
