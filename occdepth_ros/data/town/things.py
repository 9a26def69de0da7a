"""Things that stand in a street: x forward, z up from the ground."""

from __future__ import annotations

import numpy as np

from occdepth_ros.data.town.solids import Color, Paint, Part, ball, box, placed, post

DARK: Color = (0.02, 0.02, 0.022)
GLASS: Color = (0.03, 0.035, 0.04)
STEEL: Color = (0.33, 0.34, 0.35)


def car(color: Color, length: float, name: str = "car") -> list[Part]:
    """A car of 1.8 m width."""
    half = length / 2
    body = box(
        name,
        (-half, -0.9, 0.22),
        (half, 0.9, 0.95),
        color,
        Paint.GLOSS,
        [((1, 0, 1.6), (half - 0.1, 0, 0.8)), ((-1, 0, 1), (-half, 0, 0.8))],
    )
    cabin = box(
        name,
        (-half + 0.1, -0.8, 0.93),
        (0.3 * half, 0.8, 1.5),
        color,
        Paint.GLASSHOUSE,
        [
            ((1, 0, 1), (0.3 * half, 0, 1)),
            ((-1, 0, 0.8), (-half + 0.15, 0, 1)),
            ((0, 1, 0.4), (0, 0.8, 1)),
            ((0, -1, 0.4), (0, -0.8, 1)),
        ],
    )
    wheels = [
        ball(name, (x, y, 0.32), (0.32, 0.12, 0.32), DARK) for x in (-0.3 * length, 0.3 * length) for y in (-0.82, 0.82)
    ]
    return [body, cabin, *wheels]


def lorry(name: str, color: Color, length: float, height: float) -> list[Part]:
    """A truck with a box, or a bus where the name is another vehicle's."""
    half = length / 2
    load = half - 2.0 if name == "truck" else half
    parts: list[Part] = [box(name, (-half, -1.2, 0.6), (load, 1.2, height), color, Paint.PLAIN)]
    if name == "truck":
        parts.append(box(name, (load + 0.15, -1.1, 0.4), (half, 1.1, 2.5), color, Paint.GLOSS))
        parts.append(box(name, (half - 0.3, -1.0, 1.5), (half + 0.02, 1.0, 2.2), GLASS, Paint.GLOSS))
    else:
        parts.append(box(name, (-half + 0.2, -1.22, 1.4), (half + 0.02, 1.22, 2.3), GLASS, Paint.GLOSS))
    for x in (-half + 1.2, half - 1.2):
        parts += [ball(name, (x, y, 0.45), (0.45, 0.15, 0.45), DARK) for y in (-1.1, 1.1)]
    return parts


def person(top: Color, legs: Color, name: str = "person", lift: float = 0.0) -> list[Part]:
    """A standing, walking or riding person."""
    skin: Color = (0.4, 0.26, 0.19)
    return [
        ball(name, (0.12, 0.1, 0.42 + lift), (0.1, 0.09, 0.45), legs),
        ball(name, (-0.12, -0.1, 0.42 + lift), (0.1, 0.09, 0.45), legs),
        ball(name, (0, 0, 1.12 + lift), (0.16, 0.24, 0.38), top),
        ball(name, (0, 0, 1.62 + lift), (0.11, 0.1, 0.13), skin),
    ]


def two_wheeler(name: str, color: Color, rider: str | None) -> list[Part]:
    """A bicycle or motorcycle, with the class of its rider where one sits on it."""
    heavy = name == "motorcycle"
    label = rider or name
    wide = 0.09 if heavy else 0.03
    parts: list[Part] = [ball(label, (x, 0, 0.34), (0.34, wide, 0.34), DARK) for x in (-0.55, 0.55)]
    parts.append(box(label, (-0.55, -1.5 * wide, 0.45), (0.5, 1.5 * wide, 0.85 if heavy else 0.6), color, Paint.GLOSS))
    parts.append(box(label, (0.35, -0.3, 0.95), (0.42, 0.3, 1.0), DARK))
    return parts + (person(color, DARK, rider, 0.25) if rider else [])


def tree(rng: np.random.Generator, height: float, color: Color) -> list[Part]:
    """A trunk and a crown of leafy lumps."""
    parts: list[Part] = [post("trunk", 0.02 * height + 0.05, 0.5 * height, (0.09, 0.07, 0.05))]
    spread = height * rng.uniform(0.22, 0.3)
    for _ in range(26):
        d = rng.normal(size=3)
        d *= rng.uniform(0.3, 1.0) ** 0.5 / np.linalg.norm(d)
        size = spread * rng.uniform(0.3, 0.45)
        at = (d[0] * 0.75 * spread, d[1] * 0.75 * spread, 0.67 * height + d[2] * 0.24 * height)
        shade = rng.uniform(0.75, 1.2)
        tint = (color[0] * shade, color[1] * shade, color[2] * shade)
        parts.append(ball("vegetation", at, (size, size, 0.8 * size), tint, Paint.FOLIAGE))
    return parts


def bushes(rng: np.random.Generator, length: float, height: float, color: Color) -> list[Part]:
    """A row of shrubs along x, centred."""
    parts: list[Part] = []
    for x in np.arange(-length / 2, length / 2, 0.7):
        shade = rng.uniform(0.75, 1.2)
        radii = (0.6, 0.5, height * rng.uniform(0.5, 0.6))
        tint = (color[0] * shade, color[1] * shade, color[2] * shade)
        parts.append(ball("vegetation", (float(x), rng.uniform(-0.15, 0.15), height / 2), radii, tint, Paint.FOLIAGE))
    return parts


def house(width: float, depth: float, height: float, wall: Color, roof: Color) -> list[Part]:
    """A house with a saddle roof; its front looks along -y and stands at y = 0."""
    eave = height + 0.32 * depth
    slopes = [((0, -0.64, 1), (0, 0, height)), ((0, 0.64, 1), (0, depth, height))]
    return [
        box("building", (-width / 2, 0, 0), (width / 2, depth, height), wall, Paint.FACADE),
        box("building", (-width / 2, -0.3, height - 0.2), (width / 2, depth + 0.3, eave), roof, cuts=slopes),
    ]


def fence(length: float, color: Color) -> list[Part]:
    """A board fence along x, centred."""
    half = length / 2
    rail = box("fence", (-half, 0.03, 0.7), (half, 0.08, 0.82), color)
    return [box("fence", (-half, -0.02, 0.05), (half, 0.02, 1.15), color, Paint.SLATS), rail]


def lamp() -> list[Part]:
    """A street lamp whose arm reaches along +x."""
    return [post("pole", 0.08, 7.0, STEEL), box("pole", (0, -0.05, 6.9), (1.6, 0.05, 7.0), STEEL)]


def sign(face: Color) -> list[Part]:
    """A traffic sign that looks along -x."""
    plate = box("traffic-sign", (-0.06, -0.35, 1.9), (-0.03, 0.35, 2.6), face, Paint.SIGN)
    return [*placed([post("pole", 0.04, 2.6, STEEL)], 0.0, (0.0, 0.0, 0.0)), plate]
