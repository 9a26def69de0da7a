"""Random street scenes: kind of street, course, ground, and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from occdepth_ros.data.synthetic.rendering.relief import Backdrop
from occdepth_ros.data.synthetic.scene.ground import Crossing, Ground, make_heights, make_line
from occdepth_ros.data.synthetic.scene.sides import Side, Site, color, fill_side
from occdepth_ros.data.synthetic.scene.solids import LABEL, Part, World
from occdepth_ros.data.synthetic.scene.things import car, guard_rail, lorry, two_wheeler

SPEED = 8.0
"""Speed of vehicles in traffic, metres per second."""


@dataclass(frozen=True)
class Kind:
    """A kind of street; pairs are ranges, single numbers are fractions in 0..1.

    Args:
        weight: relative frequency.
        half: half width of the carriageway, metres.
        parking, walk, verge: share of sides with a parking bay, a sidewalk, a strip of grass.
        houses: density of houses.
        woods: density of trees and shrubs beyond the verge.
        hedges: share of plots with a hedge; half of the others in settlements have a fence.
        rows: share of sides with a row of street trees.
        rails: share of sides with a guard rail.
        winding: standard deviation of the curvature, 1/metres.
        hilly: standard deviation of the slope.
        traffic: distance between vehicles on the road, metres.
        crossing: share of streets with side streets.
        line: share of streets with a centre line.
    """

    weight: float
    half: tuple[float, float]
    parking: float
    walk: float
    verge: float
    houses: float
    woods: float
    hedges: float
    rows: float
    rails: float
    winding: float
    hilly: float
    traffic: tuple[float, float]
    crossing: float
    line: float


KINDS = {
    "residential": Kind(
        0.36, (2.8, 4.8), 0.5, 0.92, 0.25, 0.85, 0.5, 0.4, 0.35, 0.0, 0.002, 0.012, (20, 90), 0.65, 0.15
    ),
    "avenue": Kind(0.24, (4.5, 9.5), 0.25, 0.92, 0.55, 0.45, 0.5, 0.3, 0.45, 0.06, 0.002, 0.012, (14, 70), 0.65, 0.8),
    "country": Kind(0.17, (3.0, 5.0), 0.0, 0.3, 0.95, 0.04, 0.5, 0.1, 0.15, 0.15, 0.004, 0.025, (25, 120), 0.45, 0.6),
    "woods": Kind(0.15, (3.0, 5.0), 0.03, 0.4, 0.8, 0.03, 1.0, 0.2, 0.1, 0.08, 0.006, 0.03, (25, 120), 0.45, 0.5),
    "motorway": Kind(0.1, (6.0, 12.0), 0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 0.05, 0.75, 0.002, 0.015, (15, 60), 0.1, 1.0),
}


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in traffic.

    Args:
        parts: solids in the vehicle's frame.
        x, across: position at time 0, along the street and to the left of its middle, metres.
        yaw: heading relative to the street, radians.
        speed: along the street, metres per second.
    """

    parts: Sequence[Part]
    x: float
    across: float
    yaw: float
    speed: float


@dataclass(frozen=True)
class Scene:
    """A random street scene.

    Args:
        kind: key of `KINDS`.
        world: all solids at time 0.
        ground: surface on which the solids stand.
        backdrop: hills and woods at the horizon.
        lane: distance of the driven lane from the street's middle, to the left, metres.
        line: marking of the middle: 0 none, 1 dashed, 2 solid.
        sides: left and right side.
        static: solids that do not move.
        traffic: vehicles on the road; their solids are the last ones in `world`.
    """

    kind: str
    world: World
    ground: Ground
    backdrop: Backdrop
    lane: float
    line: int
    sides: tuple[Side, Side]
    static: Sequence[Part]
    traffic: Sequence[Vehicle]

    def at(self, time_s: float) -> Scene:
        """Return the scene after the vehicles in traffic have moved for a time."""
        site = Site(self.ground, list(self.static))
        for v in self.traffic:
            site.put(list(v.parts), v.x + v.speed * time_s, v.across, v.yaw)
        return replace(self, world=World.of(site.parts))

    def refined(self, refine: Callable[[Sequence[Part]], Sequence[Part]]) -> Scene:
        """Return the scene with the parts of all objects replaced by those that `refine` returns."""
        traffic = [replace(v, parts=refine(v.parts)) for v in self.traffic]
        return replace(self, static=refine(self.static), traffic=traffic).at(0.0)


def make_scene(rng: np.random.Generator, kind: str | None = None) -> Scene:
    """Draw a scene.

    Args:
        rng: random generator of the scene.
        kind: key of `KINDS`; None = a random kind.
    """
    weights = np.array([k.weight for k in KINDS.values()])
    name = str(rng.choice(list(KINDS), p=weights / weights.sum())) if kind is None else kind
    return _draw(rng, name, KINDS[name])


def _draw(rng: np.random.Generator, name: str, kind: Kind) -> Scene:
    half = rng.uniform(*kind.half)
    left, right = (_side(rng, kind, half, sign) for sign in (1.0, -1.0))
    line = make_line(rng, kind.winding)
    banks = [rng.normal(0.02, 0.12) if rng.random() < 0.6 else rng.normal(0, 0.015) for _ in range(2)]
    heights = make_heights(
        rng, line, kind.hilly, ((left.verge + 0.3, float(banks[0])), (right.verge + 0.3, float(banks[1])))
    )
    ground = Ground(
        line,
        heights,
        (-right.far, -right.verge, -right.walk, -right.bay, -half, half, left.bay, left.walk, left.verge, left.far),
        tuple(LABEL[n] for n in (*right.labels[::-1], "road", *left.labels)),
        half,
        _crossings(rng, kind),
    )
    site = Site(ground)
    for side in (left, right):
        fill_side(rng, site, side, kind.houses, kind.woods, kind.hedges)
    if name == "motorway" and half > 7:
        for x in np.arange(-10, 100, 6.0):
            site.put(guard_rail(6.0), float(x), 0.0)
    lane = -half / 2 if half < 5.5 else -half + 2.0
    static = tuple(site.parts)
    traffic = _traffic(rng, kind, half, lane)
    for v in traffic:
        site.put(list(v.parts), v.x, v.across, v.yaw)
    line_mark = 0 if rng.random() > kind.line else int(rng.integers(1, 3))
    backdrop = Backdrop.draw(rng)
    return Scene(name, World.of(site.parts), ground, backdrop, lane, line_mark, (left, right), static, traffic)


def _side(rng: np.random.Generator, kind: Kind, half: float, sign: float) -> Side:
    parking = rng.uniform(2.0, 2.6) if rng.random() < kind.parking else 0.0
    walk = rng.uniform(1.4, 4.2) if rng.random() < kind.walk else 0.0
    verge = rng.uniform(0.6, 5.0) if rng.random() < kind.verge else 0.0
    if kind.rails > 0.5:
        verge = rng.uniform(3.0, 12.0)
    far = half + parking + walk + verge + rng.uniform(4, 30)
    beyond = str(rng.choice(["terrain", "other-ground", "parking"], p=[0.7, 0.15, 0.15]))
    labels = (
        "parking",
        "sidewalk",
        "terrain" if rng.random() < 0.93 else "other-ground",
        beyond if kind.houses > 0.1 else "terrain",
        "terrain",
    )
    return Side(
        sign=sign,
        road=half,
        bay=half + parking,
        walk=half + parking + walk,
        verge=half + parking + walk + verge,
        far=far,
        labels=labels,
        trees=rng.random() < kind.rows,
        rail=rng.random() < kind.rails,
        parked=float(rng.uniform(0.2, 0.95)) if parking or (kind.houses > 0.2 and rng.random() < 0.4) else 0.0,
    )


def _crossings(rng: np.random.Generator, kind: Kind) -> tuple[Crossing, ...]:
    if rng.random() > kind.crossing:
        return ()
    first = rng.uniform(6, 50)
    places = [first, first + rng.uniform(25, 60)]
    out = []
    for x in places:
        both = int(rng.integers(3))
        walk = rng.uniform(1.2, 2.5) if rng.random() < kind.walk else 0.0
        out.append(Crossing(float(x), float(rng.uniform(2.8, 6.0)), float(walk), both != 0, both != 1))
    return tuple(out)


def _traffic(rng: np.random.Generator, kind: Kind, half: float, lane: float) -> tuple[Vehicle, ...]:
    out: list[Vehicle] = []
    lanes = [(lane, 0.0), (-lane, np.pi)]
    if half > 5.5:
        lanes += [(lane + 3.5, 0.0), (-lane - 3.5, np.pi)]
    for across, yaw in lanes:
        x = rng.uniform(12, 40) + rng.exponential(20)
        while x < 85:
            draw = rng.random()
            if draw < 0.88:
                parts = car(rng, color(rng))
            elif draw < 0.94:
                parts = lorry(
                    "truck" if draw < 0.91 else "other-vehicle",
                    color(rng, 0.1, 0.5),
                    rng.uniform(6, 10),
                    rng.uniform(2.5, 3.6),
                )
            else:
                heavy = draw > 0.975
                rider = "motorcyclist" if heavy else "bicyclist"
                parts = two_wheeler("motorcycle" if heavy else "bicycle", color(rng), rider)
            speed = (SPEED if draw < 0.94 else 0.6 * SPEED) * (1 if yaw == 0 else -1)
            out.append(Vehicle(parts, float(x), across + rng.normal(0, 0.2), yaw, speed))
            x += rng.uniform(*kind.traffic)
    return tuple(out)
