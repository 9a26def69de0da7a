"""Parts of a scene that are scored apart: near and far, in view or not, seen or completed."""

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
"""Edges of the square volumes before the vehicle, metres; the last is the benchmark's whole volume."""


def range_mask(grid: VoxelGrid, edge: float) -> Mask:
    """Voxels of the volume that reaches `edge` metres ahead and half as far to each side, all heights, `[X, Y, 1]`.

    The volumes that completion is usually reported for by distance: x in [0, edge], y in [-edge/2, edge/2].
    """
    x, y = grid.axis_centers(0), grid.axis_centers(1)
    ahead, beside = (x >= 0) & (x < edge), np.abs(y) < edge / 2
    mask: Mask = ahead[:, None, None] & beside[None, :, None]
    return mask


def view_mask(grid: VoxelGrid, rig: StereoRig) -> Mask:
    """Voxels whose centre falls into the left image, whether something hides it or not, `[X, Y, Z]`."""
    return project_voxels(grid, rig.left, rig.left_from_grid).visible.reshape(grid.size)


def fixed_regions(grid: VoxelGrid, rig: StereoRig) -> dict[str, Mask]:
    """The regions that grid and calibration alone decide, by name; masks broadcast to `[X, Y, Z]`."""
    inside = view_mask(grid, rig)
    ranges = {f"range_{edge:g}": range_mask(grid, edge) for edge in RANGES}
    return {**ranges, "in_view": inside, "out_of_view": ~inside}


def sight_regions(visibility: npt.NDArray[np.uint8]) -> Mapping[str, Mask]:
    """The regions that the prediction's own lines of sight decide, by name, `[X, Y, Z]`.

    `seen`: a line of sight passed through the voxel or ended in it; `completed`: all others. Two models that measure
    different depth divide a scene differently.
    """
    seen: Mask = visibility == Visibility.SEEN
    return {"seen": seen, "completed": ~seen}
