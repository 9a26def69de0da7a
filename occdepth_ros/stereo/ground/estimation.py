"""Ground estimation: a plane by random sampling, a height field relative to the plane, and the columns with visible
ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.ground.loops import add_heights, write_near, write_seen
from occdepth_ros.stereo.matching import SIGMA_PX, STEPS
from occdepth_ros.stereo.surface import SurfacePoints

STEEPEST = 0.2
"""Largest slope of the ground relative to the grid's xy plane, metres per metre."""
CELL = 4
"""Edge of a cell of the height field, voxels."""

STEP = (0.75, 3.0)
"""Range of the deviation of a column's lowest surface from the smooth height field that counts as a step of the ground,
voxel edges: smaller deviations are noise, larger ones are obstacles."""

GRADIENT_ROWS = 4
"""Number of rows above and below a pixel over which the disparity gradient of the ground is measured."""
GRADIENT = (0.15, 4.0)
"""Range of the ratio of measured to expected disparity gradient on visible ground. The ratio is 0 on upright surfaces
and large across the edge of a drop."""

HEIGHT_ERROR = 0.75
"""Largest error of the ground's height for which its match in the image is searched, voxel edges."""
HEIGHT_ERRORS = np.array((0.0, -0.5, 0.5, -1.0, 1.0), np.float32)
"""Shares of `HEIGHT_ERROR` that are searched, in this order."""
GROUND_SIGMAS = 2.0
"""Largest deviation of the disparity of seen ground beyond the extent of the column, in standard deviations of a
match."""

_TRIALS = 64
_SAMPLES = 1500
_FEWEST = 50


def ground_plane(
    points: npt.NDArray[np.floating], tolerance: float, *, steepest: float = STEEPEST
) -> npt.NDArray[np.float64]:
    """Fit z = a x + b y + c to ground points among others by random sampling (Fischler and Bolles, 1981).

    Args:
        points: `[N, 3]`, z up, any unit: the lowest surface point of each column of the grid.
        tolerance: largest distance of a supporting point from the plane, in the same unit.
        steepest: largest slope of the plane, per unit.

    Returns:
        a, b, c; reproducible, because the samples are drawn with a fixed seed. With fewer than three points, or without
        a plane with a slope of at most `STEEPEST`, the level plane through the lowest tenth of the points.
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
    # no surface lies below the ground, so points below a plane contradict it
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
        seen: `[X, Y]`, columns whose ground, or a surface at its position, is matched in the image.
        confirmed: `[X, Y]`, seen columns in which the disparity also changes with the row as on the ground. The other
            seen columns contain upright surfaces near the height of the ground, such as a wall beyond the edge of a
            drop.
        voxels: flat indices of the voxels within half an edge of the seen ground, ascending.
        plane: a, b, c of the ground plane z = a x + b y + c, `[3]`, voxel edges from the grid's corner.
    """

    height: npt.NDArray[np.float32]
    seen: npt.NDArray[np.bool_]
    confirmed: npt.NDArray[np.bool_]
    voxels: npt.NDArray[np.intp]
    plane: npt.NDArray[np.float32]


class GroundFinder:
    """Estimates the ground of one calibration from surface points.

    The plane is accurate near the camera; the residual, averaged over cells and smoothed, models slopes. At steps
    (kerbs, terraces) the error of the smooth field is up to half of the step; such columns take the height of their
    lowest surface voxel. A column is seen if its ground is matched in the image at the disparity of the ground. This
    avoids the stripes that surface points leave, since image rows are metres apart on far ground. Gaps of up to four
    voxels are closed.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        focal_baseline: depth times disparity, pixel metres.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, focal_baseline: float) -> None:
        self._size = grid.size
        self._camera = rig.left
        self._steps = np.float32(focal_baseline * STEPS)
        fy = rig.left.projection[1, 1]
        # disparity = row * (fx / fy) * baseline / height of the camera above the plane
        gradient = focal_baseline / fy / grid.resolution * STEPS
        self._gradient = np.float32(GRADIENT_ROWS * gradient)
        pose = rig.left_from_grid
        nx, ny, _ = grid.size
        self._x, self._y = np.meshgrid(np.arange(nx, dtype=np.float32), np.arange(ny, dtype=np.float32), indexing="ij")
        lower = np.stack([grid.axis_centers(0)[:, None] + 0 * self._y, grid.axis_centers(1) + 0 * self._x], 2)
        lower = np.concatenate([lower, np.full((nx, ny, 1), grid.origin[2])], 2)
        self._foot = (lower.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]).T.astype(np.float32, order="C")
        self._up = (grid.resolution * pose[:3, 2]).astype(np.float32)
        self._camera_center = (np.linalg.inv(pose)[:3, 3] - grid.origin) / grid.resolution
        self._edge = grid.resolution

    def find(self, points: SurfacePoints, occupied: npt.NDArray[np.intp], disparity: npt.NDArray[np.int16]) -> Ground:
        """Find the ground of one frame.

        Args:
            points: surface points.
            occupied: flat indices of surface voxels, ascending.
            disparity: `[H, W]` as from `SemiGlobalMatcher.match`.
        """
        return self.above(self.plane(occupied), points, occupied, disparity)

    def plane(self, occupied: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Find the plane of the ground, `[3]`, see `Ground`, from flat indices of surface voxels, `[K]`, ascending."""
        lowest = self._lowest(occupied)
        flat_columns = lowest[~self._is_upright(lowest, occupied)]
        samples = flat_columns if len(flat_columns) >= _FEWEST else lowest
        return ground_plane(np.stack(np.unravel_index(samples, self._size), 1) + 0.5, 0.75).astype(np.float32)

    def above(
        self,
        plane: npt.NDArray[np.float32],
        points: SurfacePoints,
        occupied: npt.NDArray[np.intp],
        disparity: npt.NDArray[np.int16],
    ) -> Ground:
        """Find the ground of one frame relative to its plane, `[3]` as from `plane`; other arguments as of `find`."""
        _, ny, nz = self._size
        # a, b at column centres
        flat = plane[0] * (self._x + 0.5) + plane[1] * (self._y + 0.5) + plane[2]
        height = self._with_steps(flat + self._residual(points, plane), self._lowest(occupied))
        x, y, z = self._camera_center
        seen, confirmed = self._seen(height, float(z - plane @ (x, y, 1)), disparity)
        x, y = np.nonzero(seen)
        base = np.floor(height[x, y] - np.float32(0.5)).astype(np.intp)
        layers = base[:, None] + np.arange(2)
        voxels = ((x * ny + y) * nz)[:, None] + layers
        return Ground(height, seen, confirmed, voxels[(layers >= 0) & (layers < nz)], plane)

    def _lowest(self, occupied: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the lowest surface voxel of each column, from all of them, ascending."""
        return occupied[np.diff(occupied // self._size[2], prepend=-1) > 0]

    def _is_upright(self, lowest: npt.NDArray[np.intp], occupied: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Return whether the two voxels above the lowest surface voxel are also occupied, as on a wall, `[N]`.

        The lowest visible part of a wall beyond a drop lies on the ray over the edge and would tilt the plane.
        """
        nz = self._size[2]
        filled = np.zeros(self._size[0] * self._size[1] * nz + 2, bool)
        filled[occupied] = True
        return (lowest % nz < nz - 2) & filled[lowest + 1] & filled[lowest + 2]

    def _with_steps(self, height: npt.NDArray[np.float32], lowest: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Replace the height in columns that contain a step by that of the lowest surface voxel, `[X, Y]`."""
        column, layer = np.divmod(lowest, self._size[2])
        # just below the voxel's centre, so that the ground is in this voxel and not in the voxel above
        surface = layer.astype(np.float32) + np.float32(0.49)
        deviation = np.abs(surface - height.ravel()[column])
        steps = np.zeros(height.size, np.uint8)
        steps[column] = (deviation > STEP[0]) & (deviation < STEP[1])
        # single columns are noise
        opened = cv2.morphologyEx(steps.reshape(height.shape), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        # around a step all columns follow the surface, because the smooth field would otherwise have steps at the
        # border
        around = cv2.dilate(opened, np.ones((4 * CELL + 1, 4 * CELL + 1), np.uint8))
        is_near = (around.ravel()[column] > 0) & (deviation < STEP[1])
        height.ravel()[column[is_near]] = surface[is_near]
        return height

    def _residual(self, points: SurfacePoints, plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the height of the ground above the plane by column, `[X, Y]` voxel edges."""
        nx, ny, _ = self._size
        cells = (-(-nx // CELL), -(-ny // CELL))
        above = np.empty(len(points.x), np.float32)
        cell = np.empty(len(above), np.int32)
        # every other point: near cells contain hundreds of points, and far cells are smoothed
        found = write_near(points.x, points.y, points.z, plane, 2, CELL, cells[1], above, cell)
        above, cell = above[:found], cell[:found]
        field = np.zeros(cells, np.float32)
        for band in (2.0, 1.0):
            count, total = np.zeros(field.size, np.int64), np.zeros(field.size)
            add_heights(above, cell, field.ravel(), np.float32(band), count, total)
            weight = np.minimum(count, 20).astype(np.float32)
            mean = (total / np.maximum(count, 1)).astype(np.float32)
            smooth = [cv2.GaussianBlur(a.reshape(cells), (0, 0), 5 / 3) for a in (weight * mean, weight)]
            field = (smooth[0] / np.maximum(smooth[1], 1e-2)).astype(np.float32)
        fine = cv2.resize(field, (cells[1] * CELL, cells[0] * CELL), interpolation=cv2.INTER_LINEAR)
        return np.asarray(fine[:nx, :ny], np.float32)

    def _seen(
        self, height: npt.NDArray[np.float32], camera_height: float, disparity: npt.NDArray[np.int16]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return the masks `seen` and `confirmed` of `Ground`, `[X, Y]` each."""
        k = self._camera.projection
        seen, confirmed = np.zeros((2, height.size), np.uint8)
        write_seen(
            height.ravel(),
            self._foot,
            self._up,
            np.array((k[0, 0], k[1, 1], k[0, 2], k[1, 2]), np.float32),
            np.float32(self._edge),
            self._steps,
            np.float32(GROUND_SIGMAS * SIGMA_PX * STEPS),
            np.float32(k[1, 1] * self._edge * HEIGHT_ERROR),
            HEIGHT_ERRORS,
            self._gradient / np.float32(max(camera_height, 1.0)),
            GRADIENT,
            GRADIENT_ROWS,
            disparity,
            seen,
            confirmed,
        )
        # gaps between the rows of far ground, and single columns without a match
        closing = np.ones((5, 5), np.uint8)
        masks = (cv2.morphologyEx(mask.reshape(height.shape), cv2.MORPH_CLOSE, closing) for mask in (seen, confirmed))
        is_seen, is_confirmed = (mask.astype(bool) for mask in masks)
        return is_seen, is_confirmed
