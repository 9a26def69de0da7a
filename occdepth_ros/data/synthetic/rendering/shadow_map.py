"""Shadows: a raster of parallel rays from the sun."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.data.synthetic.rendering.camera_view import SMALL, Array, Columns
from occdepth_ros.data.synthetic.scene.solids import World


@dataclass(frozen=True)
class ShadowMap:
    """Rays from the sun, indexed by the point where they cross the plane z = 0.

    Args:
        sun: unit vector towards the sun, `[3]`.
        corner: x, y of the first pixel, metres.
        cell: edge of a pixel, metres.
        width, height: pixels along x and y.
    """

    sun: Matrix
    corner: tuple[float, float]
    cell: float
    width: int
    height: int
    floor: float = 0.0

    @property
    def _pixel_to_plane(self) -> Matrix:
        return np.array([[self.cell, 0, self.corner[0]], [0, self.cell, self.corner[1]], [0, 0, 0]])

    def planes(self, planes: Matrix) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """See `CameraView.planes`."""
        slope = -planes[:, :3] @ self.sun
        slope = np.where(np.abs(slope) < SMALL, SMALL, slope)
        rows = planes[:, :3] @ self._pixel_to_plane
        rows[:, 2] -= planes[:, 3]
        return rows / slope[:, None], slope < 0

    def balls(self, world: World) -> tuple[Matrix, Matrix]:
        """See `CameraView.balls`."""
        o = world.spheres @ self._pixel_to_plane
        o[:, :, 2] -= np.einsum("bij,bj->bi", world.spheres, world.centers)
        d = world.spheres @ -self.sun
        a = (d * d).sum(axis=1)
        b = np.einsum("bi,bij->bj", d, o)
        quadric = b[:, :, None] * b[:, None, :] - a[:, None, None] * (o.transpose(0, 2, 1) @ o)
        quadric[:, 2, 2] += a
        return b / a[:, None], quadric / (a * a)[:, None, None]

    def pixels(self, corners: Matrix) -> tuple[Matrix, Matrix, npt.NDArray[np.bool_]]:
        """See `CameraView.pixels`."""
        x = corners[..., 0] - corners[..., 2] * (self.sun[0] / self.sun[2])
        y = corners[..., 1] - corners[..., 2] * (self.sun[1] / self.sun[2])
        return (x - self.corner[0]) / self.cell, (y - self.corner[1]) / self.cell, np.zeros(len(corners), bool)

    def leaf_points(self, u: Columns, v: Columns, w: Array) -> tuple[list[Array], Array]:
        """Return the points at which gaps between leaves are looked up; see `CameraView.leaf_points`."""
        cell = np.float32(self.cell)
        return [u * cell, v * cell, np.zeros_like(w)], np.full_like(w, 12.0)

    def sunlit(self, first_hits: Array, points: Array) -> Array:
        """Return 1 for points `[3, ...]` that the sun reaches and 0 for others; points outside of the map are sunlit.

        Args:
            first_hits: `w` computed by `rasterize` for this map, `[H, W]`.
            points: positions in the world, metres.
        """
        s = self.sun
        column = np.rint((points[0] - points[2] * np.float32(s[0] / s[2]) - self.corner[0]) / self.cell).astype(int)
        row = np.rint((points[1] - points[2] * np.float32(s[1] / s[2]) - self.corner[1]) / self.cell).astype(int)
        inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        first = first_hits[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.asarray(~inside | (first <= points[2] / np.float32(s[2]) + 0.25), np.float32)
