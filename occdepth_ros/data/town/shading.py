"""From hits to colours: patterns, sun with shadows, sky, haze, and what a camera makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.town.layout import Street
from occdepth_ros.data.town.raster import NOTHING, Array, Eye, Hits, SunMap
from occdepth_ros.data.town.solids import LABEL, Paint
from occdepth_ros.data.town.texture import noise, scatter, softened

_SUN = np.array([2.5, 2.25, 1.85], np.float32)
_SKY = np.array([0.42, 0.47, 0.56], np.float32)
_HAZE = np.array([0.78, 0.87, 0.98], np.float32)
_HORIZON = np.array([0.8, 0.88, 0.98], np.float32)
_ZENITH = np.array([0.4, 0.58, 0.9], np.float32)
_GROUND = np.full((256, 3), 0.15, np.float32)
for _name, _rgb in {
    "road": (0.15, 0.15, 0.155),
    "parking": (0.2, 0.19, 0.18),
    "sidewalk": (0.33, 0.31, 0.29),
    "other-ground": (0.27, 0.21, 0.15),
    "terrain": (0.11, 0.15, 0.045),
}.items():
    _GROUND[LABEL[_name]] = _rgb


def with_ground(eye: Eye, hits: Hits) -> Array:
    """Inverse depth of the first hit with solids or the plane z = 0, `[H, W]`; 0 in the sky."""
    r = eye.rays[2] / -eye.origin[2]
    w = (r[0] * np.arange(eye.width) + r[2])[None, :] + (r[1] * np.arange(eye.height))[:, None]
    return np.maximum(hits.w, np.where(w > 1 / 400, w, 0).astype(np.float32))


def semantics(eye: Eye, street: Street, hits: Hits, w: Array) -> npt.NDArray[np.uint8]:
    """Class ids of a view, 0 in the sky, `[H, W]`."""
    out = np.append(street.world.labels(), np.uint8(0))[hits.solid]
    grounded = (w > hits.w) & (w > 0)
    p = eye.points(w)
    out[grounded] = street.ground.label(p[0][grounded], p[1][grounded])
    return np.asarray(out, np.uint8)


def shade(eye: Eye, street: Street, hits: Hits, w: Array, sun: SunMap, shadows: Hits) -> Array:
    """Linear colours of a view, `[H, W, 3]`."""
    p = eye.points(w)
    grounded = (w > hits.w) & (w > 0)
    sky = w <= 0
    normal = np.zeros_like(p)
    normal[2] = 1
    footprint = (np.float32(np.linalg.norm(eye.rays[:, 0])) / np.maximum(w, np.float32(2e-3))).astype(np.float32)
    color = np.zeros((eye.height, eye.width, 3), np.float32)
    color[grounded] = _ground(street, p[:, grounded], footprint[grounded])
    solid = np.where(grounded | sky, NOTHING, hits.solid)
    at = np.nonzero(solid != NOTHING)
    rows, columns = at
    color[at], normal[:, rows, columns] = _solids(
        street, hits, solid[at], p[:, rows, columns], hits.face[at], footprint[at]
    )
    toward = sun.sun.astype(np.float32)
    lit = np.maximum(np.tensordot(toward, normal, 1), 0) * sun.lights(shadows, p + np.float32(0.15) * normal)
    up = (0.5 + 0.5 * normal[2])[..., None]
    light = lit[..., None] * _SUN + up * _SKY + np.float32(0.08)
    color *= light
    haze = (1 - np.exp(-1 / (np.maximum(w, np.float32(1e-3)) * 900)))[..., None]
    color += haze * (_HAZE - color)
    rise = np.clip(np.linspace(1.2, -0.4, eye.height, dtype=np.float32), 0, 1)[:, None, None]
    heaven = _HORIZON + rise * (_ZENITH - _HORIZON)
    return np.asarray(np.where(sky[..., None], heaven, color), np.float32)


def _ground(street: Street, p: Array, footprint: Array) -> Array:
    x, y = p[0], p[1]
    label = street.ground.label(x, y)
    color = _GROUND[label]
    grain = 0.16 * noise(x, y, 0.03, footprint) + 0.1 * noise(x, y, 0.3, footprint)
    grass = label == LABEL["terrain"]
    color = color * np.clip(1 + np.where(grass, 2.0, 1.0) * grain, 0.2, 2.5)[:, None]
    paved = label == LABEL["sidewalk"]
    joint = paved & (np.minimum(np.mod(x, 0.5), np.mod(street.ground.across(x, y), 0.5)) < 0.03) & (footprint < 0.06)
    color[joint] *= 0.6
    middle = np.abs(street.ground.across(x, y)) < 0.07 + 0.4 * footprint
    line = (label == LABEL["road"]) & middle & (np.mod(x, 6.0) < 3.0)
    color[line] = 0.6
    return np.asarray(color, np.float32)


def _solids(
    street: Street, hits: Hits, solid: npt.NDArray[np.int32], p: Array, face: npt.NDArray[np.uint8], footprint: Array
) -> tuple[Array, Array]:
    world = street.world
    count = len(world.blocks)
    color, paint = world.colors()[solid], world.paints()[solid]
    normal = np.empty_like(p)
    flat = solid < count
    most = max((len(b.planes) for b in world.blocks), default=1)
    table = np.zeros((max(count, 1), most, 3), np.float32)
    for i, block in enumerate(world.blocks):
        table[i, : len(block.planes)] = block.planes[:, :3]
    normal[:, flat] = table[solid[flat], face[flat]].T
    b = solid[~flat] - count
    spheres, centers = world.spheres.astype(np.float32), world.centers.astype(np.float32)
    local = np.einsum("nij,jn->in", spheres[b], p[:, ~flat] - centers[b].T)
    n = np.einsum("nij,in->jn", spheres[b], local)
    normal[:, ~flat] = n / np.linalg.norm(n, axis=0)
    along = p[0] * -normal[1] + p[1] * normal[0]
    level = np.abs(normal[2]) > 0.7
    u, v = np.where(level, p[0], along), np.where(level, p[1], p[2])
    grain = 0.1 * noise(u + solid, v, 0.03, footprint) + 0.07 * noise(u, v + solid, 0.25, footprint)
    leafy = paint == Paint.FOLIAGE
    shiny = (paint == Paint.GLOSS) | (paint == Paint.GLASSHOUSE)
    color = color * np.clip(1 + grain * np.where(leafy, 4.0, np.where(shiny, 0.3, 1.0)), 0.15, 3)[:, None]
    front = (paint == Paint.FACADE) & ~level
    cell, row = np.floor(u / 2.2), np.floor((v - 0.4) / 2.9)
    across, height = np.mod(u, 2.2), np.mod(v - 0.4, 2.9)
    pane = front & (across > 0.6) & (across < 1.6) & (height > 0.8) & (height < 2.2) & (v > 0.4)
    frame = front & (across > 0.48) & (across < 1.72) & (height > 0.68) & (height < 2.32) & (v > 0.4)
    color[frame] = 0.55
    color[pane] = (0.04 + 0.2 * scatter(cell[pane], row[pane], solid[pane]) ** 2)[:, None]
    window = (paint == Paint.GLASSHOUSE) & (normal[2] < 0.8)
    color[window] = 0.025
    color[shiny] += (0.14 * (1 - np.abs(normal[2])) ** 2)[shiny, None]
    return np.asarray(color, np.float32), normal


def develop(linear: Array, exposure: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """What a camera delivers: exposure, a film curve, noise; `[H, W, 3]` RGB."""
    x = np.maximum(softened(linear), 0) * np.float32(exposure)
    encoded = np.sqrt(np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1))
    noisy = 255 * encoded + 1.3 * rng.standard_normal(encoded.shape, np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
