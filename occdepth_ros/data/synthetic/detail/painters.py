"""Detailed colours of surfaces for the sample drive: cars, signs, leaves, walls.

A painter returns linear colours `[N, 3]` and gloss `[N]` of the N points of a `Surface`.

Training scenes use the simpler patterns of `shading`, which take a tenth of the time, on the same solids.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from occdepth_ros.data.synthetic.detail.facades import house_front, roof
from occdepth_ros.data.synthetic.detail.surfaces import (
    BLACK,
    GLASS,
    LACQUER,
    Array,
    Surface,
    blend,
    face_coordinates,
    grained,
    sign_kind,
    stripe,
)
from occdepth_ros.data.synthetic.rendering.texture import scatter, smooth_noise
from occdepth_ros.data.synthetic.scene.solids import LABEL, Paint
from occdepth_ros.data.synthetic.scene.things import DARK, SKIN


def uniform(s: Surface) -> tuple[Array, Array]:
    """Paint metal, cloth, wood, rubber with hubs, or skin with hair."""
    u, v = face_coordinates(s)
    color = grained(s, u, v, 0.05, 0.05)
    gloss = np.where(s.label == LABEL["pole"], 0.1, 0.0).astype(np.float32)
    round_ = -s.lower[0] == s.upper[0]
    wheel = round_ & (s.label == LABEL["car"]) & np.isclose(s.color[:, 0], DARK[0])
    radius = np.hypot(s.local[0], s.local[2]) / np.maximum(s.upper[0], 0.01)
    spokes = np.cos(5 * np.arctan2(s.local[2], s.local[0])) > -0.35
    hub = wheel & (radius < 0.62)
    blend(color, hub, (0.06, 0.06, 0.06))
    blend(color, hub & (spokes | (radius < 0.2) | (radius > 0.54)), (0.42, 0.43, 0.45))
    head = np.isclose(s.color, SKIN).all(axis=1)
    blend(color, head & (s.local[2] > 0.02 - 0.5 * s.local[0]), (0.05, 0.035, 0.025))
    return color, gloss


def car_body(s: Surface) -> tuple[Array, Array]:
    """Paint lacquer with seams, handles, skirts and wheel arches; lamps and other small glossy parts stay uniform."""
    x, y, z = s.local
    color = s.color.copy()
    gloss = np.full(x.size, LACQUER, np.float32)
    length = s.upper[0] - s.lower[0]
    body = (s.label == LABEL["car"]) & (length > 3)
    side = body & (np.abs(s.normal[1]) > 0.7)
    arch = side & (np.hypot(np.abs(x) - 0.31 * length, z - 0.31) < 0.38)
    skirt = body & (z < 0.33)
    seam = side & (z > 0.36) & (np.min([np.abs(x - k * length) for k in (0.18, -0.06, -0.27)], axis=0) < 0.011)
    handle = side & (np.abs(z - s.upper[2] + 0.17) < 0.018)
    handle &= np.min([np.abs(x - k * length) for k in (-0.03, -0.24)], axis=0) < 0.08
    grille = body & (s.normal[0] > 0.5) & (np.abs(y) < 0.42) & (z > 0.55) & (z < 0.68)
    bumper = body & (np.abs(s.normal[0]) > 0.5) & (z < 0.47)
    blend(color, seam | handle, BLACK)
    blend(color, 0.75 * bumper, (0.03, 0.03, 0.03))
    blend(color, grille | skirt | arch, (0.018, 0.018, 0.018))
    gloss[arch | skirt | grille] = 0.02
    return color, gloss


def car_cabin(s: Surface) -> tuple[Array, Array]:
    """Paint panes between pillars, and the roof."""
    x, y, z = s.local
    rise = z - s.lower[2] - 0.02
    front, back = s.upper[0] - 1.1 * rise, s.lower[0] + s.shape * rise
    side = np.abs(s.normal[1]) > 0.6
    pillar = np.abs(x - (s.lower[0] + s.upper[0]) / 2 + 0.1) < 0.035
    pillar |= np.abs(x - s.lower[0] - 0.3 * (s.upper[0] - s.lower[0])) < 0.03
    pane = (s.normal[2] < 0.85) & (rise > 0.05) & (z < s.upper[2] - 0.08)
    pane &= np.where(side, ~pillar & (x < front - 0.13) & (x > back + 0.13), np.abs(y) < s.upper[1] - 0.1 - 0.35 * rise)
    color = s.color.copy()
    blend(color, pane, (0.016, 0.019, 0.021))
    return color, np.where(pane, GLASS, LACQUER).astype(np.float32)


def sign_face(s: Surface) -> tuple[Array, Array]:
    """Paint a sign by its base colour: red speed limit, blue crossing, yellow priority, grey no entry, boards text."""
    half = np.maximum(s.upper[1], 0.01)
    x, y = -s.local[1] / half, (s.local[2] - (s.lower[2] + s.upper[2]) / 2) / half
    r, face = np.hypot(x, y), s.normal[0] < -0.5
    color = np.full_like(s.color, 0.3)
    red, blue, white = (0.55, 0.015, 0.02), (0.02, 0.09, 0.42), (0.75, 0.75, 0.73)
    board = half > 0.6
    limit, crossing, priority, entry = (~board & (k == sign_kind(s.color)) & face for k in range(4))
    blend(color, limit, red)
    blend(color, limit & (r < 0.76), white)
    three = (np.abs(x + 0.27) < 0.2) & (np.abs(y) < 0.38) & ~((x < -0.2) & (np.abs(np.abs(y) - 0.19) < 0.11))
    three &= (np.abs(y) > 0.1) | (x > -0.36)
    zero = np.abs(np.hypot((x - 0.28) * 1.5, y * 0.9) - 0.27) < 0.08
    blend(color, limit & (three | zero), BLACK)
    blend(color, crossing, blue)
    blend(color, crossing & (y < 0.62) & (y > -0.72) & (np.abs(x) < 0.38 + 0.35 * (0.62 - y)), white)
    walker = (np.abs(x + 0.05) < 0.1) & (np.abs(y + 0.05) < 0.4) | (np.hypot(x, y - 0.42) < 0.1)
    blend(color, crossing & walker, BLACK)
    blend(color, priority, white)
    blend(color, priority & (np.abs(x) + np.abs(y) < 0.76), (0.75, 0.5, 0.02))
    blend(color, entry, red)
    blend(color, entry & (np.abs(y) < 0.16) & (np.abs(x) < 0.7), white)
    blend(color, board & face, s.color)
    lines = (np.abs(np.mod(y * half, 0.3) - 0.15) < 0.06) & (np.abs(x) < 0.8)
    blend(color, board & face & lines & (scatter(np.floor(x * 12), np.floor(y * half / 0.3), s.solid) < 0.7), white)
    return color, np.full(x.size, 0.06, np.float32)


def leaves(s: Surface) -> tuple[Array, Array]:
    """Paint light and dark leaves in clumps."""
    p = s.local + np.float32(0.37) * s.solid
    u, v = face_coordinates(s)
    u, v = u + np.float32(0.37) * s.solid, v + np.float32(0.61) * s.solid
    fine, clump = smooth_noise(u, v, 0.015, s.footprint), smooth_noise(v, u, 0.05, s.footprint)
    leaf = scatter(*(np.floor(p[i] / np.maximum(s.footprint, 0.03)) for i in range(3)))
    warm = np.array([0.14, 0.03, -0.08], np.float32) * clump[:, None]
    light = 1.15 * np.exp(0.26 * fine + 0.2 * clump) * (0.65 + 0.7 * leaf)
    return np.asarray(np.clip(s.color * (1 + warm) * light[:, None], 0.004, 0.8), np.float32), np.full(
        leaf.size, 0.02, np.float32
    )


def boards(s: Surface) -> tuple[Array, Array]:
    """Paint the boards of a fence, each with its own tint."""
    color = grained(s, 6 * s.local[0], s.local[2], 0.15, 0.08)
    return color * (0.8 + 0.4 * scatter(np.floor(s.local[0] / 0.16), s.solid))[:, None], np.zeros(
        s.solid.size, np.float32
    )


def stones(s: Surface) -> tuple[Array, Array]:
    """Paint courses of 22 cm of squared stones."""
    u, v = face_coordinates(s)
    row = np.floor(v / 0.22)
    along = u + 0.21 * np.mod(row, 2)
    color = grained(s, u, v, 0.1, 0.1) * (0.8 + 0.4 * scatter(row, np.floor(along / 0.42), s.solid))[:, None]
    edge = np.minimum(np.abs(np.mod(v + 0.11, 0.22) - 0.11), np.abs(np.mod(along + 0.21, 0.42) - 0.21))
    color *= 1 - 0.4 * stripe(edge, 0.012, s.footprint)[:, None]
    return color, np.zeros(s.solid.size, np.float32)


PAINTERS: dict[Paint, Callable[[Surface], tuple[Array, Array]]] = {
    Paint.UNIFORM: uniform,
    Paint.FACADE: house_front,
    Paint.GLASSHOUSE: car_cabin,
    Paint.FOLIAGE: leaves,
    Paint.SLATS: boards,
    Paint.SIGN: sign_face,
    Paint.GLOSS: car_body,
    Paint.TILES: roof,
    Paint.STONE: stones,
    Paint.MESH: uniform,
}
"""Albedo `[N, 3]` and gloss `[N]` of surfaces, by paint."""
