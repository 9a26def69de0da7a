"""What stands where in a random street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occdepth_ros.data.town import things
from occdepth_ros.data.town.ground import Ground
from occdepth_ros.data.town.solids import LABEL, Color, Part, World, placed

BEGIN, END = -6.0, 90.0


@dataclass(frozen=True)
class Street:
    """A random street.

    Args:
        world: its solids.
        ground: what they stand on.
        lane: distance of the driven lane from the street's middle, to the left, metres.
    """

    world: World
    ground: Ground
    lane: float


def _color(rng: np.random.Generator, low: float = 0.02, high: float = 0.5, vivid: float = 0.1) -> Color:
    grey, tint = rng.uniform(low, high), rng.uniform(1 - vivid, 1 + vivid, 3)
    r, g, b = np.clip(grey * tint, 0.01, 0.8)
    return float(r), float(g), float(b)


def make_street(rng: np.random.Generator) -> Street:
    """Draw a street."""
    half = rng.uniform(3.0, 5.5)
    parts: list[Part] = []
    begin = rng.uniform(18, 60)
    crossing = (begin, begin + rng.uniform(6, 9)) if rng.random() < 0.35 else (0.0, 0.0)
    bend = rng.normal(0, 0.0009)
    sides = []
    for _ in range(2):
        parking = rng.uniform(2.2, 2.8) if rng.random() < 0.5 else 0.0
        walk = rng.uniform(1.5, 3.5) if rng.random() < 0.8 else 0.0
        verge = rng.uniform(1.0, 4.0) if rng.random() < 0.6 else 0.0
        verge_label = "other-ground" if rng.random() < 0.15 else "terrain"
        edges = half + np.cumsum([0.0, parking, walk, verge])
        sides.append((edges, ["road", "parking", "sidewalk", verge_label, "terrain"]))
    left, right = sides
    ground = Ground(
        bend,
        tuple(float(v) for v in [*-right[0][::-1], *left[0]]),
        tuple(LABEL[n] for n in [*right[1][:0:-1], "road", *left[1][1:]]),
        crossing,
    )

    def put(some: list[Part], x: float, across: float, yaw: float = 0.0) -> None:
        if not crossing[0] - 1 < x < crossing[1] + 1:
            parts.extend(placed(some, ground.heading(x) + yaw, (x, float(ground.middle(x)) + across, 0.0)))

    for sign, (edges, _) in ((1.0, left), (-1.0, right)):
        _fill_side(rng, sign, edges, put)
    lane = -half / 2
    _traffic(rng, half, lane, put)
    return Street(World.of(parts), ground, lane)


def _fill_side(rng: np.random.Generator, sign: float, edges: np.ndarray, put: object) -> None:
    assert callable(put)
    road, bay, walk, verge = (float(e) for e in edges)
    built = rng.random() ** 2
    x = BEGIN
    while x < END:
        width = rng.uniform(8, 15)
        middle = x + width / 2
        front = verge + rng.uniform(0.5, 2.0) + (rng.uniform(2, 8) if built < 0.5 else 0.0)
        if rng.random() < 0.9 * built:
            some = things.house(
                width - rng.uniform(0, 3),
                rng.uniform(7, 11),
                rng.uniform(3.5, 11),
                _wall(rng),
                _color(rng, 0.06, 0.2),
            )
            put(some, middle, sign * front, 0.0 if sign > 0 else np.pi)
        else:
            for _ in range(int(rng.integers(3, 7))):
                put(
                    things.tree(rng, rng.uniform(5, 12), _green(rng)),
                    x + rng.uniform(0, width),
                    sign * (verge + rng.uniform(2, 12)),
                )
        draw = rng.random()
        if draw < 0.3:
            put(things.fence(width - 1, _color(rng, 0.08, 0.4)), middle, sign * (verge + 0.2))
        elif draw < 0.75:
            put(things.bushes(rng, width - 1, rng.uniform(0.9, 2.2), _green(rng)), middle, sign * (verge + 0.4))
        if verge > walk and rng.random() < 0.5:
            put(things.tree(rng, rng.uniform(5, 9), _green(rng)), middle, sign * (walk + verge) / 2)
        if rng.random() < 0.35:
            put(things.lamp(), middle + 2, sign * (bay + 0.3), -sign * np.pi / 2)
        if rng.random() < 0.3:
            put(things.sign(_color(rng, 0.2, 0.5)), middle - 2, sign * (bay + 0.5), 0.0 if sign < 0 else np.pi)
        if walk > bay and rng.random() < 0.35:
            put(things.person(_color(rng), _color(rng)), x + rng.uniform(0, width), sign * (bay + walk) / 2)
        if rng.random() < 0.15:
            kind = "bicycle" if rng.random() < 0.6 else "motorcycle"
            put(things.two_wheeler(kind, _color(rng), None), x + 1, sign * (bay + 0.6), rng.uniform(0, 6))
        x += width
    if bay > road:
        for place in np.arange(BEGIN, END, 5.8):
            if rng.random() < 0.6:
                put(
                    things.car(_color(rng), rng.uniform(3.9, 4.7)),
                    float(place),
                    sign * (road + bay) / 2,
                    0.0 if sign < 0 else np.pi,
                )


def _wall(rng: np.random.Generator) -> Color:
    """Plaster and brick: from white to ochre and red."""
    light, warm = rng.uniform(0.28, 0.62), rng.uniform(0, 1) ** 1.5
    return light, light * (0.97 - 0.35 * warm), light * (0.9 - 0.55 * warm)


def _green(rng: np.random.Generator) -> Color:
    return rng.uniform(0.05, 0.11), rng.uniform(0.09, 0.15), rng.uniform(0.02, 0.05)


def _traffic(rng: np.random.Generator, half: float, lane: float, put: object) -> None:
    assert callable(put)
    for side, yaw in ((lane, 0.0), (-lane, np.pi)):
        x = rng.uniform(9, 45)
        while x < END:
            kind = rng.choice(
                ["car", "truck", "other-vehicle", "bicyclist", "motorcyclist"], p=[0.84, 0.03, 0.04, 0.06, 0.03]
            )
            if kind == "car":
                some = things.car(_color(rng), rng.uniform(3.9, 4.7))
            elif kind in ("truck", "other-vehicle"):
                some = things.lorry(str(kind), _color(rng, 0.1, 0.5), rng.uniform(7, 10), rng.uniform(2.8, 3.6))
            else:
                some = things.two_wheeler("bicycle" if kind == "bicyclist" else "motorcycle", _color(rng), str(kind))
            put(some, x, side + (0.5 * np.sign(side) * half * 0.4 if "cycl" in kind else 0.0), yaw)
            x += rng.uniform(15, 70)
