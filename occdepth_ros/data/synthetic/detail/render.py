"""Supersampled, detailed images of a scene for the sample drive: soft shadows, ambient occlusion, reflections.

Rendering takes about ten times as long per ray as `shading`, with the same geometry and hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY
from occdepth_ros.data.synthetic.detail.painters import PAINTERS
from occdepth_ros.data.synthetic.detail.road import ground_colors
from occdepth_ros.data.synthetic.detail.surfaces import SurfaceTables
from occdepth_ros.data.synthetic.labels.voxels import solid_labels
from occdepth_ros.data.synthetic.rendering.camera_view import Array, CameraView
from occdepth_ros.data.synthetic.rendering.raster import NOTHING, Hits, rasterize
from occdepth_ros.data.synthetic.rendering.relief import BACKDROP_M, add_ground
from occdepth_ros.data.synthetic.rendering.shading import normals_of
from occdepth_ros.data.synthetic.rendering.shadow_map import ShadowMap
from occdepth_ros.data.synthetic.rendering.texture import smooth_noise
from occdepth_ros.data.synthetic.scene.ground import Ground
from occdepth_ros.data.synthetic.scene.layout import Scene
from occdepth_ros.data.synthetic.scene.solids import LABEL, Paint
from occdepth_ros.grid import VoxelGrid

SUN_DIRECTION = np.array([-0.42, 0.5, 0.76]) / np.linalg.norm([-0.42, 0.5, 0.76])
SUN = np.array([2.5, 2.25, 1.85], np.float32)
SKY = np.array([0.42, 0.49, 0.64], np.float32)
BOUNCE = np.array([0.2, 0.185, 0.165], np.float32)
HAZE = np.array([0.78, 0.87, 0.98], np.float32)
HAZE_LENGTH = 1400.0
EXPOSURE = 0.74
_WOODS = np.array([0.06, 0.085, 0.035], np.float32)
_AMBIENT = VoxelGrid((-12.0, -36.0, -3.0), (300, 180, 45), 0.4)


@dataclass(frozen=True)
class Light:
    """Light that reaches the surfaces of a scene: shadows of the sun, and the visible share of the sky.

    Args:
        shadow_map: rays from the sun.
        shadows: `w` of their first hits, `[H, W]`.
        density: blurred share of solid space in the cells of a coarse grid, `[X, Y, Z]`.
    """

    shadow_map: ShadowMap
    shadows: Array
    density: Array

    @classmethod
    def of(cls, scene: Scene) -> Light:
        """Cast the rays of the sun and blur the solids of the scene."""
        shadow_map = ShadowMap(SUN_DIRECTION, (-12.0, -30.0), 0.05, 1900, 1200)
        labels = solid_labels(scene, _AMBIENT, np.eye(4))
        density = (labels != EMPTY).astype(np.float32)
        density[labels == LABEL["vegetation"]] = 0.6
        for axis in range(3):
            density = _blurred(density, axis)
        return cls(shadow_map, rasterize(shadow_map, scene.world).w, density)

    def sun(self, points: Array, normals: Array) -> Array:
        """Return the share of the sun that points `[3, N]` receive, 0..1, with a penumbra of 10 cm."""
        start = points + np.float32(0.12) * normals
        soft = np.zeros(points.shape[1], np.float32)
        for dx, dy in ((-0.04, -0.02), (0.02, -0.04), (0.04, 0.02), (-0.02, 0.04)):
            soft += self.shadow_map.sunlit(self.shadows, start + np.array([[dx], [dy], [0]], np.float32))
        return np.asarray(soft / 4, np.float32)

    def open_sky(self, points: Array, normals: Array) -> Array:
        """Return the share of the sky above the surface that is not covered, `[N]`, 0.2..1."""
        at = points + 0.9 * normals
        index = np.floor((at - np.array(_AMBIENT.origin)[:, None]) / _AMBIENT.resolution).astype(np.int32)
        inside = ((index >= 0) & (index < np.array(_AMBIENT.size)[:, None])).all(axis=0)
        i, j, k = np.where(inside, index, 0)
        return np.where(inside, np.clip(1.12 - 1.4 * self.density[i, j, k], 0.22, 1), 1).astype(np.float32)


def _blurred(volume: Array, axis: int) -> Array:
    moved = np.ascontiguousarray(np.moveaxis(volume, axis, -1))
    rows = moved.reshape(-1, moved.shape[-1])
    soft = cv2.GaussianBlur(rows, (0, 0), sigmaX=2.2, sigmaY=1e-6, borderType=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(np.moveaxis(soft.reshape(moved.shape), -1, axis))


def render(view: CameraView, scene: Scene, light: Light, samples: int) -> Array:
    """Render the linear colours of a view, `[H, W, 3]`, as the mean of `samples` x `samples` rays per pixel."""
    fine = view.supersampled(samples)
    hits = rasterize(fine, scene.world)
    w, grounded = add_ground(fine, hits, scene.ground, scene.backdrop)
    color = _shade(fine, scene, light, hits, w, grounded)
    shape = (view.height, samples, view.width, samples, 3)
    return np.asarray(np.minimum(color, 1.6).reshape(shape).mean(axis=(1, 3)), np.float32)


def _shade(
    view: CameraView, scene: Scene, light: Light, hits: Hits, w: Array, grounded: npt.NDArray[np.bool_]
) -> Array:
    directions = view.directions().reshape(3, -1)
    length = np.linalg.norm(directions, axis=0)
    unit = directions / length
    color = np.empty((w.size, 3), np.float32)
    w, grounded = w.ravel(), grounded.ravel()
    open_air = w <= 0
    color[open_air] = sky(unit[:, open_air])
    far = grounded & (w < 1 / 250)
    color[far] = _woods(view, directions[:, far])
    at = np.flatnonzero(~open_air & ~far)
    depth = 1 / w[at]
    points = np.asarray(view.origin.astype(np.float32)[:, None] + directions[:, at] * depth, np.float32)
    ray = unit[:, at]
    albedo, gloss = np.empty((at.size, 3), np.float32), np.zeros(at.size, np.float32)
    normals = np.zeros((3, at.size), np.float32)
    solid = np.where(grounded[at], NOTHING, hits.solid.ravel()[at])
    on = solid != NOTHING
    normals[:, on] = normals_of(scene.world, solid[on], hits.face.ravel()[at[on]], points[:, on])
    normals[:, ~on] = _slopes(scene.ground, points[:, ~on])
    facing = np.maximum(-(normals * ray).sum(axis=0), 0.05)
    footprint = np.asarray(np.linalg.norm(view.rays[:, 0]) * depth / np.sqrt(facing), np.float32)
    albedo[~on] = ground_colors(scene, points[:, ~on], footprint[~on])
    tables = SurfaceTables(scene.world)
    paints = np.where(on, tables.paint[solid], -1)
    for paint in Paint:
        group = np.flatnonzero(paints == paint)
        if group.size:
            surface = tables.surface(solid[group], points[:, group], normals[:, group], footprint[group])
            albedo[group], gloss[group] = PAINTERS[paint](surface)
    bent = normals.copy()
    _bend_leaves(points, footprint, paints == Paint.FOLIAGE, bent)
    lit = np.maximum(SUN_DIRECTION.astype(np.float32) @ bent, 0) * light.sun(points, normals)
    uncovered = light.open_sky(points, normals)
    up = (0.5 + 0.5 * bent[2])[:, None]
    out = albedo * (lit[:, None] * SUN + uncovered[:, None] * (up * SKY + (1 - up) * BOUNCE))
    shiny = np.flatnonzero(gloss > 0.01)
    n, r, c = normals[:, shiny], ray[:, shiny], facing[shiny]
    mirror = r + 2 * c * n
    share = (gloss[shiny] * (0.2 + 0.8 * (1 - c) ** 3) * uncovered[shiny])[:, None]
    flash = 3 * gloss[shiny] * np.clip(SUN_DIRECTION.astype(np.float32) @ mirror, 0, 1) ** 300 * (lit[shiny] > 0)
    out[shiny] = (1 - share) * out[shiny] + share * _surroundings(mirror) + flash[:, None]
    haze = (1 - np.exp(-depth * length[at] / HAZE_LENGTH))[:, None]
    color[at] = out + haze * (HAZE - out)
    return color


def _slopes(ground: Ground, points: Array) -> Array:
    """Return the upward unit normals of the ground, `[3, N]`."""
    x, y = points[0], points[1]
    h = ground.height(x, y)
    n = np.stack([h - ground.height(x + 1, y), h - ground.height(x, y + 1), np.ones_like(h)])
    return np.asarray(n / np.linalg.norm(n, axis=0), np.float32)


def _bend_leaves(points: Array, footprint: Array, leafy: npt.NDArray[np.bool_], normals: Array) -> None:
    """Turn the normals of leaves around the outline of their crown, in place: leaves face in all directions there."""
    at = np.flatnonzero(leafy)
    u, v = points[0, at] + 0.61 * points[2, at], points[1, at] - 0.53 * points[2, at]
    tilt = np.stack([smooth_noise(u + k, v - k, 0.02, footprint[at]) for k in (0.3, 0.7, 1.1)])
    bent = normals[:, at] + 0.45 * tilt + np.array([[0], [0], [0.3]], np.float32)
    normals[:, at] = bent / np.maximum(np.linalg.norm(bent, axis=0), 1e-3)


def _woods(view: CameraView, directions: Array) -> Array:
    bearing = np.arctan2(directions[1], directions[0]) * np.float32(BACKDROP_M)
    height = directions[2] * np.float32(BACKDROP_M)
    footprint = np.full(bearing.size, np.linalg.norm(view.rays[:, 0]) * BACKDROP_M, np.float32)
    crowns = smooth_noise(bearing, height, 0.6, footprint) + 0.8 * smooth_noise(bearing, height, 2.0, footprint)
    color = _WOODS * np.clip(1 + 0.3 * crowns, 0.4, 2)[:, None]
    return np.asarray(color + (1 - np.exp(-BACKDROP_M / HAZE_LENGTH)) * (HAZE - color), np.float32)


def sky(directions: Array) -> Array:
    """Return the radiance of the sky, `[N, 3]`, in unit directions `[3, N]`."""
    z = np.maximum(directions[2], 0.0)
    blue = np.array([0.16, 0.36, 0.8], np.float32)
    color = HAZE + (blue - HAZE) * np.clip(1.25 * z, 0, 1)[:, None] ** 0.55
    reach = 1 / (z + 0.1)
    u, v = directions[0] * reach, directions[1] * reach
    flat = np.full(z.size, 0.01, np.float32)
    cloud = smooth_noise(u, v, 0.06, 4 * flat) + 0.3 * smooth_noise(u, v, 0.02, flat)
    cover = np.clip(0.5 * cloud - 0.1, 0, 0.8) * np.clip(z / 0.12, 0, 1)
    color += cover[:, None] * (np.array([1.12, 1.1, 1.08], np.float32) - color)
    glow = np.clip(SUN_DIRECTION.astype(np.float32) @ directions, 0, 1) ** 24
    return np.asarray(color + 0.5 * glow[:, None], np.float32)


def _surroundings(directions: Array) -> Array:
    """Return the colours that a mirror reflects, `[N, 3]`: sky, a dark band of houses at the horizon, ground."""
    houses, ground = np.array([0.2, 0.17, 0.14], np.float32), np.array([0.22, 0.21, 0.2], np.float32)
    rise = np.clip((directions[2] - 0.22) / 0.12, 0, 1)[:, None]
    below = np.clip((directions[2] + 0.03) / 0.06, 0, 1)[:, None]
    return np.asarray(rise * sky(directions) + (1 - rise) * (below * houses + (1 - below) * ground), np.float32)


def develop(linear: Array, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Develop the image of a camera, `[H, W, 3]` RGB: exposure, vignetting, a filmic tone curve, noise."""
    height, width = linear.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    exposed = EXPOSURE * linear * (1 - 0.1 * (0.8 * x * x + 0.2 * y * y))[..., None]
    curve = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    noisy = 255 * np.clip(curve, 0, 1) ** (1 / 2.2) + rng.normal(0, 1.1, linear.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
