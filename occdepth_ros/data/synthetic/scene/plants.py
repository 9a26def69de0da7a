"""Trees, hedges, shrubs and grass: trunks, and ellipsoids of leaves with gaps and ragged outlines."""

from __future__ import annotations

import numpy as np

from occdepth_ros.data.synthetic.scene.solids import Color, Paint, Part, ball, post

BARK: Color = (0.07, 0.062, 0.055)


def green(rng: np.random.Generator) -> Color:
    """Draw the colour of leaves: dark green, rarely yellow or red."""
    light = rng.uniform(0.04, 0.1)
    autumn = max(0.0, rng.normal(-0.2, 0.6)) if rng.random() < 0.35 else 0.0
    red, blue = rng.uniform(0.55, 0.85) + 0.9 * min(autumn, 1.0), rng.uniform(0.22, 0.45)
    return light * red, light * (1.0 - 0.2 * min(autumn, 1.0)), light * blue


def _lump(rng: np.random.Generator, at: tuple[float, float, float], size: float, flat: float, color: Color) -> Part:
    shade = rng.uniform(0.65, 1.35)
    tint = (color[0] * shade, color[1] * shade, color[2] * shade)
    return ball("vegetation", at, (size, size, size * flat), tint, Paint.FOLIAGE)


def tree(rng: np.random.Generator, height: float, low: float, lumps: int = 22) -> list[Part]:
    """Build a broadleaf tree; `low` is the height at which the crown begins, as a fraction of the height."""
    color = green(rng)
    radius = 0.012 * height + rng.uniform(0.03, 0.09)
    parts: list[Part] = [post("trunk", radius, (0.7 * low + 0.3) * height + 0.3, BARK, (0.0, 0.0, -0.3))]
    spread = height * rng.uniform(0.26, 0.42)
    middle, tall = (1 + low) / 2 * height, (1 - low) / 2 * height
    for _ in range(lumps):
        d = rng.normal(size=3)
        d *= rng.uniform(0.2, 1.0) ** 0.4 / np.linalg.norm(d)
        size = spread * rng.uniform(0.34, 0.58)
        # a crown is widest below its middle
        wide = spread * (1.0 - 0.3 * d[2]) * 0.8
        at = (d[0] * wide, d[1] * wide, max(middle + d[2] * (tall - 0.6 * size), 0.5 * size))
        parts.append(_lump(rng, at, size, 0.8, color))
    if low > 0.3:
        for _ in range(int(rng.integers(1, 4))):
            yaw, z = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.1) * low * height
            reach = spread * 0.4
            parts.append(ball("trunk", (reach * np.cos(yaw) / 2, reach * np.sin(yaw) / 2, z), (0.08, 0.08, 0.7), BARK))
    return parts


def conifer(rng: np.random.Generator, height: float) -> list[Part]:
    """Build a spruce with branches down to the ground."""
    color = green(rng)
    dark = (0.6 * color[1], 0.85 * color[1], 0.5 * color[1])
    parts: list[Part] = [post("trunk", 0.12, 0.5 * height, BARK, (0.0, 0.0, -0.3))]
    levels = int(rng.integers(6, 10))
    for i in range(levels):
        share = i / (levels - 1)
        size = height * (0.19 * (1 - share) + 0.03)
        for _ in range(3 if share < 0.7 else 1):
            x, y = rng.normal(0, 0.3 * size, 2)
            parts.append(_lump(rng, (x, y, height * (0.08 + 0.9 * share)), size, 0.75, dark))
    return parts


def shrub(rng: np.random.Generator, height: float) -> list[Part]:
    """Build a bush on the ground."""
    color = green(rng)
    parts: list[Part] = []
    for _ in range(int(rng.integers(4, 9))):
        size = height * rng.uniform(0.28, 0.5)
        x, y = rng.normal(0, 0.35 * height, 2)
        parts.append(_lump(rng, (x, y, rng.uniform(0.1, 0.75) * height), size, rng.uniform(0.7, 1.1), color))
    return parts


def hedge(rng: np.random.Generator, length: float, height: float) -> list[Part]:
    """Build a hedge along x, centred: clipped or grown out."""
    color, ragged = green(rng), rng.uniform(0.0, 0.25)
    step = max(0.45, 0.5 * height)
    parts: list[Part] = []
    for x in np.arange(-length / 2 + step / 2, length / 2, step):
        for z in np.arange(0.2 * height, height, max(0.55, 0.45 * height)):
            at = (float(x), float(rng.normal(0, ragged * 0.6)), float(z))
            size = step * rng.uniform(0.75, 0.75 + ragged * 2)
            parts.append(_lump(rng, at, size, 1.0, color))
    return parts


def tufts(rng: np.random.Generator, reach: float) -> list[Part]:
    """Build high grass and weeds."""
    light = rng.uniform(0.07, 0.14)
    color = (light * rng.uniform(0.8, 1.2), light, light * 0.4)
    parts: list[Part] = []
    for _ in range(int(rng.integers(3, 7))):
        x, y = rng.uniform(-reach, reach, 2)
        size = rng.uniform(0.2, 0.45)
        parts.append(_lump(rng, (float(x), float(y), 0.1), size, rng.uniform(0.6, 1.3), color))
    return parts
