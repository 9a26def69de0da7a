"""Colours of hits for training scenes: patterns, sun with shadows, sky and haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.synthetic.rendering.camera_view import Array, CameraView
from occdepth_ros.data.synthetic.rendering.raster import NOTHING, Hits
from occdepth_ros.data.synthetic.rendering.relief import BACKDROP_M
from occdepth_ros.data.synthetic.rendering.shadow_map import ShadowMap
from occdepth_ros.data.synthetic.rendering.texture import noise, scatter
from occdepth_ros.data.synthetic.scene.layout import Scene
from occdepth_ros.data.synthetic.scene.solids import LABEL, Paint, World

_HAZE = np.array([0.5, 0.58, 0.68], np.float32)
_WOODS = np.array([0.035, 0.05, 0.022], np.float32)
_NAMES = ("road", "parking", "sidewalk", "other-ground", "terrain")


@dataclass(frozen=True)
class Weather:
    """Light and surfaces of one scene.

    Args:
        sun, sky: colours of the light from the sun and from the sky, `[3]`.
        horizon, zenith: colours of the sky, `[3]`.
        clouds: cloud cover, 0..1.
        haze: distance at which the haze reaches 63 %, metres.
        ground: colour by class, `[256, 3]`.
        worn: amount of cracks and patches on the carriageway, 0..1.
        offset: offset of all patterns on the ground, metres.
    """

    sun: Array
    sky: Array
    horizon: Array
    zenith: Array
    clouds: float
    haze: float
    ground: Array
    worn: float
    offset: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Weather:
        """Draw random weather, mostly clear as in KITTI."""
        ground = np.full((256, 3), 0.1, np.float32)
        warm = np.array([1.04, 1.0, 0.95])
        for name, light in zip(
            _NAMES, rng.uniform((0.07, 0.08, 0.13, 0.12, 0.07), (0.2, 0.24, 0.36, 0.24, 0.14)), strict=True
        ):
            ground[LABEL[name]] = light * warm ** rng.uniform(-0.5, 1.5)
        dry = rng.random() ** 2
        ground[LABEL["terrain"]] *= np.array([0.8 + 0.5 * dry, 1.0 - 0.1 * dry, 0.38 + 0.15 * dry])
        overcast = rng.random() < 0.15
        strength, ambient = (0.5, 1.0) if overcast else (rng.uniform(1.9, 3.0), rng.uniform(0.16, 0.5))
        blown = rng.random() < 0.4
        brightness = rng.uniform(1.4, 3.0) if blown or overcast else rng.uniform(0.6, 1.1)
        tint = np.array([0.22, 0.46, 1.0]) if not (blown or overcast) else np.array([0.75, 0.88, 1.0])
        tint = tint ** rng.uniform(0.7, 1.2)
        return cls(
            sun=np.asarray(strength * np.array([1.0, 0.92, 0.8]) ** rng.uniform(0.2, 1.5), np.float32),
            sky=np.asarray(ambient * np.array([0.85, 0.95, 1.15]), np.float32),
            horizon=np.asarray(brightness * tint ** rng.uniform(0.15, 0.5), np.float32),
            zenith=np.asarray(brightness * tint * rng.uniform(0.5, 0.9), np.float32),
            clouds=float(np.clip(rng.normal(0.0, 0.3), 0, 1)),
            haze=float(rng.uniform(500, 2500)),
            ground=ground,
            worn=float(rng.random()),
            offset=float(rng.uniform(0, 900)),
        )


def semantics(
    view: CameraView, scene: Scene, hits: Hits, w: Array, grounded: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Return the class ids of a view, 0 in the sky, `[H, W]`; the backdrop counts as vegetation."""
    out = np.append(scene.world.labels(), np.uint8(0))[hits.solid]
    p = view.points(w)
    out[grounded] = scene.ground.label(p[0][grounded], p[1][grounded])
    out[grounded & (w < np.float32(1 / 250))] = LABEL["vegetation"]
    return np.asarray(out, np.uint8)


def shade(
    view: CameraView,
    scene: Scene,
    weather: Weather,
    hits: Hits,
    w: Array,
    grounded: npt.NDArray[np.bool_],
    shadow_map: ShadowMap,
    shadows: Hits,
) -> Array:
    """Compute the linear colours of a view, `[H, W, 3]`."""
    p = view.points(w)
    sky = w <= 0
    normal = np.zeros_like(p)
    normal[2] = 1
    footprint = (np.float32(np.linalg.norm(view.rays[:, 0])) / np.maximum(w, np.float32(2e-3))).astype(np.float32)
    color = np.zeros((view.height, view.width, 3), np.float32)
    color[grounded] = _ground(scene, weather, p[:, grounded], footprint[grounded])
    far = grounded & (w < np.float32(1 / 250))
    bearing = np.arctan2(p[1][far], p[0][far]) * np.float32(BACKDROP_M)
    leaves = noise(bearing, p[2][far], 0.25, footprint[far]) + 0.8 * noise(bearing, p[2][far], 1.5, footprint[far])
    color[far] = _WOODS * np.clip(1 + 0.4 * leaves, 0.25, 2)[:, None]
    solid = np.where(grounded | sky, NOTHING, hits.solid)
    at = np.nonzero(solid != NOTHING)
    rows, columns = at
    color[at], normal[:, rows, columns] = _solids(scene, solid[at], p[:, rows, columns], hits.face[at], footprint[at])
    toward = shadow_map.sun.astype(np.float32)
    lit = np.maximum(np.tensordot(toward, normal, 1), 0) * shadow_map.sunlit(shadows.w, p + np.float32(0.15) * normal)
    up = (0.55 + 0.45 * normal[2])[..., None]
    color *= lit[..., None] * weather.sun + up * weather.sky
    haze = (1 - np.exp(-1 / (np.maximum(w, np.float32(1e-3)) * weather.haze)))[..., None]
    color += haze * (_HAZE * weather.horizon.mean() - color)
    color[sky] = _sky(view, weather)[sky]
    return color


def _sky(view: CameraView, weather: Weather) -> Array:
    d = view.directions()
    rise = np.clip(d[2] / np.hypot(d[0], d[1]) * 2.2, 0, 1)[..., None]
    sky = weather.horizon + np.sqrt(rise) * (weather.zenith - weather.horizon)
    if weather.clouds > 0:
        level = np.float32(12) / np.maximum(d[2] / np.hypot(d[0], d[1]) + 0.12, 0.05)
        flat = np.zeros_like(level)
        n = noise(d[0] * level, d[1] * level + weather.offset, 0.5, flat) * 0.5
        cover = np.clip(0.6 * (n + 2.4 * weather.clouds - 1.3), 0, 1)[..., None]
        sky = sky + cover * (weather.horizon * 1.15 - sky)
    return np.asarray(sky, np.float32)


def _ground(scene: Scene, weather: Weather, p: Array, footprint: Array) -> Array:
    x, y = p[0], p[1]
    label = scene.ground.label(x, y)
    across = scene.ground.across(x, y)
    color = weather.ground[label]
    u, v = x + np.float32(weather.offset), y + np.float32(weather.offset)
    fine, middle, broad = (noise(u, v, texel, footprint) for texel in (0.02, 0.11, 0.7))
    grass = (label == LABEL["terrain"]) | (label == LABEL["other-ground"])
    road = label == LABEL["road"]
    grain = np.where(grass, 0.3 * fine + 0.22 * middle + 0.2 * broad, 0.15 * fine + 0.07 * middle + 0.07 * broad)
    color = color * np.clip(1 + grain, 0.25, 2.5)[:, None]
    # dry and bare patches in the grass
    bare = ((label == LABEL["terrain"]) & (broad + 0.5 * middle > 1.1))[:, None]
    color = np.where(bare, color * np.array([1.35, 1.15, 1.0], np.float32), color)
    paved = label == LABEL["sidewalk"]
    joint = paved & (np.minimum(np.mod(x, 0.5), np.mod(across, 0.5)) < 0.03) & (footprint < 0.06)
    color[joint] *= 0.7
    if weather.worn > 0.3:
        crack = road & (np.abs(noise(u + 40, v, 0.09, footprint)) < 0.07 * weather.worn) & (footprint < 0.08)
        color[crack] *= 0.5
        patch = road & (scatter(np.floor(x / 3.1), np.floor(across / 1.7)) < 0.1 * weather.worn)
        color[patch] *= 0.72
    _markings(scene, x, across, label, footprint, color)
    return np.asarray(color, np.float32)


def _markings(
    scene: Scene, x: Array, across: Array, label: npt.NDArray[np.uint8], footprint: Array, color: Array
) -> None:
    """Draw kerbs and lines into `color`."""
    half = np.float32(scene.ground.half)
    wide = np.float32(0.06) + np.float32(0.35) * footprint
    off = np.abs(across)
    road = label == LABEL["road"]
    kerb = (np.abs(off - half - 0.08) < 0.08 + 0.3 * footprint) & ~road & (label != LABEL["terrain"])
    color[kerb] = color[kerb] * 0.5 + 0.12
    color[road & (np.abs(off - half) < 0.12)] *= 0.6
    if not scene.line:
        return
    far = np.ones_like(road)
    for c in scene.ground.crossings:
        far &= np.abs(x - np.float32(c.x)) > c.half + 1
    line = (off < wide) & (far if scene.line == 2 else np.mod(x, 9.0) < 4.0)
    if half > 4.5:
        line |= (np.abs(off - half + 0.4) < wide) & far
    if half > 5.5:
        line |= (np.abs(off - half + 3.7) < wide) & (np.mod(x, 12.0) < 5.0)
    paint = road & line
    color[paint] = 0.25 * color[paint] + 0.42


def normals_of(world: World, solid: npt.NDArray[np.int32], face: npt.NDArray[np.uint8], points: Array) -> Array:
    """Return the outward unit normals `[3, N]` at points `[3, N]` of solids.

    Args:
        world: the solids.
        solid, face: indices of the solid and of the plane of a block, `[N]`.
        points: positions in the world, metres.
    """
    count = len(world.blocks)
    normal = np.empty_like(points)
    flat = solid < count
    most = max((len(b.planes) for b in world.blocks), default=1)
    table = np.zeros((max(count, 1), most, 3), np.float32)
    for i, block in enumerate(world.blocks):
        table[i, : len(block.planes)] = block.planes[:, :3]
    normal[:, flat] = table[solid[flat], face[flat]].T
    b = solid[~flat] - count
    spheres, centers = world.spheres.astype(np.float32), world.centers.astype(np.float32)
    local = np.einsum("nij,jn->in", spheres[b], points[:, ~flat] - centers[b].T)
    n = np.einsum("nij,in->jn", spheres[b], local)
    normal[:, ~flat] = n / np.linalg.norm(n, axis=0)
    return normal


def _solids(
    scene: Scene, solid: npt.NDArray[np.int32], p: Array, face: npt.NDArray[np.uint8], footprint: Array
) -> tuple[Array, Array]:
    world = scene.world
    color, paint = world.colors()[solid], world.paints()[solid]
    normal = normals_of(world, solid, face, p)
    along = p[0] * -normal[1] + p[1] * normal[0]
    level = np.abs(normal[2]) > 0.7
    u, v = np.where(level, p[0], along), np.where(level, p[1], p[2])
    fine, broad = noise(u + solid, v, 0.025, footprint), noise(u, v + solid, 0.2, footprint)
    leafy = paint == Paint.FOLIAGE
    shiny = (paint == Paint.GLOSS) | (paint == Paint.GLASSHOUSE)
    grain = np.where(leafy, 0.5 * fine + 0.4 * broad, np.where(shiny, 0.03 * fine, 0.11 * fine + 0.08 * broad))
    color = color * np.clip(1 + grain, 0.12, 3)[:, None]
    if leafy.any():
        # leaves face all directions: a few are bright, most are dark
        at = np.nonzero(leafy)[0]
        far = np.maximum(footprint[at], np.float32(0.035))
        leaf = scatter(*(np.floor(p[i, at] / far) for i in range(3)))
        color[at] *= (0.3 + 1.9 * leaf**2)[:, None]
        normal[:, at] = 0.6 * normal[:, at] + np.array([[0], [0], [0.35]], np.float32)
    _facades(solid, paint, level, u, v, footprint, color)
    window = (paint == Paint.GLASSHOUSE) & (normal[2] < 0.85)
    color[window] = 0.02
    color[shiny] += (0.1 * (1 - np.abs(normal[2])) ** 2)[shiny, None]
    return np.asarray(color, np.float32), normal


def _facades(
    solid: npt.NDArray[np.int32],
    paint: npt.NDArray[np.int64],
    level: npt.NDArray[np.bool_],
    u: Array,
    v: Array,
    footprint: Array,
    color: Array,
) -> None:
    """Draw windows, tiles, stones and sign faces into `color`."""
    # one storey and window pattern per house
    own = scatter(solid, 5)
    period, storey = 1.8 + 1.8 * own, 2.6 + 0.5 * scatter(solid, 6)
    cell, row = np.floor(u / period), np.floor((v - 0.3) / storey)
    across, height = u - cell * period, v - 0.3 - row * storey
    chance = scatter(cell, row, solid)
    wide, tall = 0.3 + 0.35 * scatter(solid, 7), 1.0 + 0.6 * scatter(solid, 8)
    sill = 1.6 - 0.55 * tall
    center = np.abs(across - period / 2)
    front = (paint == Paint.FACADE) & ~level & (chance > 0.15)
    frame = front & (center < wide + 0.1) & (height > sill - 0.1) & (height < sill + tall + 0.1)
    pane = front & (center < wide) & (height > sill) & (height < sill + tall) & (center > 0.03)
    color[frame] = (0.12 + 0.45 * scatter(solid[frame], 9))[:, None]
    color[pane] = (0.015 + 0.2 * chance[pane] ** 4)[:, None]
    shutter = front & (center > wide) & (center < 2 * wide) & (height > sill) & (height < sill + tall) & (own > 0.75)
    color[shutter] = color[shutter] * 0.3
    tiles = (paint == Paint.TILES) & (np.mod(v * 3.3 + u * 0.02, 1.0) < 0.25) & (footprint < 0.12)
    color[tiles] *= 0.75
    stone = (paint == Paint.STONE) & (footprint < 0.05)
    course = np.floor(v / 0.22)
    joint = (np.mod(v, 0.22) < 0.025) | (np.mod(u + 0.21 * course, 0.42) < 0.025)
    color[stone & joint] *= 0.6
    signs = (paint == Paint.SIGN) & (scatter(np.floor(u / 0.16), np.floor(v / 0.16), solid) < 0.3)
    color[signs] = color[signs] * 0.3 + 0.02
