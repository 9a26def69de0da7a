"""Complete ground truth of the sample drive: all surfaces and free space visible from any position on the drive."""

from __future__ import annotations

import numpy as np

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.synthetic.labels.lidar import (
    LEAVES,
    PARTIAL,
    Labels,
    neighbours,
    outside_crowns,
    propagate_light,
)
from occdepth_ros.grid import VoxelGrid

CLEAR = 0.5
"""Share of light above which a free voxel counts as seen."""
CROWN = 4
"""Depth to which beams enter a crown, voxels."""


def complete_labels(solid: Labels, grid: VoxelGrid, viewpoints: Matrix) -> Labels:
    """Compute the ground truth without the gaps between LiDAR rings.

    Args:
        solid: class of every voxel, 255 inside of solids and below the ground, `[X, Y, Z]`.
        grid: grid of the voxels.
        viewpoints: positions in the frame of the grid, `[P, 3]` metres.

    Returns:
        0 free, class ids, 255 for voxels that are visible from no viewpoint, `[X, Y, Z]`.
    """
    standing = solid != EMPTY
    free, lit = np.zeros(solid.shape, bool), np.zeros(solid.shape, bool)
    for viewpoint in (viewpoints - np.asarray(grid.origin)) / grid.resolution - 0.5:
        light = propagate_light(standing, viewpoint)
        free |= light > CLEAR
        lit |= light > PARTIAL
    surface = neighbours(lit) & standing & (solid != UNKNOWN)
    leaves = solid == LEAVES
    for _ in range(CROWN):
        surface |= neighbours(surface & leaves) & leaves
    out = np.full(solid.shape, UNKNOWN, np.uint8)
    out[free & outside_crowns(solid)] = EMPTY
    out[surface] = solid[surface]
    return out
