"""Convex blocks and ellipsoids with a class and a paint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.classes import SEMANTIC_KITTI

LABEL = {name: label for label, name in enumerate(SEMANTIC_KITTI.names)}
Color = tuple[float, float, float]
Triple = tuple[float, float, float]
_CHOICE = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T


class Paint(IntEnum):
    """Pattern of a surface on top of its base colour."""

    UNIFORM = 0
    FACADE = 1
    GLASSHOUSE = 2
    FOLIAGE = 3
    SLATS = 4
    SIGN = 5
    GLOSS = 6
    TILES = 7
    STONE = 8
    MESH = 9


@dataclass(frozen=True)
class Block:
    """The intersection of half-spaces n . x <= c.

    Args:
        planes: rows (nx, ny, nz, c) with unit normals, `[K, 4]`.
        corners: corners of an enclosing box, `[8, 3]`.
        label: class id.
        color: linear RGB.
        paint: pattern on the surface.
        rotation: rotation from the block's own frame, `[3, 3]`.
        translation: origin of the block's own frame, `[3]`.
        half: half of the smallest thickness, metres.
    """

    planes: Matrix
    corners: Matrix
    label: int
    color: Color
    paint: Paint
    rotation: Matrix
    translation: Matrix
    half: float


@dataclass(frozen=True)
class Ball:
    """An ellipsoid.

    Args:
        center: `[3]` metres.
        radii: half axes, metres.
        label, color, paint, rotation: as for a block.
    """

    center: Matrix
    radii: Triple
    label: int
    color: Color
    paint: Paint
    rotation: Matrix


Part = Block | Ball


def box(
    name: str,
    lower: Triple,
    upper: Triple,
    color: Color,
    paint: Paint = Paint.UNIFORM,
    cuts: Sequence[tuple[Triple, Triple]] = (),
) -> Block:
    """Build an axis-aligned box clipped by the planes `cuts` (outward normal, a point on the plane)."""
    low, high = np.array(lower), np.array(upper)
    planes = np.zeros((6 + len(cuts), 4))
    planes[[0, 1, 2], [0, 1, 2]], planes[:3, 3] = 1, high
    planes[[3, 4, 5], [0, 1, 2]], planes[3:6, 3] = -1, -low
    for row, (normal, through) in enumerate(cuts, 6):
        n = np.array(normal) / np.linalg.norm(normal)
        planes[row] = *n, n @ np.array(through)
    corners = np.where(_CHOICE == 0, low, high)
    return Block(planes, corners, LABEL[name], color, paint, np.eye(3), np.zeros(3), float((high - low).min()) / 2)


def post(name: str, radius: float, height: float, color: Color, at: Triple = (0.0, 0.0, 0.0)) -> Block:
    """Build an upright octagonal prism."""
    d = radius / np.sqrt(0.5)
    cuts: list[tuple[Triple, Triple]] = [((a, b, 0.0), (a * d / 2, b * d / 2, 0.0)) for a in (-1, 1) for b in (-1, 1)]
    block = box(name, (-radius, -radius, 0.0), (radius, radius, height), color, cuts=cuts)
    (at_place,) = placed([block], 0.0, at)
    assert isinstance(at_place, Block)
    return at_place


def ball(name: str, center: Triple, radii: Triple, color: Color, paint: Paint = Paint.UNIFORM) -> Ball:
    """Build an ellipsoid with its axes along x, y, z."""
    return Ball(np.array(center), radii, LABEL[name], color, paint, np.eye(3))


def placed(parts: Sequence[Part], yaw: float, at: Triple, climb: float = 0.0) -> list[Part]:
    """Return the parts, inclined along x by `climb` (rise over run), rotated by `yaw` about z, then translated."""
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    if climb:
        a, b = np.cos(np.arctan(climb)), np.sin(np.arctan(climb))
        rotation = rotation @ np.array([[a, 0.0, -b], [0.0, 1.0, 0.0], [b, 0.0, a]])
    return moved(parts, rotation, np.array(at))


def moved(parts: Sequence[Part], rotation: Matrix, translation: Matrix) -> list[Part]:
    """Return the parts rotated by `rotation` `[3, 3]`, then translated by `translation` `[3]`, metres."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, Ball):
            out.append(replace(part, center=rotation @ part.center + translation, rotation=rotation @ part.rotation))
            continue
        normals = part.planes[:, :3] @ rotation.T
        planes = np.column_stack([normals, part.planes[:, 3] + normals @ translation])
        out.append(
            replace(
                part,
                planes=planes,
                corners=part.corners @ rotation.T + translation,
                rotation=rotation @ part.rotation,
                translation=rotation @ part.translation + translation,
            )
        )
    return out


@dataclass(frozen=True)
class World:
    """All solids of a scene and tables of their properties: the blocks come first, then the balls.

    Args:
        blocks, balls: the solids.
    """

    blocks: Sequence[Block]
    balls: Sequence[Ball]
    corners: Matrix = field(init=False)
    """Corners of the enclosing boxes, `[N, 8, 3]`."""
    centers: Matrix = field(init=False)
    """Centres of the balls, `[B, 3]`."""
    spheres: Matrix = field(init=False)
    """World offsets from a ball's centre to its unit sphere, `[B, 3, 3]`."""

    def __post_init__(self) -> None:
        centers = np.array([b.center for b in self.balls]).reshape(-1, 3)
        radii = np.array([b.radii for b in self.balls]).reshape(-1, 3)
        rotations = np.array([b.rotation for b in self.balls]).reshape(-1, 3, 3)
        spheres = rotations.transpose(0, 2, 1) / radii[:, :, None]
        reach = np.sqrt(((rotations * radii[:, None, :]) ** 2).sum(axis=2))
        round_corners = centers[:, None] + (2 * _CHOICE - 1)[None] * reach[:, None]
        flat_corners = np.array([b.corners for b in self.blocks]).reshape(-1, 8, 3)
        object.__setattr__(self, "centers", centers)
        object.__setattr__(self, "spheres", spheres)
        object.__setattr__(self, "corners", np.concatenate([flat_corners, round_corners]))

    @classmethod
    def of(cls, parts: Sequence[Part]) -> World:
        """Sort parts into blocks and balls."""
        return cls([p for p in parts if isinstance(p, Block)], [p for p in parts if isinstance(p, Ball)])

    @property
    def solids(self) -> list[Part]:
        """Blocks, then balls: the order of all indices."""
        return [*self.blocks, *self.balls]

    def colors(self) -> npt.NDArray[np.float32]:
        """Return the base colours, `[N, 3]`."""
        return np.array([s.color for s in self.solids], np.float32).reshape(-1, 3)

    def paints(self) -> npt.NDArray[np.int64]:
        """Return the paints, `[N]`."""
        return np.array([s.paint for s in self.solids], np.int64)

    def labels(self) -> npt.NDArray[np.uint8]:
        """Return the class ids, `[N]`."""
        return np.array([s.label for s in self.solids], np.uint8)
