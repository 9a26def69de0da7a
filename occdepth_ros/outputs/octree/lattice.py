"""Alignment of a dense grid with an octree.

OctoMap (Hornung et al., Autonomous Robots 2013) numbers the finest cells with a 16-bit key per axis,
`key = floor(coordinate / resolution) + 32768`; bit 0 of a child's index is x, bit 1 y, bit 2 z.
"""

from __future__ import annotations

import numpy as np

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid

DEPTH = 16
"""Number of levels below the root. The cells of a `VoxelGrid` are leaves of the deepest level."""

KEY_ORIGIN = 1 << (DEPTH - 1)
"""Key of the cell with its lower corner at coordinate 0."""

SNAP = 1e-3
"""Maximum distance of the grid's origin from the octree's lattice, in voxels."""

Shape = tuple[int, int, int]


def lattice_key(grid: VoxelGrid) -> Shape:
    """Return the key of voxel (0, 0, 0). An origin within `SNAP` voxels of the lattice is snapped to it.

    Raises:
        GridError: the origin is not on the octree's lattice, or the grid exceeds the octree's 65536 cells per axis.
    """
    shift = np.asarray(grid.origin) / grid.resolution
    whole = np.rint(shift)
    if np.abs(shift - whole).max() > SNAP:
        raise GridError(
            f"the origin {grid.origin} is not a whole number of {grid.resolution} m voxels from 0",
            where="grid",
            remedy="Move the origin to a multiple of the resolution, as OctoMap requires.",
        )
    low = whole + KEY_ORIGIN
    if low.min() < 0 or (low + grid.size).max() > 2 * KEY_ORIGIN:
        raise GridError(
            f"the grid from {grid.origin} exceeds the {2 * KEY_ORIGIN} cells per axis of an OctoMap",
            where="grid",
            remedy="Move the origin closer to 0, or use a coarser resolution.",
        )
    return int(low[0]), int(low[1]), int(low[2])
