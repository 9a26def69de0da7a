"""Parts of a scene that are scored separately: near and far, in and out of view, seen and completed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.projection import project_voxels

Mask = npt.NDArray[np.bool_]

RANGES = (12.8, 25.6, 51.2)
"""Edges of the square volumes in front of the vehicle, metres; the last is the whole volume of the benchmark."""


def range_mask(grid: VoxelGrid, edge: float) -> Mask:
    """Return the mask of the volume x in [0, edge], y in [-edge/2, edge/2] metres at all heights, `[X, Y, 1]`.

    Completion by distance is usually reported for these volumes.
    """
    x, y = grid.axis_centers(0), grid.axis_centers(1)
    ahead, lateral = (x >= 0) & (x < edge), np.abs(y) < edge / 2
    mask: Mask = ahead[:, None, None] & lateral[None, :, None]
    return mask


def view_mask(grid: VoxelGrid, rig: StereoRig) -> Mask:
    """Return the mask of the voxels whose centre projects into the left image, occluded or not, `[X, Y, Z]`."""
    return project_voxels(grid, rig.left, rig.left_from_grid).visible.reshape(grid.size)


def fixed_regions(grid: VoxelGrid, rig: StereoRig) -> dict[str, Mask]:
    """Return the regions that depend on grid and calibration only, by name; masks broadcast to `[X, Y, Z]`."""
    inside = view_mask(grid, rig)
    ranges = {f"range_{edge:g}": range_mask(grid, edge) for edge in RANGES}
    return {**ranges, "in_view": inside, "out_of_view": ~inside}


def visibility_regions(visibility: npt.NDArray[np.uint8]) -> Mapping[str, Mask]:
    """Return the regions that depend on the visibility of the prediction, by name, `[X, Y, Z]`.

    `seen`: a ray passed through the voxel or ended in it; `completed`: all others. Models with different depth
    estimates divide a scene differently.
    """
    seen: Mask = visibility == Visibility.SEEN
    return {"seen": seen, "completed": ~seen}
