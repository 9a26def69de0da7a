"""Objects next to the carriageway: parked cars, trees, hedges, walls, houses, poles, signs and people."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from occdepth_ros.data.synthetic.scene import plants, things
from occdepth_ros.data.synthetic.scene.ground import Ground
from occdepth_ros.data.synthetic.scene.solids import Color, Part, placed, post

BEGIN, END = -8.0, 84.0


@dataclass
class Site:
    """A street under construction.

    Args:
        ground: surface on which objects stand.
        parts: solids placed so far.
    """

    ground: Ground
    parts: list[Part] = field(default_factory=list)

    def put(
        self, parts: list[Part], x: float, across: float, yaw: float = 0.0, *, tilt: bool = True, lift: float = 0.0
    ) -> None:
        """Add parts at `across` metres to the left of the street's middle, rotated by `yaw` relative to it."""
        self.parts.extend(self.at(parts, x, across, yaw, tilt=tilt, lift=lift))

    def at(
        self, parts: list[Part], x: float, across: float, yaw: float = 0.0, *, tilt: bool = True, lift: float = 0.0
    ) -> list[Part]:
        """Return the parts in the world; arguments as for `put`."""
        heading = self.ground.heading(x)
        at = x - across * np.sin(heading), float(self.ground.middle(x)) + across * np.cos(heading)
        climb = self.ground.slope(at[0], at[1], heading + yaw) if tilt else 0.0
        height = float(self.ground.height(at[0], at[1])) + lift
        return placed(parts, heading + yaw, (float(at[0]), float(at[1]), height), climb)

    def at_crossing(self, x: float, sign: float, margin: float = 1.0) -> bool:
        """Return whether a side street joins at this position on that side."""
        return any(
            abs(x - c.x) < c.half + c.walk + margin and (c.left if sign > 0 else c.right) for c in self.ground.crossings
        )


@dataclass(frozen=True)
class Side:
    """One side of a street.

    Args:
        sign: 1 on the left, -1 on the right.
        road, bay, walk, verge, far: distances from the middle at which carriageway, parking bay, sidewalk, verge and
            plots end.
        labels: class ids of the five strips beyond the carriageway.
        trees: whether there is a row of street trees.
        rail: whether there is a guard rail.
        parked: share of parking places in use, 0..1.
    """

    sign: float
    road: float
    bay: float
    walk: float
    verge: float
    far: float
    labels: tuple[str, ...]
    trees: bool
    rail: bool
    parked: float


def color(rng: np.random.Generator, low: float = 0.01, high: float = 0.5) -> Color:
    """Draw the colour of a car or of clothes: black, grey, silver, white, rarely blue or red."""
    draw = rng.random()
    if draw < 0.78:
        grey = low + (high - low) * rng.random() ** 2.2
        r, g, b = np.clip(grey * rng.uniform(0.94, 1.06, 3), 0.008, 0.7)
    elif draw < 0.89:
        r, g, b = rng.uniform(0.01, 0.03), rng.uniform(0.02, 0.06), rng.uniform(0.05, 0.25)
    elif draw < 0.96:
        r, g, b = rng.uniform(0.08, 0.35), rng.uniform(0.005, 0.03), rng.uniform(0.005, 0.03)
    else:
        r, g, b = rng.uniform(0.02, 0.4, 3)
    return float(r), float(g), float(b)


def wall(rng: np.random.Generator) -> Color:
    """Draw the colour of a wall: mostly white and cream, rarely ochre and red."""
    light, warm = rng.uniform(0.3, 0.75), rng.uniform(0, 1) ** 3
    return float(light), float(light * (0.97 - 0.35 * warm)), float(light * (0.9 - 0.55 * warm))


def roof(rng: np.random.Generator) -> Color:
    """Draw the colour of roof tiles: red-brown or grey."""
    light, red = rng.uniform(0.05, 0.15), rng.uniform(0, 1) ** 0.7
    return float(light * (1 + red)), float(light * (1 - 0.15 * red)), float(light * (1 - 0.4 * red))


def fill_side(rng: np.random.Generator, site: Site, side: Side, houses: float, woods: float, hedges: float) -> None:
    """Place all objects of one side."""
    houses = float(np.clip(houses + rng.normal(0, 0.2), 0, 1)) if houses > 0.1 else houses
    woods = float(np.clip(woods + rng.normal(0, 0.3), 0.03, 1))
    _plots(rng, site, side, houses, woods, hedges)
    _furniture(rng, site, side, houses)
    if side.parked:
        _parked(rng, site, side)
    if side.trees:
        _row(rng, site, side)
    for c in site.ground.crossings:
        passes = c.left if side.sign > 0 else c.right
        for off in np.arange(side.road + 4, 40, 6.5):
            if passes and rng.random() < 0.3:
                across = float(c.half * rng.choice([-0.8, -0.5, 0.5, 0.8]))
                yaw = float(rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.05))
                site.put(things.car(rng, color(rng)), c.x + across, float(side.sign * off), yaw)
    if side.rail:
        at = side.sign * (side.bay + rng.uniform(0.4, 1.2))
        begin, end = (BEGIN, END) if rng.random() < 0.6 else (rng.uniform(0, 20), rng.uniform(30, 70))
        for x in np.arange(begin, end, 6.0):
            if not site.at_crossing(float(x), side.sign, 4.0):
                site.put(things.guard_rail(6.0), float(x), at)


def _plots(rng: np.random.Generator, site: Site, side: Side, houses: float, woods: float, hedges: float) -> None:
    sign, back, facing = side.sign, rng.uniform(0.3, 6), 0.0 if side.sign > 0 else np.pi
    style, tall = rng.random(), rng.uniform(0.7, 2.4)
    hedged_or_fenced = hedges + 0.65 * (1 - hedges)
    x = BEGIN
    while x < END:
        width = rng.uniform(7, 15)
        middle = x + width / 2
        x += width
        if site.at_crossing(middle, sign, 0.5):
            continue
        front = side.verge + 0.5
        built = rng.random() < houses
        if built:
            deep = rng.uniform(7, 12)
            parts = things.house(rng, width - rng.uniform(0.3, 4), deep, wall(rng), roof(rng))
            site.put(parts, middle, sign * (front + back + rng.uniform(0, 2)), facing + rng.normal(0, 0.03), tilt=False)
        # most of a street has one style of fences and hedges
        if rng.random() < 0.3:
            style = rng.random()
        closed = houses > 0.1 or rng.random() < 0.35
        if closed and rng.random() < 0.85:
            for piece in (-0.25, 0.25):
                at = middle + piece * width
                if style < hedges:
                    site.put(plants.hedge(rng, width / 2 - rng.uniform(0, 1), tall), at, sign * (front + tall / 4))
                elif style < hedged_or_fenced:
                    site.put(things.fence(rng, width / 2 - 0.1, color(rng, 0.04, 0.3)), at, sign * (front - 0.2))
        if houses > 0.1 and rng.random() < 0.25:
            off, yaw = side.verge + rng.uniform(2, 9), float(rng.integers(4)) * np.pi / 2 + rng.normal(0, 0.1)
            site.put(things.car(rng, color(rng)), middle + rng.uniform(-3, 3), sign * off, yaw)
        _garden(rng, site, side, middle, width, back if built else 22.0, woods)
    for _ in range(int(rng.poisson(8 * woods))):
        at, off = rng.uniform(BEGIN, END), rng.uniform(20, 45)
        site.put(plants.tree(rng, rng.uniform(7, 16), 0.1, 7), at, sign * (side.verge + off), tilt=False)


def _garden(
    rng: np.random.Generator, site: Site, side: Side, middle: float, width: float, depth: float, woods: float
) -> None:
    """Place trees and shrubs on a plot, from the verge to `depth` metres behind it."""
    count = rng.poisson(max(0.5, woods * (1.0 + width * min(depth, 14.0) / 23)))
    for _ in range(int(count)):
        off = side.verge + 0.8 + rng.uniform(0, 1) ** 1.5 * depth
        at = middle + rng.uniform(-0.5, 0.5) * width
        if site.at_crossing(at, side.sign, 0.3):
            continue
        draw = rng.random()
        far = off - side.verge > 8
        if draw < 0.42:
            parts = plants.shrub(rng, rng.uniform(0.8, 3.2))
        elif draw < 0.58:
            parts = plants.conifer(rng, rng.uniform(5, 15))
        else:
            low = rng.uniform(0.02, 0.15) if woods > 0.7 or rng.random() < 0.5 else rng.uniform(0.2, 0.4)
            parts = plants.tree(rng, rng.uniform(5, 15), low, 11 if far else 22)
        site.put(parts, at, side.sign * off, rng.uniform(0, 6), tilt=False)
    for _ in range(int(rng.poisson(1.5 * woods))):
        off = rng.uniform(side.walk + 0.3, side.verge + 6)
        if side.labels[2] == "terrain":
            site.put(plants.tufts(rng, 1.0), middle + rng.uniform(-0.5, 0.5) * width, side.sign * off, tilt=False)


def _furniture(rng: np.random.Generator, site: Site, side: Side, houses: float) -> None:
    """Place lamps, signs, reflector posts, people and bicycles."""
    sign, settled = side.sign, houses > 0.1
    lit = settled and rng.random() < 0.6
    spacing, lamps = rng.uniform(22, 40), rng.uniform(4.5, 9)
    for x in np.arange(BEGIN + rng.uniform(0, 20), END, spacing):
        if lit:
            site.put(things.lamp(lamps), float(x), sign * (side.walk + 0.2), -sign * np.pi / 2, tilt=False)
        elif rng.random() < 0.75 and not settled:
            site.put(things.marker(), float(x), sign * (side.road + 0.7), tilt=False)
    for _ in range(int(rng.poisson(0.9))):
        x = rng.uniform(4, END)
        yaw = (0.0 if sign < 0 else np.pi) + rng.normal(0, 0.2)
        site.put(things.sign(rng), x, sign * (side.bay + rng.uniform(0.3, 1.0)), yaw, tilt=False)
    if rng.random() < 0.15:
        off = side.verge + rng.uniform(0, 1)
        site.put(things.board(rng), rng.uniform(8, 50), sign * off, rng.uniform(-0.5, 0.5), tilt=False)
    for _ in range(int(rng.poisson(1.2 if side.walk > side.bay else 0.1))):
        across = rng.uniform(side.bay, side.walk + 0.2)
        site.put(things.person(color(rng), color(rng)), rng.uniform(5, END), sign * across, rng.uniform(0, 6))
    for _ in range(int(rng.poisson(6.0))):
        x, off = rng.uniform(3, END), side.walk + rng.uniform(0, 6)
        site.put([post("pole", rng.uniform(0.05, 0.14), rng.uniform(0.8, 9), things.STEEL)], x, sign * off)
    for _ in range(int(rng.poisson(0.5 if settled else 0.05))):
        kind = "bicycle" if rng.random() < 0.65 else "motorcycle"
        parts = things.two_wheeler(kind, color(rng), None)
        site.put(parts, rng.uniform(2, END), sign * (side.bay + 0.6), rng.uniform(0, 6))
    if rng.random() < 0.12:
        site.put(things.trailer(color(rng, 0.1, 0.4)), rng.uniform(8, 60), sign * (side.road + 1.2), rng.normal(0, 0.2))


def _parked(rng: np.random.Generator, site: Site, side: Side) -> None:
    """Park cars in the bay, or at the kerb if there is no bay, sometimes at an angle."""
    bay = side.bay > side.road
    across = (side.road + side.bay) / 2 if bay else side.road + rng.uniform(-0.2 if side.road > 3.6 else 0.5, 1.3)
    slanted = bay and rng.random() < 0.15
    for x in np.arange(BEGIN + rng.uniform(0, 5), END, 3.0 if slanted else rng.uniform(5.2, 6.4)):
        if rng.random() < side.parked and not site.at_crossing(float(x), side.sign, 3.5):
            yaw = (0.0 if (side.sign < 0) != (rng.random() < 0.15) else np.pi) + rng.normal(0, 0.03)
            site.put(
                things.car(rng, color(rng)),
                float(x + rng.normal(0, 0.3)),
                side.sign * (across + (1.2 if slanted else rng.normal(0, 0.1))),
                yaw + (side.sign * 1.2 if slanted else 0.0),
            )


def _row(rng: np.random.Generator, site: Site, side: Side) -> None:
    """Place a row of street trees of similar size."""
    height, low = rng.uniform(4, 13), rng.uniform(0.22, 0.45)
    off = side.bay + 0.6 if rng.random() < 0.3 or side.verge == side.walk else (side.walk + side.verge) / 2
    for x in np.arange(BEGIN + rng.uniform(0, 9), END, rng.uniform(6, 14)):
        if rng.random() < 0.85 and not site.at_crossing(float(x), side.sign, 1.0):
            parts = plants.tree(rng, height * rng.uniform(0.8, 1.2), low, 24)
            site.put(parts, float(x), side.sign * off, rng.uniform(0, 6), tilt=False)
