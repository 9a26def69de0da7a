"""Height of the training grid of this package's networks, and predictions for grids one or two layers above or below.

All training scenes share one grid, and the networks depend on the layer index: on a grid one voxel (0.2 m) higher,
occdepth-edge lost 8 of 63 points of SC IoU on KITTI frames, and monoocc-edge 12 of 42. Predictors therefore predict on
the trained grid and shift the result.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from occdepth_ros.grid import VoxelGrid

TRAINED_Z = -2.2
"""Lower face of the training grid in the frame of KITTI's LiDAR, metres: that of the benchmark's ground truth."""
MAX_SHIFT = 2
"""Largest shift, layers; grids farther above or below belong to another mounting and are not shifted."""


def trained_grid(grid: VoxelGrid) -> tuple[VoxelGrid, int]:
    """Return the grid to predict on in place of `grid`, and the number of layers that `grid` lies above it.

    The result is `grid` itself and 0, unless a shift by one or two whole layers leads to the trained height.
    """
    x, y, z = grid.origin
    distance = (z - TRAINED_Z) / grid.resolution
    layers = round(distance)
    if abs(distance - layers) > 1e-3 or not 0 < abs(layers) <= MAX_SHIFT:
        return grid, 0
    return replace(grid, origin=(x, y, TRAINED_Z)), layers


def shifted(volume: torch.Tensor, layers: int) -> torch.Tensor:
    """Shift a volume `[X, Y, Z]` of the trained grid to the grid `layers` layers higher; 0 outside the volume."""
    if layers >= 0:
        return F.pad(volume[..., layers:], (0, layers))
    return F.pad(volume[..., :layers], (-layers, 0))
