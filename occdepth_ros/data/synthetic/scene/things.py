"""Vehicles, people, buildings and street furniture: x forward, z up from the ground."""

from __future__ import annotations

import numpy as np

from occdepth_ros.data.synthetic.scene.solids import Color, Paint, Part, Triple, ball, box, post

DARK: Color = (0.015, 0.015, 0.017)
GLASS: Color = (0.03, 0.035, 0.04)
STEEL: Color = (0.25, 0.26, 0.27)
PLATE: Color = (0.55, 0.55, 0.5)
RED: Color = (0.25, 0.012, 0.012)
LAMP: Color = (0.5, 0.5, 0.48)
SKIN: Color = (0.4, 0.26, 0.19)


def car(rng: np.random.Generator, color: Color) -> list[Part]:
    """Build a hatchback, saloon, estate or van."""
    length, width = rng.uniform(3.7, 4.8), rng.uniform(0.84, 0.92)
    half, roof, deck = length / 2, rng.uniform(1.4, 1.52), rng.uniform(0.84, 0.98)
    back, rear_slope = -half + 0.05, rng.uniform(0.25, 0.6)
    name = "car"
    draw = rng.random()
    if draw < 0.25:  # a saloon
        back, rear_slope = -half + rng.uniform(0.5, 0.9), 0.9
    elif draw < 0.37:  # a van
        roof, deck, rear_slope, half = rng.uniform(1.75, 2.0), 1.05, 0.12, half + 0.2
    front = half * rng.uniform(0.32, 0.5)
    body = box(
        name,
        (-half, -width, 0.2),
        (half, width, deck),
        color,
        Paint.GLOSS,
        [
            ((1, 0, 2.2), (half - 0.08, 0, deck - 0.14)),
            ((1, 0, -1.2), (half, 0, 0.4)),
            ((-1, 0, 1.2), (-half, 0, deck - 0.06)),
            ((-1, 0, -1.2), (-half, 0, 0.4)),
            ((0, 1, 1.8), (0, width, deck - 0.04)),
            ((0, -1, 1.8), (0, -width, deck - 0.04)),
        ],
    )
    cabin = box(
        name,
        (back, -width + 0.07, deck - 0.02),
        (front, width - 0.07, roof),
        color,
        Paint.GLASSHOUSE,
        [
            ((1, 0, 1.1), (front, 0, deck)),
            ((-1, 0, rear_slope), (back, 0, deck + 0.05)),
            ((0, 1, 0.35), (0, width - 0.07, deck)),
            ((0, -1, 0.35), (0, -width + 0.07, deck)),
        ],
    )
    parts: list[Part] = [body, cabin]
    for y in (-width + 0.18, width - 0.18):
        parts.append(box(name, (-half - 0.02, y - 0.14, 0.62), (-half + 0.1, y + 0.14, 0.82), RED, Paint.GLOSS))
        parts.append(box(name, (half - 0.25, y - 0.16, 0.55), (half + 0.01, y + 0.16, 0.7), LAMP, Paint.GLOSS))
    parts.append(box(name, (-half - 0.03, -0.26, 0.5), (half + 0.02, 0.26, 0.6), PLATE))
    parts.append(box(name, (-half + 0.2, -width - 0.01, 0.15), (half - 0.2, width + 0.01, 0.3), DARK))
    wheel = rng.uniform(0.29, 0.34)
    parts += [
        ball(name, (x, y, wheel), (wheel, 0.13, wheel), DARK)
        for x in (-0.31 * length, 0.31 * length)
        for y in (-width + 0.07, width - 0.07)
    ]
    return parts


def lorry(name: str, color: Color, length: float, height: float) -> list[Part]:
    """Build a truck with a box body, or a bus if `name` is not "truck"."""
    half = length / 2
    load = half - 2.0 if name == "truck" else half
    parts: list[Part] = [box(name, (-half, -1.2, 0.6), (load, 1.2, height), color, Paint.UNIFORM)]
    if name == "truck":
        parts.append(box(name, (load + 0.15, -1.1, 0.4), (half, 1.1, 2.5), color, Paint.GLOSS))
        parts.append(box(name, (half - 0.3, -1.0, 1.5), (half + 0.02, 1.0, 2.2), GLASS, Paint.GLOSS))
    else:
        parts.append(box(name, (-half + 0.2, -1.22, 1.4), (half + 0.02, 1.22, 2.3), GLASS, Paint.GLOSS))
    parts.append(box(name, (-half - 0.02, -1.1, 0.5), (-half + 0.1, 1.1, 0.75), DARK))
    for x in (-half + 1.2, half - 1.2):
        parts += [ball(name, (x, y, 0.45), (0.45, 0.15, 0.45), DARK) for y in (-1.1, 1.1)]
    return parts


def trailer(color: Color) -> list[Part]:
    """Build a small trailer or machine by the road."""
    return [
        box("other-vehicle", (-1.1, -0.7, 0.45), (1.1, 0.7, 1.2), color),
        box("other-vehicle", (1.1, -0.06, 0.4), (2.1, 0.06, 0.5), DARK),
        *(ball("other-vehicle", (0, y, 0.3), (0.3, 0.1, 0.3), DARK) for y in (-0.75, 0.75)),
    ]


def person(top: Color, legs: Color, name: str = "person", lift: float = 0.0) -> list[Part]:
    """Build a standing, walking or riding person."""
    return [
        ball(name, (0.08, 0.08, 0.44 + lift), (0.11, 0.085, 0.46), legs),
        ball(name, (-0.08, -0.08, 0.44 + lift), (0.11, 0.085, 0.46), legs),
        ball(name, (0, 0, 1.12 + lift), (0.15, 0.2, 0.36), top),
        ball(name, (0, 0, 1.62 + lift), (0.11, 0.1, 0.13), SKIN),
    ]


def two_wheeler(name: str, color: Color, rider: str | None) -> list[Part]:
    """Build a bicycle or motorcycle; with a rider, the whole has the class `rider`."""
    heavy = name == "motorcycle"
    label = rider or name
    wide = 0.09 if heavy else 0.03
    parts: list[Part] = [ball(label, (x, 0, 0.34), (0.34, wide, 0.34), DARK) for x in (-0.55, 0.55)]
    parts.append(box(label, (-0.55, -1.5 * wide, 0.45), (0.5, 1.5 * wide, 0.85 if heavy else 0.6), color, Paint.GLOSS))
    parts.append(box(label, (0.35, -0.3, 0.95), (0.42, 0.3, 1.0), DARK))
    return parts + (person(color, DARK, rider, 0.25) if rider else [])


def house(rng: np.random.Generator, width: float, depth: float, wall: Color, roof: Color) -> list[Part]:
    """Build a house with a saddle roof along x or across; its front faces -y and is at y = 0."""
    height, pitch = rng.uniform(2.8, 9.0), rng.uniform(0.5, 0.95)
    along = rng.random() < 0.65
    if rng.random() < 0.12:
        pitch = 0.03
    span = depth if along else width
    eave = height + pitch * span / 2
    slopes: list[tuple[Triple, Triple]]
    if along:
        slopes = [((0, -pitch, 1), (0, 0, height)), ((0, pitch, 1), (0, depth, height))]
    else:
        slopes = [((-pitch, 0, 1), (-width / 2, 0, height)), ((pitch, 0, 1), (width / 2, 0, height))]
    gable = box("building", (-width / 2, 0, -2), (width / 2, depth, eave - 0.12), wall, Paint.FACADE, slopes)
    over = 0.4
    shell = [(n, (p[0], p[1], p[2] + 0.15)) for n, p in slopes]
    parts: list[Part] = [
        gable,
        box("building", (-width / 2 - over, -over, height - pitch * over), (width / 2 + over, depth + over, eave), roof,
            Paint.TILES, shell),
        box("building", (-width / 2 - 0.02, -0.03, -2), (width / 2 + 0.02, depth, 0.5), (0.16, 0.15, 0.14)),
    ]  # fmt: skip
    if rng.random() < 0.6:
        x = rng.uniform(-width / 3, width / 3)
        parts.append(box("building", (x, depth / 2 - 0.3, eave - 1), (x + 0.6, depth / 2 + 0.3, eave + 0.7), roof))
    if rng.random() < 0.4:
        x = rng.uniform(-width / 3, width / 3)
        parts.append(box("building", (x - 0.9, -1.0, -1), (x + 0.9, 0.1, 2.6), wall, Paint.UNIFORM))
    return parts


def fence(rng: np.random.Generator, length: float, color: Color) -> list[Part]:
    """Build a board fence, a wire fence between posts, or a wall, along x and centred."""
    half, height = length / 2, rng.uniform(0.8, 1.7)
    draw = rng.random()
    if draw < 0.4:
        rail = box("fence", (-half, 0.03, 0.6 * height), (half, 0.08, 0.6 * height + 0.1), color)
        return [box("fence", (-half, -0.02, 0.0), (half, 0.02, height), color, Paint.SLATS), rail]
    if draw < 0.65:
        wire = box("fence", (-half, -0.015, 0.05), (half, 0.015, height), (0.06, 0.09, 0.06), Paint.MESH)
        posts = [box("fence", (x - 0.03, -0.03, 0), (x + 0.03, 0.03, height), STEEL) for x in (-half, 0.0)]
        return [wire, *posts]
    grey = float(0.16 + 0.2 * rng.random())
    return [box("fence", (-half, -0.12, -0.6), (half, 0.12, height), (grey, 0.94 * grey, 0.85 * grey), Paint.STONE)]


def guard_rail(length: float) -> list[Part]:
    """Build a steel rail on posts, along x and centred."""
    half = length / 2
    posts = [box("fence", (x, -0.05, 0), (x + 0.1, 0.05, 0.7), STEEL) for x in np.arange(-half, half - 0.1, 2.0)]
    return [box("fence", (-half, -0.06, 0.42), (half, 0.06, 0.75), (0.34, 0.35, 0.36)), *posts]


def lamp(height: float = 7.0) -> list[Part]:
    """Build a street lamp whose arm reaches along +x."""
    return [
        post("pole", 0.08, height, STEEL, (0.0, 0.0, -0.3)),
        box("pole", (0, -0.05, height - 0.4), (1.6, 0.05, height - 0.3), STEEL),
    ]


def sign(rng: np.random.Generator) -> list[Part]:
    """Build a traffic sign that faces -x."""
    z, half = rng.uniform(1.7, 2.3), rng.uniform(0.28, 0.42)
    face: Color = ((0.6, 0.6, 0.6), (0.03, 0.1, 0.45), (0.5, 0.03, 0.03), (0.55, 0.4, 0.03))[int(rng.integers(4))]
    plate = box("traffic-sign", (-0.07, -half, z), (-0.04, half, z + 2 * half), face, Paint.SIGN)
    return [post("pole", 0.04, z + 2 * half, STEEL, (0.0, 0.0, -0.3)), plate]


def board(rng: np.random.Generator) -> list[Part]:
    """Build a large board on two posts that faces -x."""
    tint = rng.uniform(0.1, 0.6, 3)
    plate = box("traffic-sign", (-0.06, -1.0, 1.2), (0.0, 1.0, 2.6), (tint[0], tint[1], tint[2]), Paint.SIGN)
    return [plate, *(post("pole", 0.05, 2.6, STEEL, (0.05, y, 0.0)) for y in (-0.8, 0.8))]


def marker() -> list[Part]:
    """Build a roadside reflector post."""
    return [
        box("pole", (-0.05, -0.06, 0), (0.05, 0.06, 0.9), (0.6, 0.6, 0.58)),
        box("pole", (-0.06, -0.07, 0.62), (0.06, 0.07, 0.8), DARK),
    ]
