"""The height at which networks of this package were taught their layers, and predictions for grids a little beside it.

Streets and KITTI's frames are taught on one grid, whose layers networks learn by their number: asked for one that lies
a voxel higher, occdepth-edge lost 8 of 63 points of SC IoU on frames of KITTI, and monoocc-edge 12 of 42. So they
predict on the grid that they know, and the result moves.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from occdepth_ros.grid import VoxelGrid

TRAINED_Z = -2.2
"""Lower face of the grids that they were taught, metres in the frame of KITTI's LiDAR: the benchmark's ground truth."""
FARTHEST = 2
"""A grid that lies more layers higher or lower is predicted as it is: it belongs to another mounting."""


def trained_grid(grid: VoxelGrid) -> tuple[VoxelGrid, int]:
    """The grid to predict on in place of `grid`, and by how many layers `grid` lies higher.

    It is `grid` itself, and 0, unless a shift by one or two whole layers leads to the height that was taught.
    """
    x, y, z = grid.origin
    distance = (z - TRAINED_Z) / grid.resolution
    layers = round(distance)
    if abs(distance - layers) > 1e-3 or not 0 < abs(layers) <= FARTHEST:
        return grid, 0
    return replace(grid, origin=(x, y, TRAINED_Z)), layers


def shifted(volume: torch.Tensor, layers: int) -> torch.Tensor:
    """A volume of the taught grid on the one that lies `layers` higher, `[X, Y, Z]`; 0 in layers that it has not."""
    if layers >= 0:
        return F.pad(volume[..., layers:], (0, layers))
    return F.pad(volume[..., :layers], (-layers, 0))
