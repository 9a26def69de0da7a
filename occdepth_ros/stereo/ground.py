"""The ground: a plane by random sampling, a height field on top of it, and the columns where it was really seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import STEPS
from occdepth_ros.stereo.surface import SurfacePoints

STEEPEST = 0.2
"""Largest slope of the ground against the grid's xy plane, metres per metre."""
CELL = 4
"""Edge of a cell of the height field, voxels."""

_TRIALS = 64
_SAMPLES = 1500


def ground_plane(
    points: npt.NDArray[np.floating], tolerance: float, *, steepest: float = STEEPEST
) -> npt.NDArray[np.float64]:
    """Fit z = a x + b y + c to ground points among others by random sampling (Fischler and Bolles, 1981).

    Args:
        points: `[N, 3]`, z up, any unit: the lowest surface point of each column of the grid.
        tolerance: a point this near to a plane supports it, in the same unit.
        steepest: largest slope of the plane, per unit.

    Returns:
        a, b, c. Repeatable: the samples are drawn from a fixed seed. Fewer than three points, or none that lie flat
        enough, give the level plane through their lowest tenth.
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
    planes = np.vstack([planes[solvable & (np.hypot(planes[:, 0], planes[:, 1]) <= steepest)], level])
    above = points[:, 2] - planes @ system.T
    # nothing lies below the ground, so a point beneath a plane speaks against it
    support = (np.abs(above) < tolerance).sum(1) - (above < -2 * tolerance).sum(1)
    best = int(support.argmax())
    near = np.abs(above[best]) < tolerance
    if near.sum() >= 3:
        refined = np.asarray(np.linalg.lstsq(system[near], points[near, 2], rcond=None)[0])
        if np.hypot(*refined[:2]) <= steepest:
            return refined
    return np.asarray(planes[best])


@dataclass(frozen=True)
class Ground:
    """The ground of one frame.

    Args:
        height: `[X, Y]` float32, height of the ground in each column, in voxel edges above the grid's lower face.
        seen: `[X, Y]`, columns where the image shows the ground itself.
        voxels: flat indices of the voxels within half an edge of the seen ground, ascending.
    """

    height: npt.NDArray[np.float32]
    seen: npt.NDArray[np.bool_]
    voxels: npt.NDArray[np.intp]


class GroundFinder:
    """Finds the ground below the points of one calibration.

    The plane holds near the camera; its residual, averaged over cells and smoothed, follows kerbs and slopes. A column
    counts as seen where the pixel that shows its ground is matched at the ground's disparity: the rows of an image lie
    metres apart on far ground, and points alone would leave it in stripes. Gaps of up to four voxels are closed.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        focal_baseline: depth times disparity, pixel metres.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, focal_baseline: float) -> None:
        self._size = grid.size
        self._camera = rig.left
        self._steps = np.float32(focal_baseline * STEPS)
        pose = rig.left_from_grid
        nx, ny, _ = grid.size
        self._x, self._y = np.meshgrid(np.arange(nx, dtype=np.float32), np.arange(ny, dtype=np.float32), indexing="ij")
        lower = np.stack([grid.axis_centers(0)[:, None] + 0 * self._y, grid.axis_centers(1) + 0 * self._x], 2)
        lower = np.concatenate([lower, np.full((nx, ny, 1), grid.origin[2])], 2)
        self._foot = np.moveaxis(lower @ pose[:3, :3].T + pose[:3, 3], 2, 0).astype(np.float32)
        self._up = (grid.resolution * pose[:3, 2]).astype(np.float32)
        self._eye = (np.linalg.inv(pose)[:3, 3] - grid.origin) / grid.resolution
        self._nearest = grid.resolution

    def find(self, points: SurfacePoints, occupied: npt.NDArray[np.intp], disparity: npt.NDArray[np.int16]) -> Ground:
        """Find the ground of one frame.

        Args:
            points: surface points.
            occupied: flat indices of surface voxels, ascending.
            disparity: `[H, W]` as from `SemiGlobalMatcher.match`.
        """
        _, ny, nz = self._size
        column = occupied // nz
        lowest = occupied[np.diff(column, prepend=-1) > 0]
        plane = ground_plane(np.stack(np.unravel_index(lowest, self._size), 1) + 0.5, 0.75).astype(np.float32)
        # a, b at column centres
        flat = plane[0] * (self._x + 0.5) + plane[1] * (self._y + 0.5) + plane[2]
        height = flat + self._residual(points, plane)
        seen = self._seen(height, float(self._eye[2] - plane @ (self._eye[0], self._eye[1], 1)), disparity)
        x, y = np.nonzero(seen)
        base = np.floor(height[x, y] - np.float32(0.5)).astype(np.intp)
        layers = base[:, None] + np.arange(2)
        voxels = ((x * ny + y) * nz)[:, None] + layers
        return Ground(height, seen, voxels[(layers >= 0) & (layers < nz)])

    def _residual(self, points: SurfacePoints, plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Height of the ground above the plane by column, `[X, Y]` voxel edges."""
        nx, ny, _ = self._size
        cells = (-(-nx // CELL), -(-ny // CELL))
        # every other point: a cell holds hundreds where it is near, and far ones are smoothed together anyway
        x, y, z = points.x[::2], points.y[::2], points.z[::2]
        above = z - (plane[0] * x + plane[1] * y + plane[2])
        candidates = np.flatnonzero(np.abs(above) < 2 + 0.02 * x)
        above = above[candidates]
        cell_x, cell_y = (axis[candidates].astype(np.int32) // CELL for axis in (x, y))
        cell = cell_x * cells[1] + cell_y
        field = np.zeros(cells, np.float32)
        for band in (2.0, 1.0):
            near = np.abs(above - field.ravel()[cell]) < band
            count = np.bincount(cell[near], minlength=field.size)
            total = np.bincount(cell[near], above[near], minlength=field.size)
            weight = np.minimum(count, 20).astype(np.float32)
            mean = (total / np.maximum(count, 1)).astype(np.float32)
            smooth = [cv2.GaussianBlur(a.reshape(cells), (0, 0), 5 / 3) for a in (weight * mean, weight)]
            field = (smooth[0] / np.maximum(smooth[1], 1e-2)).astype(np.float32)
        fine = cv2.resize(field, (cells[1] * CELL, cells[0] * CELL), interpolation=cv2.INTER_LINEAR)
        return np.asarray(fine[:nx, :ny], np.float32)

    def _seen(
        self, height: npt.NDArray[np.float32], eye_above: float, disparity: npt.NDArray[np.int16]
    ) -> npt.NDArray[np.bool_]:
        """Columns whose ground is matched where it appears in the image, `[X, Y]`."""
        k = self._camera.projection.astype(np.float32)
        right, down, depth = (foot + up * height for foot, up in zip(self._foot, self._up, strict=True))
        depth = np.maximum(depth, np.float32(self._nearest))
        column = np.rint(right * k[0, 0] / depth + k[0, 2])
        row = np.rint(down * k[1, 1] / depth + k[1, 2])
        shown = (column >= 0) & (column < self._camera.width) & (row >= 0) & (row < self._camera.height)
        expected = self._steps / depth[shown]
        found = disparity[row[shown].astype(np.intp), column[shown].astype(np.intp)]
        # three standard deviations of a match, or one voxel of height
        tolerance = np.maximum(1.5 * STEPS, expected / max(eye_above, 1.0))
        seen = np.zeros(height.shape, np.uint8)
        seen[shown] = (found > 0) & (np.abs(found - expected) <= tolerance)
        closed = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        return np.asarray(closed, bool)
