"""Reads the map on a grid at any pose, for scores and for networks that take the map as input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction, Visibility


def resample(
    snapshot: OccupancyPrediction, grid: VoxelGrid, map_from_grid: npt.NDArray[np.float64]
) -> OccupancyPrediction:
    """Return the nearest voxel of a map for each voxel of a grid.

    Args:
        snapshot: the map, from `OccupancyMap.snapshot` or `OccupancyMap.whole`.
        grid: the voxels to fill, in their own frame.
        map_from_grid: pose of that frame in the map's frame, `[4, 4]`.

    Returns:
        a prediction on `grid`; voxels outside the map are unknown.
    """
    index, inside = snapshot.grid.index_of(grid.centers() @ map_from_grid[:3, :3].T + map_from_grid[:3, 3])
    flat = np.ravel_multi_index(tuple(index.T), snapshot.grid.size)

    def look_up(values: npt.NDArray[np.uint8], outside: int) -> npt.NDArray[np.uint8]:
        return np.where(inside, values.ravel()[flat], np.uint8(outside)).reshape(grid.size)

    return OccupancyPrediction(
        grid,
        look_up(snapshot.labels, UNKNOWN),
        look_up(snapshot.confidence, 0),
        look_up(snapshot.visibility, int(Visibility.OUTSIDE)),
        snapshot.depth,
        stamp_ns=snapshot.stamp_ns,
        model=snapshot.model,
        classes=snapshot.classes,
    )
