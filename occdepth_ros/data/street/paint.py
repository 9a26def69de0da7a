"""Painted surfaces: road with markings, house fronts with windows, cars, signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from occdepth_ros.data.street.materials import Color, Textured, asphalt, face_coordinates, grain, reference
from occdepth_ros.data.street.shapes import Array, Mask

Paint = Callable[[Array, Array, Array], tuple[Array, Array]]

WHITE: Color = (0.72, 0.72, 0.7)
GLASS: Color = (0.025, 0.032, 0.038)


def scatter(*numbers: Array) -> Array:
    """A repeatable pseudo-random number in 0..1 per tuple of whole numbers, `[N]`."""
    mixed = sum(n * f for n, f in zip(numbers, (12.9898, 78.233, 37.719), strict=False))
    wave = np.sin(np.asarray(mixed, np.float64)) * 43758.5453
    return np.asarray(wave - np.floor(wave), np.float32)


def blend(colors: Array, where: Array | Mask, color: Color) -> None:
    """Paint a colour over `colors` `[N, 3]`, in place, with coverage `where` `[N]` in 0..1."""
    cover = np.asarray(where, np.float32)[:, None]
    colors += cover * (np.asarray(color, np.float32) - colors)


@dataclass(frozen=True)
class RoadLines:
    """Markings of a straight road along x.

    Args:
        middle: y of the dashed line between the lanes, metres.
        edges: y of full lines.
        bay: y range of parking bays, with a line every `bay_length` metres.
        zebra: x range of a pedestrian crossing.
        kerbs: y range of the carriageway.
    """

    middle: float
    edges: tuple[float, ...]
    bay: tuple[float, float]
    bay_length: float
    zebra: tuple[float, float]
    kerbs: tuple[float, float]

    def __call__(self, points: Array, normals: Array, footprint: Array) -> tuple[Array, Array]:
        """Albedo and gloss; see `Painted`."""
        x, y = points[0], points[1]
        base = Textured(asphalt(), stain=0.1).look(points, normals, footprint).albedo
        # tyres polish two tracks per lane, oil darkens the middle
        for lane in (self.middle - 1.7, self.middle + 1.7):
            for track in (-0.75, 0.75):
                base *= (1 + 0.1 * np.exp(-(((y - lane - track) / 0.28) ** 2)))[:, None]
            base *= (1 - 0.12 * np.exp(-(((y - lane) / 0.35) ** 2)))[:, None]
        seam = np.abs(y - self.middle - 0.35 + 0.03 * np.sin(x * 1.3) + 0.02 * np.sin(x * 3.1)) < 0.03
        blend(base, 0.6 * seam, (0.05, 0.05, 0.05))
        cover = np.hypot(np.mod(x, 27.0) - 9.0, y - self.middle + 1.6)
        blend(base, cover < 0.33, (0.09, 0.085, 0.08))
        blend(base, (cover < 0.36) & (cover > 0.31), (0.3, 0.29, 0.27))
        worn = grain(90, 0.5, 4.0, 2.2).sample(x, y, footprint)[:, 0]
        # a line thinner than an image sample covers a part of it
        soft = np.maximum(footprint, 0.01)

        def line(distance: Array, half: float) -> Array:
            return np.asarray(np.clip((half - distance) / soft + 0.5, 0, 1), np.float32)

        in_zebra = (x > self.zebra[0]) & (x < self.zebra[1])
        marks = line(np.abs(y - self.middle), 0.06) * (np.mod(x, 6.0) < 3.0) * ~in_zebra
        for edge in self.edges:
            marks = np.maximum(marks, line(np.abs(y - edge), 0.05) * ~in_zebra)
        bay = (y > self.bay[0]) & (y < self.bay[1])
        along = np.abs(np.mod(x + self.bay_length / 2, self.bay_length) - self.bay_length / 2)
        marks = np.maximum(marks, line(along, 0.05) * bay * ~in_zebra)
        stripe = line(np.abs(np.mod(y, 1.0) - 0.5), 0.25) * (y > self.kerbs[0] + 0.3) * (y < self.kerbs[1] - 0.3)
        marks = np.maximum(marks, stripe * in_zebra)
        blend(base, marks * np.clip(0.82 + 0.22 * worn, 0.15, 0.95), WHITE)
        return base, np.full(x.size, 0.03, np.float32)


@dataclass(frozen=True)
class HouseFront:
    """Walls with windows and a door, on a box whose frame stands at the middle of its base.

    Args:
        wall: look of the bare wall.
        width, depth: of the house, metres.
        storeys: rows of windows.
        storey: height of one, metres.
        pitch: distance between windows, metres.
        window: width and height of one, metres.
        frame, door, band: colours of window frames, door, and the surrounds of windows.
        seed: of curtains and blinds.
    """

    wall: Textured
    width: float
    depth: float
    storeys: int
    storey: float
    pitch: float
    window: tuple[float, float]
    frame: Color
    door: Color
    band: Color
    seed: int

    def __call__(self, points: Array, normals: Array, footprint: Array) -> tuple[Array, Array]:
        """Albedo and gloss; see `Painted`."""
        color = self.wall.look(points, normals, footprint).albedo
        gloss = np.zeros(color.shape[0], np.float32)
        u, v = face_coordinates(points, normals)
        gable = np.abs(normals[0]) > 0.5
        width = np.where(gable, self.depth, self.width)
        u = np.where(gable, u - self.depth / 2, u)
        cell = np.floor(u / self.pitch)
        across = np.abs(u - (cell + 0.5) * self.pitch)
        signed = u - (cell + 0.5) * self.pitch
        row = np.floor((v - 0.45) / self.storey)
        height = v - 0.45 - row * self.storey
        front = (np.abs(normals[2]) < 0.5) & (np.abs(u) < width / 2 - 0.35)
        front &= ((cell + 1) * self.pitch < width / 2 + 0.01) & (cell * self.pitch > -width / 2 - 0.01)
        glazed = front & (row >= 0) & (row < self.storeys)
        # gables have fewer windows
        glazed &= ~gable | (np.mod(cell, 2) == self.seed % 2)
        half, tall, sill = self.window[0] / 2, self.window[1], 0.55
        door = glazed & (cell == 0) & (row == 0) & (normals[1] < -0.5)
        glazed &= ~door
        blend(color, (v < 0.45) & (np.abs(normals[2]) < 0.5), (0.24, 0.235, 0.225))
        blend(color, front & (height < 0.12) & (row > 0) & (row <= self.storeys), self.band)
        around = glazed & (across < half + 0.14) & (height > sill - 0.14) & (height < sill + tall + 0.14)
        blend(color, around, self.band)
        inside = glazed & (across < half) & (height > sill) & (height < sill + tall)
        blend(color, inside, self.frame)
        bar = np.minimum(half - across, np.minimum(height - sill, sill + tall - height))
        pane = inside & (bar > 0.06) & (across > 0.035) & (np.abs(height - sill - 0.68 * tall) > 0.03)
        blend(color, pane, GLASS)
        chance = scatter(cell, row, np.full_like(cell, self.seed))
        curtain = pane & (chance > 0.45) & (across > half * (0.25 + 0.9 * np.mod(chance * 7, 1)))
        blind = pane & (chance < 0.3) & (height > sill + tall * (0.25 + 2.2 * chance))
        blend(color, 0.8 * curtain, (0.4, 0.38, 0.35))
        blend(color, 0.85 * blind, (0.45, 0.43, 0.38))
        # the reveal shades the upper and the left edge of the panes
        blend(color, 0.55 * (inside & ((sill + tall - height < 0.13) | (signed < 0.09 - half))), (0.02, 0.02, 0.02))
        gloss[pane] = 0.55
        gloss[curtain | blind] = 0.3
        blend(color, inside & (height - sill < 0.05), (0.5, 0.5, 0.48))
        leaf = door & (across < 0.55) & (height < 2.2)
        blend(color, door & (across < 0.7) & (height < 2.35), self.band)
        blend(color, leaf, self.door)
        blend(color, leaf & (across < 0.38) & (height > 1.3) & (height < 2.0), GLASS)
        return color, gloss


@dataclass(frozen=True)
class CarBody:
    """Lower body of a car: paint, lights, plates, wheel arches; x forward, z up from the ground.

    Args:
        color: of the paint.
        length: of the body, metres.
        axle: x of the front and the rear axle, plus and minus, metres.
    """

    color: Color
    length: float
    axle: float

    def __call__(self, points: Array, normals: Array, footprint: Array) -> tuple[Array, Array]:
        """Albedo and gloss; see `Painted`."""
        x, y, z = points
        color = np.tile(np.asarray(self.color, np.float32), (x.size, 1))
        gloss = np.full(x.size, 0.3, np.float32)
        side = np.abs(normals[1]) > 0.7
        wheel = np.hypot(np.abs(x) - self.axle, z - 0.31)
        arch = side & (wheel < 0.37)
        skirt = z < 0.33
        seam = side & (z > 0.35) & (np.min([np.abs(x - s) for s in (0.75, -0.3, -1.2)], axis=0) < 0.012)
        handle = side & (np.abs(z - 0.74) < 0.018) & (np.min([np.abs(x - s) for s in (-0.15, -1.05)], axis=0) < 0.09)
        ends = np.abs(normals[0]) > 0.6
        wide = np.abs(y)
        lamp = ends & (wide > 0.46) & (z > 0.56) & (z < 0.74)
        plate = ends & (wide < 0.26) & (np.abs(z - 0.48) < 0.055)
        grille = ends & (x > 0) & (wide < 0.42) & (z > 0.57) & (z < 0.7)
        blend(color, seam | handle, (0.02, 0.02, 0.02))
        blend(color, grille | skirt | arch, (0.018, 0.018, 0.018))
        blend(color, lamp & (x > 0), (0.75, 0.76, 0.78))
        blend(color, lamp & (x < 0), (0.5, 0.02, 0.015))
        blend(color, plate, (0.7, 0.7, 0.62))
        gloss[arch | skirt | grille] = 0.02
        return color, gloss


@dataclass(frozen=True)
class CarCabin:
    """Upper body of a car: windows between pillars, and the roof.

    Args:
        color: of the paint.
        belt, roof: heights of the lower edge of the windows and of the roof, metres.
        pillars: x of the pillars between the side windows.
    """

    color: Color
    belt: float
    roof: float
    pillars: tuple[float, ...]

    def __call__(self, points: Array, normals: Array, footprint: Array) -> tuple[Array, Array]:
        """Albedo and gloss; see `Painted`."""
        x, y, z = points
        color = np.tile(np.asarray(self.color, np.float32), (x.size, 1))
        gloss = np.full(x.size, 0.3, np.float32)
        upright = (normals[2] < 0.85) & (z > self.belt) & (z < self.roof - 0.07)
        side = np.abs(normals[1]) > 0.6
        post = np.min([np.abs(x - p) for p in self.pillars], axis=0) < 0.04
        slope = 0.45 * (z - self.belt)
        reach = (x < self.pillars[0] + 0.5 - slope * 2.0) & (x > self.pillars[-1] - 0.45 + slope)
        glass = upright & np.where(side, ~post & reach, np.abs(y) < 0.62 - 0.35 * (z - self.belt))
        blend(color, glass, (0.016, 0.019, 0.021))
        gloss[glass] = 0.55
        return color, gloss


def tyre(points: Array, normals: Array, footprint: Array) -> tuple[Array, Array]:
    """A wheel around z: rubber with a light hub; see `Painted`."""
    radius = np.hypot(points[0], points[1])
    color = np.tile(np.array([0.017, 0.017, 0.018], np.float32), (radius.size, 1))
    flat = np.abs(normals[2]) > 0.5
    spoke = np.cos(5 * np.arctan2(points[1], points[0])) > -0.35
    blend(color, flat & (radius < 0.2), (0.06, 0.06, 0.06))
    blend(color, flat & (radius < 0.2) & (spoke | (radius < 0.06) | (radius > 0.175)), (0.42, 0.43, 0.45))
    return color, np.where(flat & (radius < 0.2), 0.2, 0.02).astype(np.float32)


@dataclass(frozen=True)
class SignFace:
    """A traffic sign on a disc around z that faces +z, or a panel.

    Args:
        kind: "limit" (red ring), "no_parking" (blue with red), "crossing" (blue panel), "priority" (yellow).
        radius: of the disc, or half the edge of the panel, metres.
    """

    kind: str
    radius: float

    def __call__(self, points: Array, normals: Array, footprint: Array) -> tuple[Array, Array]:
        """Albedo and gloss; see `Painted`."""
        x, y = points[0] / self.radius, points[1] / self.radius
        r = np.hypot(x, y)
        color = np.full((x.size, 3), 0.3, np.float32)
        face = normals[2] > 0.5
        red, blue = (0.55, 0.015, 0.02), (0.02, 0.09, 0.42)
        if self.kind == "limit":
            blend(color, face, red)
            blend(color, face & (r < 0.76), (0.75, 0.75, 0.73))
            three = (np.abs(x + 0.27) < 0.2) & (np.abs(y) < 0.38) & ~((x < -0.2) & (np.abs(np.abs(y) - 0.19) < 0.11))
            three &= (np.abs(y) > 0.1) | (x > -0.36)
            ring = np.abs(np.hypot((x - 0.28) * 1.5, y * 0.9) - 0.27) < 0.08
            blend(color, face & (three | ring), (0.02, 0.02, 0.02))
        elif self.kind == "no_parking":
            blend(color, face, red)
            blend(color, face & (r < 0.78), blue)
            blend(color, face & (r < 0.85) & (np.abs(x - y) < 0.16), red)
        elif self.kind == "crossing":
            blend(color, face, blue)
            blend(color, face & (y < 0.62) & (y > -0.72) & (np.abs(x) < 0.38 + 0.35 * (0.62 - y)), (0.75, 0.75, 0.73))
            walker = (np.abs(x + 0.05) < 0.1) & (np.abs(y + 0.05) < 0.4) | (np.hypot(x, y - 0.42) < 0.1)
            blend(color, face & walker, (0.02, 0.02, 0.02))
        else:
            diamond = np.abs(x) + np.abs(y)
            blend(color, face & (diamond < 1.35), (0.75, 0.75, 0.73))
            blend(color, face & (diamond < 1.0), (0.75, 0.5, 0.02))
        return color, np.full(x.size, 0.06, np.float32)


def cloth(color: Color) -> Textured:
    """A garment."""
    return Textured(reference(color, 2, 0.12, 0.5), stain=0.0)


def metal(color: Color = (0.33, 0.34, 0.35)) -> Textured:
    """Galvanised or painted steel."""
    return Textured(reference(color, 3, 0.06, 0.8), stain=0.05, gloss=0.12)
