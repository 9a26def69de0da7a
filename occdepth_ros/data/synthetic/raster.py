"""First hits of all rays of an image, by closed formulas instead of a search.

Along the ray through pixel h = (u, v, 1) let w be the inverse depth 1/z (camera) or minus the distance (sun). On a
plane w is affine in h; a convex block is met where the least w of its front planes exceeds the greatest of its back
planes, and that least w is the hit. On an ellipsoid w = a . h + sqrt(h' Q h). A solid is evaluated inside the window
of pixels that its enclosing box covers, and the greatest w of all solids wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.data.synthetic.solids import Block, Paint, World
from occdepth_ros.data.synthetic.texture import leaf_gaps, mesh_gaps, slat_gaps

Array = npt.NDArray[np.float32]
Index = npt.NDArray[np.int32]
Columns = npt.NDArray[np.int64]
NOTHING = -1
_NEAR = 0.2
_SMALL = 1e-6


@dataclass(frozen=True)
class Hits:
    """What the rays of an image meet.

    Args:
        w: inverse depth, or minus the distance from the reference plane along sun rays, `[H, W]`.
        solid: index into the world's solids, -1 for none, `[H, W]`.
        face: which plane of a block, `[H, W]`.
    """

    w: Array
    solid: Index
    face: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Eye:
    """A pinhole camera.

    Args:
        origin: the optical centre in the world, `[3]`.
        rays: pixel (u, v, 1) to a world direction of depth 1, `[3, 3]`.
        width, height: pixels.
    """

    origin: Matrix
    rays: Matrix
    width: int
    height: int
    floor: float = 0.0
    """The w of nothing at all."""

    @classmethod
    def of(cls, intrinsics: Matrix, world_from_camera: Matrix, width: int, height: int) -> Eye:
        """From K `[3, 3]` and the pose of the optical frame `[4, 4]`."""
        return cls(world_from_camera[:3, 3], world_from_camera[:3, :3] @ np.linalg.inv(intrinsics), width, height)

    def planes(self, planes: Matrix) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """w as coefficients of (u, v, 1) on each plane, `[K, 3]`, and whether it faces the camera, `[K]`."""
        room = planes[:, 3] - planes[:, :3] @ self.origin
        room = np.where(np.abs(room) < _SMALL, _SMALL, room)
        return planes[:, :3] @ self.rays / room[:, None], room < 0

    def balls(self, world: World) -> tuple[Matrix, Matrix]:
        """a `[B, 3]` and Q `[B, 3, 3]` of the balls; Q is negative for a ball around the camera."""
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
        """Pixels u, v of points `[N, 8, 3]`, and which solids reach behind the near plane, `[N]`."""
        x, y, z = np.moveaxis((corners - self.origin) @ np.linalg.inv(self.rays).T, -1, 0)
        z = np.where(z.max(axis=1, keepdims=True) <= _NEAR, np.nan, z)
        close = np.maximum(z, _NEAR)
        return x / close, y / close, z.min(axis=1) <= _NEAR

    def directions(self) -> Array:
        """World directions of depth 1 of all pixels, `[3, H, W]`."""
        u, v = np.arange(self.width), np.arange(self.height)
        r = self.rays
        d = (r[:, 0, None, None] * u[None, None, :] + r[:, 1, None, None] * v[None, :, None]) + r[:, 2, None, None]
        return np.asarray(d, np.float32)

    def places(self, u: Columns, v: Columns, w: Array) -> tuple[list[Array], Array]:
        """World x, y, z of hits at pixels, and their depth, `[N]` each."""
        r = self.rays.astype(np.float32)
        column, row = u.astype(np.float32), v.astype(np.float32)
        depth = np.asarray(1 / w, np.float32)
        return [
            (r[i, 0] * column + r[i, 1] * row + r[i, 2]) * depth + np.float32(self.origin[i]) for i in range(3)
        ], depth

    def points(self, w: Array) -> Array:
        """World points of an image of w, `[3, H, W]`."""
        depth = 1 / np.maximum(w, np.float32(1e-4))
        return np.asarray(self.origin.astype(np.float32)[:, None, None] + self.directions() * depth, np.float32)


@dataclass(frozen=True)
class SunMap:
    """Sun rays by where they meet the plane z = 0: pixel (column, row) is a place there.

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
    def _places(self) -> Matrix:
        return np.array([[self.cell, 0, self.corner[0]], [0, self.cell, self.corner[1]], [0, 0, 0]])

    def planes(self, planes: Matrix) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """See `Eye.planes`."""
        slope = -planes[:, :3] @ self.sun
        slope = np.where(np.abs(slope) < _SMALL, _SMALL, slope)
        rows = planes[:, :3] @ self._places
        rows[:, 2] -= planes[:, 3]
        return rows / slope[:, None], slope < 0

    def balls(self, world: World) -> tuple[Matrix, Matrix]:
        """See `Eye.balls`."""
        o = world.spheres @ self._places
        o[:, :, 2] -= np.einsum("bij,bj->bi", world.spheres, world.centers)
        d = world.spheres @ -self.sun
        a = (d * d).sum(axis=1)
        b = np.einsum("bi,bij->bj", d, o)
        quadric = b[:, :, None] * b[:, None, :] - a[:, None, None] * (o.transpose(0, 2, 1) @ o)
        quadric[:, 2, 2] += a
        return b / a[:, None], quadric / (a * a)[:, None, None]

    def pixels(self, corners: Matrix) -> tuple[Matrix, Matrix, npt.NDArray[np.bool_]]:
        """See `Eye.pixels`."""
        x = corners[..., 0] - corners[..., 2] * (self.sun[0] / self.sun[2])
        y = corners[..., 1] - corners[..., 2] * (self.sun[1] / self.sun[2])
        return (x - self.corner[0]) / self.cell, (y - self.corner[1]) / self.cell, np.zeros(len(corners), bool)

    def places(self, u: Columns, v: Columns, w: Array) -> tuple[list[Array], Array]:
        """Where holes in a crown are looked up, which let dappled light through; see `Eye.places`."""
        cell = np.float32(self.cell)
        return [u * cell, v * cell, np.zeros_like(w)], np.full_like(w, 12.0)

    def lights(self, hits: Hits, points: Array) -> Array:
        """Whether the sun reaches points `[3, ...]`, 0 or 1; outside of the map it does."""
        s = self.sun
        column = np.rint((points[0] - points[2] * np.float32(s[0] / s[2]) - self.corner[0]) / self.cell).astype(int)
        row = np.rint((points[1] - points[2] * np.float32(s[1] / s[2]) - self.corner[1]) / self.cell).astype(int)
        inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        first = hits.w[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.asarray(~inside | (first <= points[2] / np.float32(s[2]) + 0.25), np.float32)


def rasterize(view: Eye | SunMap, world: World) -> Hits:
    """First hits with the solids of a world (the ground is not one of them)."""
    shape = (view.height, view.width)
    hits = Hits(np.full(shape, view.floor, np.float32), np.full(shape, NOTHING, np.int32), np.zeros(shape, np.uint8))
    with np.errstate(invalid="ignore"):
        windows = _windows(view, world.corners)
    for i, block in enumerate(world.blocks):
        left, right, top, bottom = windows[i]
        if left < right and top < bottom:
            _draw_block(view, block, i, (left, right, top, bottom), hits)
    if world.balls:
        _draw_balls(view, world, windows[len(world.blocks) :], hits)
    return hits


def _windows(view: Eye | SunMap, corners: Matrix) -> npt.NDArray[np.int64]:
    """First and last column, first and last row that each solid can cover, `[N, 4]`; empty where out of view."""
    u, v, close = view.pixels(corners)
    size = view.width, view.height
    out = np.zeros((len(corners), 4), np.int64)
    seen = np.isfinite(u).all(axis=1)
    for axis, value in enumerate((u, v)):
        low = np.where(close, 0, np.floor(np.nan_to_num(value.min(axis=1))))
        high = np.where(close, size[axis], np.ceil(np.nan_to_num(value.max(axis=1))) + 1)
        out[:, 2 * axis] = np.clip(low, 0, size[axis])
        out[:, 2 * axis + 1] = np.where(seen, np.clip(high, 0, size[axis]), 0)
    return out


def _draw_block(view: Eye | SunMap, block: Block, index: int, window: tuple[int, int, int, int], hits: Hits) -> None:
    left, right, top, bottom = window
    affine, front = view.planes(block.planes)
    across = (affine[:, :1] * np.arange(left, right) + affine[:, 2:]).astype(np.float32)
    down = (affine[:, 1:2] * np.arange(top, bottom)).astype(np.float32)
    front_planes = np.flatnonzero(front)
    if not front_planes.size:
        return
    shape = (bottom - top, right - left)
    face = np.full(shape, front_planes[0], np.uint8)
    near = down[front_planes[0]][:, None] + across[front_planes[0]]
    for k in front_planes[1:]:
        w = down[k][:, None] + across[k]
        face[w < near] = k
        np.minimum(near, w, out=near)
    part = slice(top, bottom), slice(left, right)
    # the back planes are worth testing only where the solid would be the first
    floor = hits.w[part]
    won = near > floor
    if not won.any():
        return
    for k in np.flatnonzero(~front):
        won &= near > down[k][:, None] + across[k]
    if block.paint in (Paint.SLATS, Paint.MESH) and isinstance(view, Eye):
        rows, columns = np.nonzero(won)
        h = np.stack([columns + left, rows + top, np.ones(rows.size)])
        points = view.origin[:, None] + (view.rays @ h) / near[rows, columns]
        gaps = slat_gaps if block.paint is Paint.SLATS else mesh_gaps
        won[rows, columns] &= ~gaps(block.turn.T @ (points - block.place[:, None]))
    np.copyto(floor, near, where=won)
    hits.solid[part][won] = index
    hits.face[part][won] = face[won]


def _draw_balls(view: Eye | SunMap, world: World, windows: npt.NDArray[np.int64], hits: Hits) -> None:
    affine, quadric = view.balls(world)
    left, right, top, bottom = windows.T
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    # coordinates from the window's middle: far, small balls would drown in rounding otherwise
    u0, v0 = (left + right) // 2, (top + bottom) // 2
    shift = np.tile(np.eye(3), (len(area), 1, 1))
    shift[:, 0, 2], shift[:, 1, 2] = u0, v0
    a = np.einsum("bi,bij->bj", affine, shift).astype(np.float32)
    q = np.einsum("bki,bkl,blj->bij", shift, quadric, shift, optimize=True).astype(np.float32)
    # the nearest first: what they hide costs nothing more
    for i in np.argsort(-a[:, 2]):
        if not area[i]:
            continue
        first, last, upper, lower = windows[i]
        u = np.arange(first - u0[i], last - u0[i], dtype=np.float32)
        v = np.arange(upper - v0[i], lower - v0[i], dtype=np.float32)
        k = q[i]
        root = (2 * k[0, 1] * v)[:, None] * u
        root += (k[0, 0] * u + 2 * k[0, 2]) * u
        root += ((k[1, 1] * v + 2 * k[1, 2]) * v + k[2, 2])[:, None]
        w = np.sqrt(np.maximum(root, 0))
        w += a[i, 0] * u + a[i, 2]
        w += (a[i, 1] * v)[:, None]
        part = slice(upper, lower), slice(first, last)
        buffer = hits.w[part]
        won = (root > 0) & (w > buffer)
        if world.balls[i].paint is Paint.FOLIAGE:
            rows, columns = np.nonzero(won)
            if not rows.size:
                continue
            met = w[rows, columns]
            points, depth = view.places(columns + first, rows + upper, met)
            # 1 in the middle of a ball's outline, 0 at its rim
            whole = root[rows, columns] / np.float32(max(float(k[2, 2]), 1e-12))
            solid = ~leaf_gaps(points, depth, int(i), whole)
            rows, columns = rows[solid], columns[solid]
            buffer[rows, columns] = met[solid]
            hits.solid[part][rows, columns] = i + len(world.blocks)
        else:
            np.copyto(buffer, w, where=won)
            hits.solid[part][won] = i + len(world.blocks)
