"""What kind of street it is, how it runs, and what stands where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from occdepth_ros.data.synthetic.ground import Ground, SideStreet, make_heights, make_line
from occdepth_ros.data.synthetic.relief import Backdrop
from occdepth_ros.data.synthetic.sides import Side, Site, color, fill_side
from occdepth_ros.data.synthetic.solids import LABEL, World
from occdepth_ros.data.synthetic.things import car, guard_rail, lorry, two_wheeler


@dataclass(frozen=True)
class Kind:
    """A kind of street; pairs are ranges, single numbers are shares in 0..1.

    Args:
        often: how often it is drawn, relative.
        half: half of the carriageway, metres.
        parking, walk, verge: share of sides with a parking bay, a sidewalk, a strip of grass.
        houses: how densely the sides are built up.
        woods: how densely trees and shrubs grow beyond the verge.
        hedges: share of fronts closed by a hedge; fences take half of the rest in the settlements.
        rows: share of sides with a row of street trees.
        rails: share of sides with a guard rail.
        winding: usual curvature, 1/metres.
        hilly: usual change of slope.
        traffic: metres between vehicles on the road.
        crossing: share of streets with side streets.
        line: share with a line along the middle.
    """

    often: float
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
class Street:
    """A random street.

    Args:
        kind: its name in `KINDS`.
        world: its solids.
        ground: what they stand on.
        backdrop: what closes the view.
        lane: distance of the driven lane from the street's middle, to the left, metres.
        line: how its middle is marked: 0 not, 1 dashed, 2 solid.
    """

    kind: str
    world: World
    ground: Ground
    backdrop: Backdrop
    lane: float
    line: int


def make_street(rng: np.random.Generator) -> Street:
    """Draw a street."""
    odds = np.array([k.often for k in KINDS.values()])
    name = str(rng.choice(list(KINDS), p=odds / odds.sum()))
    kind = KINDS[name]
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
    _traffic(rng, kind, site, half, lane)
    marked = 0 if rng.random() > kind.line else int(rng.integers(1, 3))
    return Street(name, World.of(site.parts), ground, Backdrop.draw(rng), lane, marked)


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


def _crossings(rng: np.random.Generator, kind: Kind) -> tuple[SideStreet, ...]:
    if rng.random() > kind.crossing:
        return ()
    first = rng.uniform(6, 50)
    places = [first, first + rng.uniform(25, 60)]
    out = []
    for x in places:
        both = int(rng.integers(3))
        walk = rng.uniform(1.2, 2.5) if rng.random() < kind.walk else 0.0
        out.append(SideStreet(float(x), float(rng.uniform(2.8, 6.0)), float(walk), both != 0, both != 1))
    return tuple(out)


def _traffic(rng: np.random.Generator, kind: Kind, site: Site, half: float, lane: float) -> None:
    lanes = [(lane, 0.0), (-lane, np.pi)]
    if half > 5.5:
        lanes += [(lane + 3.5, 0.0), (-lane - 3.5, np.pi)]
    for across, yaw in lanes:
        x = rng.uniform(12, 40) + rng.exponential(20)
        while x < 85:
            draw = rng.random()
            if draw < 0.88:
                some = car(rng, color(rng))
            elif draw < 0.94:
                some = lorry(
                    "truck" if draw < 0.91 else "other-vehicle",
                    color(rng, 0.1, 0.5),
                    rng.uniform(6, 10),
                    rng.uniform(2.5, 3.6),
                )
            else:
                heavy = draw > 0.975
                rider = "motorcyclist" if heavy else "bicyclist"
                some = two_wheeler("motorcycle" if heavy else "bicycle", color(rng), rider)
            site.put(some, float(x), across + rng.normal(0, 0.2), yaw)
            x += rng.uniform(*kind.traffic)
