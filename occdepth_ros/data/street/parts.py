"""Things that stand in a street, built from solids in their own frame: x forward, z up from the ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.data.street.materials import (
    Color,
    Leaves,
    Painted,
    Slats,
    Textured,
    bark,
    reference,
    roof_tiles,
    wood,
)
from occdepth_ros.data.street.paint import CarBody, CarCabin, HouseFront, SignFace, cloth, metal, tyre
from occdepth_ros.data.street.scene import Material, Solid, turned
from occdepth_ros.data.street.shapes import Array, Convex, Cylinder, Ellipsoid, Shape

LABEL = {name: label for label, name in enumerate(SEMANTIC_KITTI.names)}

_UPRIGHT = turned(0.0)


def _solid(shape: Shape, material: Material, name: str, at: npt.ArrayLike = (0, 0, 0), turn: Array = _UPRIGHT) -> Solid:
    return Solid(shape, material, LABEL[name], turn, np.asarray(at, np.float32))


def _ball(radii: npt.ArrayLike) -> Ellipsoid:
    return Ellipsoid(np.asarray(radii, np.float32))


def car(color: Color, *, estate: bool = False, length: float = 4.3) -> list[Solid]:
    """A car of 1.8 m width; `estate` has a long roof."""
    half, belt, roof = length / 2, 0.9, 1.48
    body = Convex.box((-half, -0.9, 0.2), (half, 0.9, 0.98))
    nose, tail = half - 0.02, -half + 0.02
    for sign in (-1, 1):
        body = body.cut((0, sign, 0.12), (0, sign * 0.88, 0.6)).cut((0, sign, -0.25), (0, sign * 0.88, 0.42))
        body = body.cut((0, sign, 1.0), (0, sign * 0.82, 0.9))
        body = body.cut((1, sign * 0.9, 0), (half - 0.22, sign * 0.86, 0.5))
        body = body.cut((-1, sign * 0.6, 0), (-half + 0.14, sign * 0.86, 0.5))
    body = (
        body.cut((1, 0, 0.35), (nose, 0, 0.6))
        .cut((0.9, 0, 1), (half - 0.12, 0, 0.78))
        .cut((0.11, 0, 1), (0.85, 0, 0.95))
    )
    body = body.cut((-1, 0, 0.2), (tail, 0, 0.7)).cut((1, 0, -0.6), (nose, 0, 0.42)).cut((-1, 0, -0.6), (tail, 0, 0.42))
    rear = -half + 0.1 if estate else -half + 0.45
    cabin = Convex.box((-half, -0.86, belt - 0.12), (half, 0.86, roof))
    cabin = cabin.cut((0.62, 0, 0.8), (0.2, 0, roof - 0.02)).cut((-0.8, 0, 0.55), (rear + 0.25, 0, roof - 0.05))
    for sign in (-1, 1):
        cabin = cabin.cut((0, sign, 0.36), (0, sign * 0.81, belt)).cut((0, sign, 1.1), (0, sign * 0.6, roof - 0.02))
        cabin = cabin.cut((1, sign * 0.55, 0.75), (0.22, sign * 0.52, roof - 0.04))
    cabin = cabin.cut((0.14, 0, 1), (-0.2, 0, roof)).cut((-0.09, 0, 1), (-0.6, 0, roof))
    axle = 0.3 * length
    pillars = (0.62, -0.32, -1.15, -1.75) if estate else (0.62, -0.32, -1.15)
    parts = [
        _solid(body, Painted(CarBody(color, length, axle)), "car"),
        _solid(cabin, Painted(CarCabin(color, belt, roof, pillars)), "car"),
    ]
    outward = {1: turned(0, 0, -np.pi / 2), -1: turned(0, 0, np.pi / 2)}
    for x in (-axle, axle):
        for sign in (-1, 1):
            parts.append(_solid(Cylinder(0.315, 0.22), Painted(tyre), "car", (x, sign * 0.685, 0.315), outward[sign]))
    mirror = Textured(reference(color, 4, 0.02), stain=0.0, gloss=0.3)
    parts += [_solid(_ball((0.08, 0.1, 0.07)), mirror, "car", (0.72, sign * 0.95, 0.98)) for sign in (-1, 1)]
    return parts


def tree(rng: np.random.Generator, *, height: float, spread: float, tint: Color) -> list[Solid]:
    """A broad-leaved tree: trunk, boughs, and a crown of leafy lumps."""
    stem = 0.34 * height
    surface = Textured(bark(), stain=0.1, bump=0.25)
    radius = 0.022 * height + 0.03
    parts = [
        _solid(Cylinder(radius, stem * 1.05), surface, "trunk"),
        _solid(Cylinder(radius * 1.35, 0.25), surface, "trunk"),
    ]
    for bough in range(5):
        turn = turned(float(2 * np.pi * bough / 5 + rng.uniform(0, 0.8)), float(rng.uniform(0.3, 0.65)))
        parts.append(_solid(Cylinder(radius * 0.42, 0.26 * height), surface, "trunk", (0, 0, stem * 0.97), turn))
    middle = np.array([0.0, 0.0, 0.67 * height])
    extent = np.array([spread, spread, 0.3 * height])
    # lobes give the crown its outline, small lumps of leaves fill them
    lobes = [0.55 * extent * d / np.linalg.norm(d) for d in rng.normal(size=(7, 3))]
    for _ in range(130):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        lobe = lobes[rng.integers(len(lobes))]
        place = lobe + direction * float(rng.uniform(0.3, 1.0)) ** 0.4 * 0.5 * extent
        size = spread * rng.uniform(0.11, 0.21) * np.array([1, 1, rng.uniform(0.6, 0.9)])
        shade = [float(c * rng.uniform(0.82, 1.18)) for c in tint]
        outward = place / np.linalg.norm(place / extent) / extent.max()
        lean = (float(outward[0]), float(outward[1]), float(outward[2]) + 0.2)
        leaves = Leaves((shade[0], shade[1], shade[2]), 0.4, float(rng.uniform(0, 9)), lean)
        parts.append(_solid(_ball(size), leaves, "vegetation", middle + place))
    return parts


def bush(rng: np.random.Generator, *, size: float, tint: Color) -> list[Solid]:
    """A low shrub."""
    parts = []
    for _ in range(7):
        place = rng.normal(size=3) * [0.35 * size, 0.35 * size, 0.15 * size] + [0, 0, 0.4 * size]
        radii = size * rng.uniform(0.3, 0.45) * np.array([1, 1, 0.85])
        parts.append(_solid(_ball(radii), Leaves(tint, 0.25, float(rng.uniform(0, 9))), "vegetation", place))
    return parts


def hedge(length: float, height: float, tint: Color) -> list[Solid]:
    """A clipped hedge along x, centred."""
    shape = Convex.box((-length / 2, -0.35, 0), (length / 2, 0.35, height))
    for sign in (-1, 1):
        shape = shape.cut((0, sign, 1), (0, sign * 0.3, height))
    return [_solid(shape, Leaves(tint, 0.0, 2.0), "vegetation")]


def fence(length: float, height: float = 1.1) -> list[Solid]:
    """A board fence along x, centred, with posts."""
    surface = Textured(wood(), stain=0.1)
    boards = Convex.box((-length / 2, -0.02, 0.08), (length / 2, 0.02, height))
    parts = [_solid(boards, Slats(surface, 0.14, 0.3, height), "fence")]
    for z in (0.3, height - 0.25):
        parts.append(_solid(Convex.box((-length / 2, 0.02, z), (length / 2, 0.06, z + 0.09)), surface, "fence"))
    for x in np.arange(-length / 2, length / 2 + 0.1, 2.0):
        parts.append(_solid(Convex.box((-0.05, 0.02, 0), (0.05, 0.12, height + 0.05)), surface, "fence", (x, 0, 0)))
    return parts


def lamp(height: float = 7.0) -> list[Solid]:
    """A street lamp whose arm reaches along +x."""
    steel = metal()
    return [
        _solid(Cylinder(0.075, height), steel, "pole"),
        _solid(Cylinder(0.11, 0.9), steel, "pole"),
        _solid(Cylinder(0.045, 1.5), steel, "pole", (0, 0, height - 0.1), turned(0, 1.35)),
        _solid(_ball((0.38, 0.13, 0.08)), metal((0.5, 0.5, 0.5)), "pole", (1.6, 0, height + 0.2)),
    ]


def sign(kind: str, height: float = 2.5) -> list[Solid]:
    """A traffic sign on its pole; the face looks along -x, towards the traffic."""
    radius = 0.32
    facing = turned(-np.pi / 2) @ turned(0, 0, np.pi / 2)
    panel = Convex.box((-radius, -radius, 0), (radius, radius, 0.03))
    if kind == "priority":
        for a, b in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            panel = panel.cut((a, b, 0), (a * 0.62 * radius, b * 0.62 * radius, 0))
    board: Shape = panel if kind in ("crossing", "priority") else Cylinder(radius, 0.03)
    return [
        _solid(Cylinder(0.035, height), metal(), "pole"),
        _solid(board, Painted(SignFace(kind, radius)), "traffic-sign", (-0.04, 0, height - radius), facing),
    ]


def person(coat: Color, trousers: Color, stride: float = 0.35) -> list[Solid]:
    """Somebody walking along +x, 1.75 m tall."""
    skin, hair = cloth((0.45, 0.27, 0.2)), cloth((0.05, 0.035, 0.025))
    parts = [
        _solid(_ball((0.12, 0.19, 0.33)), cloth(coat), "person", (0, 0, 1.19)),
        _solid(_ball((0.11, 0.205, 0.15)), cloth(coat), "person", (0, 0, 1.37)),
        _solid(_ball((0.115, 0.17, 0.19)), cloth(trousers), "person", (0, 0, 0.86)),
        _solid(_ball((0.1, 0.085, 0.13)), skin, "person", (0.02, 0, 1.62)),
        _solid(_ball((0.105, 0.09, 0.1)), hair, "person", (-0.02, 0, 1.67)),
        _solid(Cylinder(0.055, 0.12), skin, "person", (0, 0, 1.44)),
    ]
    for side in (-1, 1):
        swing = side * stride
        parts.append(
            _solid(Cylinder(0.075, 0.88), cloth(trousers), "person", (0, side * 0.1, 0.88), turned(0, np.pi + swing))
        )
        parts.append(
            _solid(
                Cylinder(0.045, 0.64),
                cloth(coat),
                "person",
                (0, side * 0.215, 1.42),
                turned(0, np.pi - swing, side * 0.02),
            )
        )
        hand = (np.sin(swing) * 0.66, side * 0.225, 1.42 - np.cos(swing) * 0.66)
        parts.append(_solid(_ball((0.05, 0.035, 0.07)), skin, "person", hand))
        parts.append(_solid(_ball((0.065, 0.06, 0.07)), cloth(coat), "person", (0, side * 0.2, 1.41)))
        foot = (-np.sin(swing) * 0.88 + 0.06, side * 0.1, 0.05)
        parts.append(_solid(_ball((0.14, 0.055, 0.055)), cloth((0.03, 0.025, 0.02)), "person", foot))
    return parts


def house(
    rng: np.random.Generator, wall: Textured, *, width: float, depth: float, storeys: int, frame: Color, band: Color
) -> list[Solid]:
    """A house with a gabled roof; its front looks along -y and stands on y = 0."""
    storey = 2.9
    height = 0.45 + storeys * storey + 0.3
    rise = 0.32 * depth + 0.6
    pitch = width / max(2, round(width / 2.6))
    door = tuple(float(c) for c in rng.choice([(0.16, 0.05, 0.03), (0.03, 0.09, 0.06), (0.04, 0.06, 0.13)]))
    front = HouseFront(
        wall,
        width,
        depth,
        storeys,
        storey,
        pitch,
        (1.15, 1.5),
        frame,
        (door[0], door[1], door[2]),
        band,
        int(rng.integers(99)),
    )
    body = Convex.box((-width / 2, 0, 0), (width / 2, depth, height))
    roof = Convex.box((-width / 2 - 0.05, -0.4, height), (width / 2 + 0.05, depth + 0.4, height + rise))
    slope = (0.0, -rise, depth / 2 + 0.4)
    roof = roof.cut(slope, (0, -0.4, height + 0.12)).cut((0, rise, depth / 2 + 0.4), (0, depth + 0.4, height + 0.12))
    parts = [
        _solid(body, Painted(front), "building"),
        _solid(roof, Textured(roof_tiles(), stain=0.15, tint=_shade(rng)), "building"),
        _solid(Cylinder(0.055, height), metal((0.3, 0.31, 0.32)), "building", (width / 2 - 0.12, -0.07, 0)),
        _solid(
            Convex.box((-0.9, -0.7, 0), (0.9, 0, 0.18)),
            Textured(reference((0.38, 0.37, 0.35), 5)),
            "building",
            (pitch / 2, 0, 0),
        ),
    ]
    stack = (float(rng.uniform(-0.3, 0.3)) * width, depth * 0.55, height + 0.4 * rise)
    parts.append(
        _solid(
            Convex.box((-0.4, -0.3, 0), (0.4, 0.3, 0.6 * rise + 0.9)),
            Textured(reference((0.3, 0.17, 0.12), 6)),
            "building",
            stack,
        )
    )
    return parts


def _shade(rng: np.random.Generator) -> Color:
    r, g, b = (float(v) for v in rng.uniform(0.65, 1.15) * rng.uniform(0.9, 1.1, 3))
    return r, g, b
