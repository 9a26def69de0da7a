"""From hits to colours: sun with shadows, sky, reflections, haze, and what a camera makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.data.street.materials import grain
from occdepth_ros.data.street.raycast import NOTHING, PinholeView, cast_view, shadowed
from occdepth_ros.data.street.scene import Solid
from occdepth_ros.data.street.shapes import Array, Mask

SUN = np.array([2.5, 2.25, 1.85], np.float32)
SKY = np.array([0.4, 0.47, 0.62], np.float32)
BOUNCE = np.array([0.2, 0.185, 0.165], np.float32)
HAZE = np.array([0.78, 0.87, 0.98], np.float32)
HAZE_LENGTH = 1400.0
EXPOSURE = 0.72


@dataclass(frozen=True)
class OpenSky:
    """How much of the sky a place sees, from the density of solids around it on a coarse grid.

    Args:
        density: blurred share of solid space, `[X, Y, Z]`.
        origin: corner of the grid, `[3]`, metres.
        cell: edge of a grid cell, metres.
    """

    density: Array
    origin: Array
    cell: float

    @classmethod
    def of(cls, solids: Sequence[Solid], lower: npt.ArrayLike, upper: npt.ArrayLike, cell: float = 0.4) -> OpenSky:
        """Fill and blur the grid over the box from `lower` to `upper`."""
        low, high = np.asarray(lower, np.float32), np.asarray(upper, np.float32)
        size = np.ceil((high - low) / cell).astype(int)
        filled = np.zeros(size, np.float32)
        for solid in solids:
            corners = solid.corners
            first = np.clip(np.floor((corners.min(axis=1) - low) / cell).astype(int), 0, size)
            last = np.clip(np.ceil((corners.max(axis=1) - low) / cell).astype(int), 0, size)
            if (first >= last).any():
                continue
            axes = [low[i] + cell * (np.arange(first[i], last[i]) + 0.5) for i in range(3)]
            points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
            inside = solid.shape.contains(solid.to_local(points.reshape(3, -1)), 0.1).reshape(points.shape[1:])
            weight = 0.5 if solid.material.keeps(np.zeros((3, 1), np.float32)) is not None else 1.0
            window = filled[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
            np.maximum(window, weight * inside, out=window)
        for axis in range(3):
            filled = _blurred(filled, axis)
        return cls(filled, low, cell)

    def seen(self, points: Array, normals: Array) -> Array:
        """Share of the sky seen from surface points `[3, N]`, about 0.2..1."""
        at = points + 0.9 * normals
        index = np.floor((at - self.origin[:, None]) / self.cell).astype(int)
        size = np.array(self.density.shape)[:, None]
        inside = ((index >= 0) & (index < size)).all(axis=0)
        i, j, k = np.where(inside, index, 0)
        return np.where(inside, np.clip(1.12 - 1.5 * self.density[i, j, k], 0.22, 1), 1).astype(np.float32)


def _blurred(volume: Array, axis: int) -> Array:
    moved = np.ascontiguousarray(np.moveaxis(volume, axis, -1))
    flat = cv2.GaussianBlur(
        moved.reshape(-1, moved.shape[-1]), (0, 0), sigmaX=2.2, sigmaY=1e-6, borderType=cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(np.moveaxis(flat.reshape(moved.shape), -1, axis))


def sky(directions: Array, sun: Array) -> Array:
    """Radiance of the sky, `[N, 3]`; directions `[3, N]` unit."""
    z = np.maximum(directions[2], 0.0)
    blue = np.array([0.16, 0.36, 0.8], np.float32)
    color = HAZE + (blue - HAZE) * np.clip(1.25 * z, 0, 1)[:, None] ** 0.55
    reach = 1 / (z + 0.1)
    u, v = directions[0] * reach * 700, directions[1] * reach * 700
    flat = np.full(z.size, 6.0, np.float32)
    cloud = (
        grain(95, 1.35, 1.0, 2600.0).sample(u, v, flat)[:, 0]
        + 0.35 * grain(96, 1.0, 3.0, 1100.0).sample(u, v, flat)[:, 0]
    )
    cover = np.clip(0.5 * cloud - 0.05, 0, 0.8) * np.clip(z / 0.12, 0, 1)
    color += cover[:, None] * (np.array([1.12, 1.1, 1.08], np.float32) - color)
    glow = np.clip(sun @ directions, 0, 1) ** 24
    return np.asarray(color + 0.5 * glow[:, None], np.float32)


def render(view: PinholeView, solids: Sequence[Solid], sun: Array, open_sky: OpenSky, *, samples: int = 2) -> Array:
    """Linear colours of a view, `[H, W, 3]`; `samples` x `samples` rays per pixel are averaged."""
    k = np.diag([samples, samples, 1.0]) @ view.intrinsics
    k[:2, 2] += (samples - 1) / 2
    fine = PinholeView(k, view.world_from_camera, view.width * samples, view.height * samples)
    depth, index = cast_view(fine, solids)
    directions = fine.directions().reshape(3, -1)
    color = _shade(fine, directions, depth.ravel(), index.ravel(), solids, sun, open_sky)
    shape = (view.height, samples, view.width, samples, 3)
    return np.asarray(np.minimum(color, 1.6).reshape(shape).mean(axis=(1, 3)), np.float32)


def _shade(
    view: PinholeView,
    directions: Array,
    depth: Array,
    index: npt.NDArray[np.int32],
    solids: Sequence[Solid],
    sun: Array,
    open_sky: OpenSky,
) -> Array:
    length = np.linalg.norm(directions, axis=0)
    unit = directions / length
    color = np.empty((depth.size, 3), np.float32)
    empty = np.flatnonzero(index == NOTHING)
    color[empty] = sky(unit[:, empty], sun)
    order = np.argsort(index, kind="stable")[empty.size :]
    starts = np.flatnonzero(np.diff(index[order], prepend=NOTHING))
    groups = np.split(np.arange(order.size), starts[1:])
    points = view.origin + depth[order] * directions[:, order]
    normals = np.empty_like(points)
    for group in groups:
        solid = solids[index[order[group[0]]]]
        flat = solid.shape.normal(solid.to_local(points[:, group]))
        normals[:, group] = solid.rotation @ flat
    dark = shadowed(points, normals, sun, solids)
    seen = open_sky.seen(points, normals)
    for group in groups:
        at = order[group]
        solid = solids[index[at[0]]]
        color[at] = _lit(
            view, solid, points[:, group], normals[:, group], unit[:, at], depth[at], dark[group], seen[group], sun
        )
    far = (1 - np.exp(-depth[order] * length[order] / HAZE_LENGTH))[:, None]
    color[order] += far * (HAZE - color[order])
    return color


def _lit(
    view: PinholeView,
    solid: Solid,
    points: Array,
    normals: Array,
    ray: Array,
    depth: Array,
    dark: Mask,
    seen: Array,
    sun: Array,
) -> Array:
    """Light from points of one solid towards the camera, `[N, 3]`."""
    local = solid.to_local(points)
    facing = np.maximum(-(normals * ray).sum(axis=0), 0.05)
    footprint = depth / np.float32(view.intrinsics[0, 0]) / np.sqrt(facing)
    look = solid.material.look(local, np.asarray(solid.rotation.T @ normals, np.float32), footprint)
    bent = normals
    if look.bump is not None:
        bent = normals + np.clip(0.02 / footprint, 0, 1) * look.bump
        bent = bent / np.linalg.norm(bent, axis=0)
    lit = np.clip(sun @ bent, 0, None) * ~dark
    up = 0.5 + 0.5 * bent[2]
    light = lit[:, None] * SUN + seen[:, None] * (up[:, None] * SKY + (1 - up[:, None]) * BOUNCE)
    out = look.albedo * light
    shiny = np.flatnonzero(look.gloss > 0.01)
    if shiny.size:
        n, r, c, gloss = normals[:, shiny], ray[:, shiny], facing[shiny], look.gloss[shiny]
        mirror = r + 2 * c * n
        share = (gloss * (0.22 + 0.78 * (1 - c) ** 3) * seen[shiny])[:, None]
        flash = 3.0 * gloss * np.clip(sun @ mirror, 0, 1) ** 300 * (lit[shiny] > 0)
        out[shiny] = (1 - share) * out[shiny] + share * _surroundings(mirror, sun) + flash[:, None]
    return np.asarray(out, np.float32)


def _surroundings(directions: Array, sun: Array) -> Array:
    """What a mirror shows: sky, a dark band of houses at the horizon, ground; `[N, 3]`."""
    above = sky(directions, sun)
    houses = np.array([0.2, 0.17, 0.14], np.float32)
    ground = np.array([0.22, 0.21, 0.2], np.float32)
    rise = np.clip((directions[2] - 0.22) / 0.12, 0, 1)[:, None]
    below = np.clip((directions[2] + 0.03) / 0.06, 0, 1)[:, None]
    return np.asarray(rise * above + (1 - rise) * (below * houses + (1 - below) * ground), np.float32)


def develop(linear: Array, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """What a camera delivers: exposure, vignetting, a film curve, noise; `[H, W, 3]` RGB."""
    height, width = linear.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = (1 - 0.1 * (0.8 * x * x + 0.2 * y * y))[..., None]
    exposed = EXPOSURE * linear * vignette
    curve = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    encoded = np.clip(curve, 0, 1) ** (1 / 2.2)
    noisy = 255 * encoded + rng.normal(0, 1.1, encoded.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
