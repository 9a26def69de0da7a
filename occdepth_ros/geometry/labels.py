"""Classes without learning: ground against obstacles, by rules of thumb that a planner can use and nobody should trust.

Geometry knows no semantics. What it does know is where the ground runs and how far something rises above it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.grid import VoxelGrid

GROUND_BAND_M = 0.3
"""A surface voxel whose centre is no further from the ground than this belongs to it."""
STEEPEST = 0.2
"""Largest slope of the ground against the grid's xy plane, metres per metre."""

_TRIALS = 64
_SAMPLES = 1500


def ground_plane(points: npt.NDArray[np.floating], tolerance: float) -> npt.NDArray[np.float64]:
    """Fit z = a x + b y + c to ground points among others by random sampling (Fischler and Bolles, 1981).

    Args:
        points: `[N, 3]` metres, z up: the lowest surface point of each column of the grid.
        tolerance: a point this near to a plane supports it, metres.

    Returns:
        a, b, c. Repeatable: the samples are drawn from a fixed seed. Fewer than three points, or none that lie flat
        enough, give the plane through their lowest tenth.
    """
    points = np.asarray(points, np.float64)
    level = np.array([0.0, 0.0, np.quantile(points[:, 2], 0.1) if len(points) else 0.0])
    if len(points) < 3:
        return level
    random = np.random.default_rng(0)
    if len(points) > _SAMPLES:
        points = points[random.integers(len(points), size=_SAMPLES)]
    system = np.ones((len(points), 3))
    system[:, :2] = points[:, :2]
    picks = random.integers(len(points), size=(_TRIALS, 3))
    corners = system[picks]
    planes = np.zeros((_TRIALS, 3))
    solvable = np.abs(np.linalg.det(corners)) > 1e-3
    planes[solvable] = np.linalg.solve(corners[solvable], points[picks][solvable][:, :, 2:])[:, :, 0]
    planes = np.vstack([planes[solvable & (np.abs(planes[:, :2]).max(1) <= STEEPEST)], level])
    above = points[:, 2] - planes @ system.T
    # nothing lies below the ground, so a point beneath a plane speaks against it
    support = (np.abs(above) < tolerance).sum(1) - (above < -2 * tolerance).sum(1)
    best = planes[support.argmax()]
    near = np.abs(above[support.argmax()]) < tolerance
    if near.sum() >= 3:
        refined = np.linalg.lstsq(system[near], points[near, 2], rcond=None)[0]
        if np.abs(refined[:2]).max() <= STEEPEST:
            return np.asarray(refined)
    return best


def label_surface(grid: VoxelGrid, surface: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Class of every surface voxel.

    Args:
        grid: the voxels.
        surface: flat indices of surface voxels, ascending, `[N]`.

    Returns:
        `[N]` uint8 class ids.
    """
    centers = grid.centers_of(np.stack(np.unravel_index(surface, grid.size), 1))
    column = surface // grid.size[2]
    lowest = np.diff(column, prepend=-1) > 0
    plane = ground_plane(centers[lowest], 0.75 * grid.resolution)
    height = centers[:, 2] - centers[:, :2] @ plane[:2] - plane[2]
    ground = np.abs(height) <= max(GROUND_BAND_M, grid.resolution)
    road, obstacle = SEMANTIC_KITTI.id_of("road"), SEMANTIC_KITTI.id_of("vegetation")
    return np.where(ground, road, obstacle).astype(np.uint8)
