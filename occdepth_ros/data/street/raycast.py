"""Exact first hits of rays with the solids of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.data.street.scene import Solid
from occdepth_ros.data.street.shapes import Array, Mask

NOTHING = -1
_NEAR = 0.05
_LIFT = 2e-3
"""Shadow rays start this far above the surface, metres, so that it does not shade itself."""


@dataclass(frozen=True)
class PinholeView:
    """Rays through the pixels of a pinhole camera.

    Args:
        intrinsics: K of the rays' grid, `[3, 3]`; pixel centres at whole numbers.
        world_from_camera: pose of the optical frame (x right, y down, z forward), `[4, 4]`.
        width, height: number of rays.
    """

    intrinsics: Matrix
    world_from_camera: Matrix
    width: int
    height: int

    @property
    def origin(self) -> Array:
        """The optical centre in the world, `[3, 1]`."""
        return self.world_from_camera[:3, 3:].astype(np.float32)

    def directions(self) -> Array:
        """`[3, H, W]` in the world, scaled so that the distance along a ray is the depth z."""
        k = self.intrinsics
        x = (np.arange(self.width) - k[0, 2]) / k[0, 0]
        y = (np.arange(self.height) - k[1, 2]) / k[1, 1]
        r = self.world_from_camera[:3, :3]
        rays = r[:, 0, None, None] * x[None, None, :] + r[:, 1, None, None] * y[None, :, None] + r[:, 2, None, None]
        return rays.astype(np.float32)

    def window(self, corners: Array) -> tuple[slice, slice] | None:
        """Rows and columns of the rays that may meet a box, None where it is out of view.

        Args:
            corners: the box's, `[3, 8]` in the world.
        """
        r, t = self.world_from_camera[:3, :3], self.world_from_camera[:3, 3:]
        x, y, z = r.T @ (corners - t)
        if z.max() <= _NEAR:
            return None
        if z.min() <= _NEAR:
            return slice(0, self.height), slice(0, self.width)
        k = self.intrinsics
        u, v = k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2]
        left, right = max(int(np.floor(u.min())), 0), min(int(np.ceil(u.max())) + 1, self.width)
        top, bottom = max(int(np.floor(v.min())), 0), min(int(np.ceil(v.max())) + 1, self.height)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def cast_view(view: PinholeView, solids: Sequence[Solid]) -> tuple[Array, npt.NDArray[np.int32]]:
    """First hit of every ray of a view.

    Returns:
        depth z `[H, W]`, infinity where nothing is hit, and the index of the solid `[H, W]`, -1 for nothing.
    """
    directions = view.directions()
    depth = np.full((view.height, view.width), np.inf, np.float32)
    index = np.full((view.height, view.width), NOTHING, np.int32)
    for i, solid in enumerate(solids):
        window = view.window(solid.corners)
        if window is None:
            continue
        rays = directions[:, window[0], window[1]]
        t = _first_hit(solid, view.origin, rays.reshape(3, -1)).reshape(rays.shape[1:])
        nearer = t < depth[window]
        depth[window][nearer] = t[nearer]
        index[window][nearer] = i
    return depth, index


def cast_sphere(origin: Array, rows: int, columns: int, solids: Sequence[Solid]) -> Array:
    """Distance to the first hit all around a point, `[rows, columns]`, infinity where nothing is hit.

    Args:
        origin: `[3, 1]`.
        rows: rays from straight up to straight down.
        columns: rays around z, counter-clockwise from x.
        solids: what can be hit.
    """
    azimuth = (np.arange(columns) + 0.5) / columns * 2 * np.pi
    polar = (np.arange(rows) + 0.5) / rows * np.pi
    sine, upward = np.sin(polar)[:, None], np.broadcast_to(np.cos(polar)[:, None], (rows, columns))
    rays = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), upward]).astype(np.float32)
    distance = np.full((rows, columns), np.inf, np.float32)
    for solid in solids:
        center, radius = solid.sphere
        x, y, z = center - origin[:, 0]
        away = float(np.sqrt(x * x + y * y + z * z))
        top, bottom, across = 0, rows, np.arange(columns)
        if away > radius:
            spread, tilt = np.arcsin(radius / away), np.arccos(z / away)
            top = max(int((tilt - spread) / np.pi * rows), 0)
            bottom = min(int((tilt + spread) / np.pi * rows) + 1, rows)
            if spread < min(tilt, np.pi - tilt):
                half = np.arcsin(np.sin(spread) / np.sin(tilt)) / (2 * np.pi) * columns
                middle = np.arctan2(y, x) / (2 * np.pi) * columns
                across = np.arange(int(np.floor(middle - half)), int(np.ceil(middle + half)) + 1) % columns
        part = rays[:, top:bottom][:, :, across]
        t = _first_hit(solid, origin, part.reshape(3, -1)).reshape(part.shape[1:])
        distance[top:bottom, across] = np.minimum(distance[top:bottom, across], t)
    return distance


def shadowed(points: Array, normals: Array, sun: Array, solids: Sequence[Solid]) -> Mask:
    """Whether something stands between surface points and the sun, `[N]`.

    Args:
        points, normals: `[3, N]` in the world.
        sun: unit vector towards the sun, `[3]`.
    """
    dark = np.zeros(points.shape[1], bool)
    start = points + _LIFT * normals
    # two axes across the sun's direction: in them a shadow ray is a point, and an enclosing sphere a circle
    side = np.cross(sun, [0, 0, 1.0])
    side = (side / np.linalg.norm(side)).astype(np.float32)
    up = np.cross(side, sun).astype(np.float32)
    u, v = side @ start, up @ start
    order = np.argsort(u)
    u, v = u[order], v[order]
    for solid in solids:
        center, radius = solid.sphere
        cu, cv = float(side @ center), float(up @ center)
        first, last = np.searchsorted(u, (cu - radius, cu + radius))
        near = order[first:last][np.abs(v[first:last] - cv) < radius]
        near = near[~dark[near]]
        if near.size:
            rays = np.broadcast_to(sun[:, None], (3, near.size))
            dark[near] = np.isfinite(_first_hit(solid, np.ascontiguousarray(start[:, near]), rays))
    return dark


def _first_hit(solid: Solid, origin: Array, directions: Array) -> Array:
    """Distance along rays of the world to a solid, `[N]`; points that its material leaves out are passed."""
    o = solid.to_local(origin)
    d = np.asarray(solid.rotation.T @ directions, np.float32)
    t = solid.shape.intersect(o, d)
    hit = np.flatnonzero(np.isfinite(t))
    if hit.size:
        start = o if o.shape[1] == 1 else o[:, hit]
        kept = solid.material.keeps(start + t[hit] * d[:, hit])
        if kept is not None:
            t[hit[~kept]] = np.inf
    return t
