"""A random residential street: what stands where."""

from __future__ import annotations

import numpy as np

from occdepth_ros.data.street.materials import Color, Painted, Textured, brick, grass, kerb, paving, plaster
from occdepth_ros.data.street.paint import RoadLines
from occdepth_ros.data.street.parts import LABEL, bush, car, fence, hedge, house, lamp, person, sign, tree
from occdepth_ros.data.street.scene import Body, Material, Scene, Solid
from occdepth_ros.data.street.shapes import Convex

BEGIN, END = -25.0, 104.0
"""The street's extent along x, metres; a cross street closes it."""
ROAD = (-5.6, 3.6)
BAYS = (-5.6, -3.5)
LANE = -1.75
"""Middle of the lane that the camera drives in."""
KERB = 0.13
PAINTS: tuple[Color, ...] = (
    (0.26, 0.27, 0.285),
    (0.02, 0.021, 0.024),
    (0.52, 0.52, 0.5),
    (0.32, 0.02, 0.02),
    (0.025, 0.06, 0.2),
    (0.1, 0.105, 0.11),
    (0.12, 0.2, 0.24),
    (0.36, 0.31, 0.22),
)
WALLS: tuple[Color, ...] = (
    (1.0, 0.98, 0.92),
    (0.95, 0.82, 0.6),
    (0.88, 0.72, 0.6),
    (0.8, 0.84, 0.82),
    (0.93, 0.9, 0.78),
    (0.78, 0.62, 0.5),
)
GREENS: tuple[Color, ...] = ((0.07, 0.11, 0.025), (0.05, 0.09, 0.025), (0.1, 0.115, 0.032))


def make_street(seed: int) -> Scene:
    """Build a street; equal seeds give equal streets."""
    rng = np.random.default_rng(seed)
    still = [
        *_ground(),
        *_right_side(rng),
        *_left_side(rng),
        *_far_end(rng),
        *_parked(rng),
    ]
    for x in (6.0, 33.0, 60.0, 87.0):
        still += Body(lamp(), -np.pi / 2, (x, 4.15, KERB)).at(0)
    for x, y, kind in (
        (11.5, -6.1, "limit"),
        (27.0, -6.1, "crossing"),
        (48.5, -6.1, "no_parking"),
        (19.0, 4.1, "priority"),
    ):
        still += Body(sign(kind), 0.0, (x, y, KERB)).at(0)
    movers = [
        Body(car(PAINTS[3]), np.pi, (44.0, 1.75, 0), (-8.0, 0, 0)),
        Body(car(PAINTS[0], estate=True, length=4.6), 0.0, (17.0, LANE - 0.05, 0), (8.0, 0, 0)),
        Body(person((0.28, 0.03, 0.03), (0.03, 0.035, 0.06)), np.pi, (17.5, 5.1, KERB), (-1.3, 0, 0)),
        Body(person((0.03, 0.07, 0.16), (0.12, 0.1, 0.08)), 0.0, (24.0, 4.7, KERB), (1.3, 0, 0)),
        Body(person((0.3, 0.26, 0.18), (0.02, 0.02, 0.025)), 0.0, (14.0, -6.9, KERB), (1.2, 0, 0)),
    ]
    sun = np.array([-0.42, 0.5, 0.76])
    return Scene(still, movers, (sun / np.linalg.norm(sun)).astype(np.float32))


def _slab(y: tuple[float, float], top: float, material: Material, name: str, x: tuple[float, float]) -> Solid:
    return Solid(Convex.box((x[0], y[0], -3.0), (x[1], y[1], top)), material, LABEL[name], ground=True)


def _ground() -> list[Solid]:
    lines = RoadLines(
        middle=0.0,
        edges=(BAYS[1], ROAD[1] - 0.25),
        bay=BAYS,
        bay_length=6.0,
        zebra=(28.5, 32.0),
        kerbs=(BAYS[1], ROAD[1]),
    )
    road, stone = Painted(lines), Textured(kerb(), stain=0.05)
    walk, lawn = Textured(paving(), stain=0.07), Textured(grass(), stain=0.2, bump=0.35)
    along = (BEGIN, END - 8)
    return [
        _slab((BAYS[1], ROAD[1]), 0.0, road, "road", along),
        _slab(BAYS, 0.0, road, "parking", along),
        _slab((-60.0, 60.0), 0.0, road, "road", (END - 8, END)),
        _slab((ROAD[1], ROAD[1] + 0.2), KERB, stone, "sidewalk", along),
        _slab((ROAD[0] - 0.2, ROAD[0]), KERB, stone, "sidewalk", along),
        _slab((ROAD[1] + 0.2, 6.2), KERB, walk, "sidewalk", along),
        _slab((-8.4, ROAD[0] - 0.2), KERB, walk, "sidewalk", along),
        _slab((6.2, 60.0), KERB + 0.03, lawn, "terrain", along),
        _slab((-60.0, -8.4), KERB + 0.03, lawn, "terrain", along),
        _slab((-60.0, 60.0), KERB, lawn, "terrain", (END, END + 40)),
    ]


def _wall(rng: np.random.Generator) -> Textured:
    if rng.random() < 0.35:
        return Textured(brick(), stain=0.1, tint=(1.0, 1.0, 1.0))
    return Textured(plaster(), stain=0.06, tint=WALLS[rng.integers(len(WALLS))])


def _house(rng: np.random.Generator, width: float, depth: float, storeys: int) -> list[Solid]:
    frame: Color = (0.7, 0.7, 0.68) if rng.random() < 0.75 else (0.12, 0.09, 0.06)
    band: Color = (0.6, 0.57, 0.5) if rng.random() < 0.6 else (0.5, 0.5, 0.5)
    return house(rng, _wall(rng), width=width, depth=depth, storeys=storeys, frame=frame, band=band)


def _tree(rng: np.random.Generator, height: float) -> list[Solid]:
    spread = height * float(rng.uniform(0.24, 0.3))
    return tree(rng, height=height, spread=spread, tint=GREENS[rng.integers(len(GREENS))])


def _right_side(rng: np.random.Generator) -> list[Solid]:
    """A row of houses at the pavement, with one garden between them, and street trees."""
    solids: list[Solid] = []
    x = BEGIN
    while x < END - 14:
        if 33 < x < 44:
            solids += Body(hedge(9.0, 1.5, GREENS[1]), 0.0, (x + 5, -8.9, KERB)).at(0)
            solids += Body(_tree(rng, 8.5), 0.0, (x + 4.5, -12.5, KERB)).at(0)
            solids += Body(_tree(rng, 7.0), 0.0, (x + 8.0, -17.0, KERB)).at(0)
            x += 10.5
            continue
        width = float(rng.uniform(8.0, 11.5))
        storeys = int(rng.integers(2, 4))
        solids += Body(
            _house(rng, width, 9.0, storeys), np.pi, (x + width / 2, -8.5 - float(rng.uniform(0, 0.3)), KERB)
        ).at(0)
        x += width
    for x in (21.0, 51.0, 75.0):
        solids += Body(_tree(rng, float(rng.uniform(6.0, 7.5))), float(rng.uniform(0, 6)), (x, -6.35, KERB)).at(0)
    return solids


def _left_side(rng: np.random.Generator) -> list[Solid]:
    """Gardens behind fences and hedges, with houses further back."""
    solids: list[Solid] = []
    x = BEGIN
    number = 0
    while x < END - 16:
        plot = float(rng.uniform(14.0, 18.0))
        middle = x + plot / 2
        solids += Body(
            _house(rng, float(rng.uniform(8.5, 10.5)), 9.0, 2), 0.0, (middle, float(rng.uniform(11.0, 13.0)), KERB)
        ).at(0)
        if number % 2:
            solids += Body(
                hedge(plot - 2.0, float(rng.uniform(1.1, 1.4)), GREENS[number % 3]), 0.0, (middle, 6.75, KERB)
            ).at(0)
        else:
            solids += Body(fence(plot - 2.0), 0.0, (middle, 6.45, KERB)).at(0)
        solids += Body(_tree(rng, float(rng.uniform(6.5, 9.0))), 0.0, (x + 0.2, float(rng.uniform(8.2, 9.5)), KERB)).at(
            0
        )
        for _ in range(2):
            place = (middle + float(rng.uniform(-5, 5)), float(rng.uniform(8.0, 9.8)), KERB)
            solids += Body(bush(rng, size=float(rng.uniform(0.9, 1.5)), tint=GREENS[rng.integers(3)]), 0.0, place).at(0)
        x += plot
        number += 1
    return solids


def _far_end(rng: np.random.Generator) -> list[Solid]:
    """Houses and trees across the cross street, so that no bare horizon is seen."""
    solids: list[Solid] = []
    for y in np.arange(-44.0, 45.0, 11.0):
        solids += Body(_house(rng, 10.5, 9.0, int(rng.integers(2, 4))), -np.pi / 2, (END + 6.0, float(y), KERB)).at(0)
    for y in (-16.0, 5.0, 15.0):
        solids += Body(_tree(rng, 9.0), 0.0, (END + 2.5, float(y), KERB)).at(0)
    return solids


def _parked(rng: np.random.Generator) -> list[Solid]:
    solids: list[Solid] = []
    for bay in np.arange(BEGIN // 6 * 6 + 6, END - 16, 6.0):
        middle = float(bay) + 3.0
        if rng.random() < 0.3 or 24 < middle < 36 or -2 < middle < 2:
            continue
        long = bool(rng.random() < 0.4)
        paint = PAINTS[rng.integers(len(PAINTS))]
        place = (middle + float(rng.uniform(-0.4, 0.4)), -4.6 + float(rng.uniform(-0.12, 0.12)), 0.0)
        yaw = float(rng.normal(0, 0.015)) + (np.pi if rng.random() < 0.1 else 0)
        solids += Body(car(paint, estate=long, length=4.55 if long else 4.2), yaw, place).at(0)
    return solids
