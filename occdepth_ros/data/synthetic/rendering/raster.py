"""First hits of all rays of an image by closed formulas.

Along the ray through pixel h = (u, v, 1) let w be the inverse depth 1/z (camera) or minus the distance (sun). On a
plane w is affine in h; a ray hits a convex block where the least w of its front planes exceeds the greatest of its back
planes, and that least w is the hit. On an ellipsoid w = a . h + sqrt(h' Q h). A solid is evaluated inside the window
of pixels that its enclosing box covers, and the greatest w of all solids wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.data.synthetic.rendering.camera_view import Array, CameraView
from occdepth_ros.data.synthetic.rendering.shadow_map import ShadowMap
from occdepth_ros.data.synthetic.rendering.texture import leaf_gaps, mesh_gaps, slat_gaps
from occdepth_ros.data.synthetic.scene.solids import Block, Paint, World

Index = npt.NDArray[np.int32]
NOTHING = -1


@dataclass(frozen=True)
class Hits:
    """First hits of the rays of an image.

    Args:
        w: inverse depth, or minus the distance from the reference plane along sun rays, `[H, W]`.
        solid: index into the world's solids, -1 for none, `[H, W]`.
        face: index of the plane of a block, `[H, W]`.
    """

    w: Array
    solid: Index
    face: npt.NDArray[np.uint8]


def rasterize(view: CameraView | ShadowMap, world: World) -> Hits:
    """Return the first hits of the rays with the solids of a world; the ground is not included."""
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


def _windows(view: CameraView | ShadowMap, corners: Matrix) -> npt.NDArray[np.int64]:
    """Return the first and last column and row that each solid may cover, `[N, 4]`; empty out of view."""
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


def _draw_block(
    view: CameraView | ShadowMap, block: Block, index: int, window: tuple[int, int, int, int], hits: Hits
) -> None:
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
    # the back planes matter only if the solid is the first hit
    buffer = hits.w[part]
    nearer = near > buffer
    if not nearer.any():
        return
    for k in np.flatnonzero(~front):
        nearer &= near > down[k][:, None] + across[k]
    if block.paint in (Paint.SLATS, Paint.MESH) and isinstance(view, CameraView):
        rows, columns = np.nonzero(nearer)
        h = np.stack([columns + left, rows + top, np.ones(rows.size)])
        points = view.origin[:, None] + (view.rays @ h) / near[rows, columns]
        gaps = slat_gaps if block.paint is Paint.SLATS else mesh_gaps
        nearer[rows, columns] &= ~gaps(block.rotation.T @ (points - block.translation[:, None]))
    np.copyto(buffer, near, where=nearer)
    hits.solid[part][nearer] = index
    hits.face[part][nearer] = face[nearer]


def _draw_balls(view: CameraView | ShadowMap, world: World, windows: npt.NDArray[np.int64], hits: Hits) -> None:
    affine, quadric = view.balls(world)
    left, right, top, bottom = windows.T
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    # coordinates relative to the window's middle avoid the rounding errors of small, distant balls
    u0, v0 = (left + right) // 2, (top + bottom) // 2
    shift = np.tile(np.eye(3), (len(area), 1, 1))
    shift[:, 0, 2], shift[:, 1, 2] = u0, v0
    a = np.einsum("bi,bij->bj", affine, shift).astype(np.float32)
    q = np.einsum("bki,bkl,blj->bij", shift, quadric, shift, optimize=True).astype(np.float32)
    # nearest first: pixels behind them need no look-up of leaf gaps
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
        nearer = (root > 0) & (w > buffer)
        if world.balls[i].paint is Paint.FOLIAGE:
            rows, columns = np.nonzero(nearer)
            if not rows.size:
                continue
            hit_w = w[rows, columns]
            points, depth = view.leaf_points(columns + first, rows + upper, hit_w)
            # 1 in the middle of a ball's outline, 0 at its rim
            centrality = root[rows, columns] / np.float32(max(float(k[2, 2]), 1e-12))
            solid = ~leaf_gaps(points, depth, int(i), centrality)
            rows, columns = rows[solid], columns[solid]
            buffer[rows, columns] = hit_w[solid]
            hits.solid[part][rows, columns] = i + len(world.blocks)
        else:
            np.copyto(buffer, w, where=nearer)
            hits.solid[part][nearer] = i + len(world.blocks)
