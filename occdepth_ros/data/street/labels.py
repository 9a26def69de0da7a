"""Voxel ground truth of a scene: solids sampled on the grid, and what nobody on the street can see left unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.street.raycast import cast_sphere
from occdepth_ros.data.street.scene import Solid
from occdepth_ros.data.street.shapes import Array, Mask
from occdepth_ros.grid import VoxelGrid

SPLIT = 2
"""Samples per voxel edge."""
GROWN = 0.04
"""Solids are grown by this much, metres, so that none slips between the samples."""
SHELL = 0.35
"""Depth below a surface, metres, that a LiDAR's noise and the voxels' size still fill."""
CROWN_SHELL = 1.2
"""The same for foliage, which beams enter."""

_VEGETATION = SEMANTIC_KITTI.id_of("vegetation")
_TRUNK = SEMANTIC_KITTI.id_of("trunk")
_BUILDING = SEMANTIC_KITTI.id_of("building")
_ORDER = {_BUILDING: 1, _VEGETATION: 2, _TRUNK: 3}


def solid_labels(solids: Sequence[Solid], grid: VoxelGrid, world_from_grid: Matrix) -> npt.NDArray[np.uint8]:
    """Class of every voxel by the solids alone, `[X, Y, Z]`: 0 outside of all, 255 deep inside of one.

    A voxel with any occupied sample is occupied, by the class of most of them. Of the ground only the top counts.
    """
    fine = VoxelGrid(grid.origin, _times(grid.size, SPLIT), grid.resolution / SPLIT, grid.frame_id)
    labels = np.zeros(fine.size, np.uint8)
    rotation = world_from_grid[:3, :3].astype(np.float32)
    shift = world_from_grid[:3, 3].astype(np.float32)
    up = np.array([[0], [0], [fine.resolution]], np.float32)
    for solid in sorted(solids, key=lambda s: 0 if s.ground else _ORDER.get(s.label, 4)):
        corners = rotation.T @ (solid.corners - shift[:, None])
        window = _window(corners, fine)
        if window is None:
            continue
        points = _centers(fine, window)
        world = rotation @ points.reshape(3, -1) + shift[:, None]
        local = solid.to_local(world)
        part = labels[window].reshape(-1)
        if solid.ground:
            inside = solid.shape.contains(local)
            deep = inside & solid.shape.contains(solid.to_local(world + up))
        else:
            inside = solid.shape.contains(local, GROWN)
            deep = inside & (solid.label != _VEGETATION) & solid.shape.contains(local, -SHELL)
        part[inside] = solid.label
        part[deep] = UNKNOWN
        labels[window] = part.reshape(points.shape[1:])
    return _majority(labels, grid.size)


@dataclass(frozen=True)
class Panorama:
    """Distances seen all around from one place.

    Args:
        origin: `[3, 1]` in the world.
        distance: `[V, U]` metres; rows from straight up to straight down, columns by azimuth.
    """

    origin: Array
    distance: Array

    @classmethod
    def of(cls, solids: Sequence[Solid], origin: npt.ArrayLike, step_deg: float = 0.4) -> Panorama:
        """Cast rays in all directions."""
        place = np.asarray(origin, np.float32).reshape(3, 1)
        distance = cast_sphere(place, round(180 / step_deg), round(360 / step_deg), solids)
        # a voxel is wider than a ray: the farthest of the neighbouring rays decides
        widened = cv2.dilate(np.minimum(distance, 1e4), np.ones((3, 3), np.uint8))
        return cls(place, np.asarray(widened, np.float32))

    def sees(self, points: Array, margin: Array) -> Mask:
        """Whether points `[3, N]` lie before the first surface, or at most `margin` `[N]` behind it."""
        offset = points - self.origin
        length = np.linalg.norm(offset, axis=0)
        rows, columns = self.distance.shape
        azimuth = np.arctan2(offset[1], offset[0]) % (2 * np.pi)
        polar = np.arccos(np.clip(offset[2] / np.maximum(length, 1e-6), -1, 1))
        column = np.minimum((azimuth / (2 * np.pi) * columns).astype(int), columns - 1)
        row = np.minimum((polar / np.pi * rows).astype(int), rows - 1)
        return np.asarray(length <= self.distance[row, column] + margin)


def benchmark_labels(
    solids: Sequence[Solid], grid: VoxelGrid, world_from_grid: Matrix, panoramas: Sequence[Panorama]
) -> npt.NDArray[np.uint8]:
    """Voxel labels as a benchmark made from a LiDAR drive has them, `[X, Y, Z]`.

    Args:
        solids: everything there at this moment.
        grid: where the labels are wanted.
        world_from_grid: pose of the grid's frame, `[4, 4]`.
        panoramas: views from places that the car drives by; what none of them sees becomes 255.
    """
    labels = solid_labels(solids, grid, world_from_grid)
    world = (world_from_grid[:3, :3] @ grid.centers().T.astype(np.float64) + world_from_grid[:3, 3:]).astype(np.float32)
    flat = labels.reshape(-1)
    margin = np.where(flat == EMPTY, 0.0, np.where(flat == _VEGETATION, CROWN_SHELL, SHELL)).astype(np.float32)
    hidden = np.flatnonzero(flat != UNKNOWN)
    for panorama in panoramas:
        hidden = hidden[~panorama.sees(world[:, hidden], margin[hidden])]
    flat[hidden] = UNKNOWN
    return labels


def _times(size: tuple[int, int, int], factor: int) -> tuple[int, int, int]:
    return size[0] * factor, size[1] * factor, size[2] * factor


def _window(corners: Array, grid: VoxelGrid) -> tuple[slice, slice, slice] | None:
    """The voxels around a box in the grid's frame, None where it is outside."""
    origin = np.asarray(grid.origin)
    first = np.floor((corners.min(axis=1) - GROWN - origin) / grid.resolution).astype(int)
    last = np.ceil((corners.max(axis=1) + GROWN - origin) / grid.resolution).astype(int)
    first, last = np.maximum(first, 0), np.minimum(last, grid.size)
    if (first >= last).any():
        return None
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def _centers(grid: VoxelGrid, window: tuple[slice, slice, slice]) -> Array:
    """Centres of the voxels of a window, `[3, x, y, z]`, in the grid's frame."""
    axes = [grid.axis_centers(axis)[part].astype(np.float32) for axis, part in enumerate(window)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _majority(fine: npt.NDArray[np.uint8], size: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The most frequent occupied label of each voxel's samples; 255 where only that, 0 where all are empty."""
    x, y, z = size
    samples = fine.reshape(x, SPLIT, y, SPLIT, z, SPLIT).transpose(0, 2, 4, 1, 3, 5).reshape(x * y * z, SPLIT**3)
    labels = samples.max(axis=1)
    occupied = (samples != EMPTY) & (samples != UNKNOWN)
    rows = np.flatnonzero(occupied.any(axis=1))
    chosen = samples[rows]
    best, most = np.zeros(rows.size, np.uint8), np.zeros(rows.size, int)
    for label in range(1, len(SEMANTIC_KITTI)):
        count = (chosen == label).sum(axis=1)
        # a later label wins a tie: thin things have higher ids than the ground and walls behind them
        better = (count > 0) & (count >= most)
        best[better], most[better] = label, count[better]
    labels[rows] = best
    return labels.reshape(size)
