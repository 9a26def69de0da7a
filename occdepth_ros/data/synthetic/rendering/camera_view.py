"""A pinhole camera for the rasterizer: solids as coefficients of inverse depth over the pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.data.synthetic.scene.solids import World

Array = npt.NDArray[np.float32]
Columns = npt.NDArray[np.int64]
SMALL = 1e-6
"""Smallest magnitude of a divisor."""
_NEAR = 0.2


@dataclass(frozen=True)
class CameraView:
    """A pinhole camera.

    Args:
        origin: optical centre in the world, `[3]`.
        rays: matrix from a pixel (u, v, 1) to a world direction of depth 1, `[3, 3]`.
        width, height: image size, pixels.
        leaf_scale: inverse size of gaps between leaves, relative to training scenes: 2 = gaps of half the size.
    """

    origin: Matrix
    rays: Matrix
    width: int
    height: int
    leaf_scale: float = 1.0
    floor: float = 0.0
    """Inverse depth where a ray hits nothing."""

    @classmethod
    def from_pose(cls, intrinsics: Matrix, world_from_camera: Matrix, width: int, height: int) -> CameraView:
        """Create a view from K `[3, 3]` and the pose of the optical frame `[4, 4]`."""
        return cls(world_from_camera[:3, 3], world_from_camera[:3, :3] @ np.linalg.inv(intrinsics), width, height)

    def supersampled(self, samples: int) -> CameraView:
        """Return the view with `samples` x `samples` rays for each pixel."""
        k = np.diag([1 / samples, 1 / samples, 1.0])
        k[:2, 2] = (1 - samples) / (2 * samples)
        return replace(self, rays=self.rays @ k, width=self.width * samples, height=self.height * samples)

    def planes(self, planes: Matrix) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """Return inverse depth of planes as coefficients of (u, v, 1), `[K, 3]`, and whether they face the camera."""
        offset = planes[:, 3] - planes[:, :3] @ self.origin
        offset = np.where(np.abs(offset) < SMALL, SMALL, offset)
        return planes[:, :3] @ self.rays / offset[:, None], offset < 0

    def balls(self, world: World) -> tuple[Matrix, Matrix]:
        """Return a `[B, 3]` and Q `[B, 3, 3]` of the balls; Q is negative for a ball around the camera."""
        o = np.einsum("bij,bj->bi", world.spheres, self.origin - world.centers)
        d = world.spheres @ self.rays
        a = (o * o).sum(axis=1) - 1
        around = a < 1e-3
        a = np.where(around, 1.0, a)
        b = np.einsum("bi,bij->bj", o, d)
        quadric = b[:, :, None] * b[:, None, :] - a[:, None, None] * (d.transpose(0, 2, 1) @ d)
        quadric[around] = -np.eye(3)
        return -b / a[:, None], quadric / (a * a)[:, None, None]

    def pixels(self, corners: Matrix) -> tuple[Matrix, Matrix, npt.NDArray[np.bool_]]:
        """Return the pixels u, v of points `[N, 8, 3]`, and which solids reach behind the near plane, `[N]`."""
        x, y, z = np.moveaxis((corners - self.origin) @ np.linalg.inv(self.rays).T, -1, 0)
        z = np.where(z.max(axis=1, keepdims=True) <= _NEAR, np.nan, z)
        close = np.maximum(z, _NEAR)
        return x / close, y / close, z.min(axis=1) <= _NEAR

    def directions(self) -> Array:
        """Return the world directions of depth 1 of all pixels, `[3, H, W]`."""
        u, v = np.arange(self.width), np.arange(self.height)
        r = self.rays
        d = (r[:, 0, None, None] * u[None, None, :] + r[:, 1, None, None] * v[None, :, None]) + r[:, 2, None, None]
        return np.asarray(d, np.float32)

    def leaf_points(self, u: Columns, v: Columns, w: Array) -> tuple[list[Array], Array]:
        """Return the world x, y, z of hits at pixels, and their depth, `[N]` each, in units of `leaf_scale`."""
        r = self.rays.astype(np.float32)
        column, row = u.astype(np.float32), v.astype(np.float32)
        depth = np.asarray(1 / w, np.float32)
        points = [(r[i, 0] * column + r[i, 1] * row + r[i, 2]) * depth + np.float32(self.origin[i]) for i in range(3)]
        if self.leaf_scale != 1:
            return [p * np.float32(self.leaf_scale) for p in points], depth / np.float32(self.leaf_scale)
        return points, depth

    def points(self, w: Array) -> Array:
        """Return the world points of an image of inverse depth, `[3, H, W]`."""
        depth = 1 / np.maximum(w, np.float32(1e-4))
        return np.asarray(self.origin.astype(np.float32)[:, None, None] + self.directions() * depth, np.float32)
