"""What a street is made of: solids with a class and a material, some of them moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.street.shapes import Array, Mask, Shape


@dataclass(frozen=True)
class Look:
    """How surface points reflect light.

    Args:
        albedo: `[N, 3]` linear RGB in 0..1.
        gloss: `[N]` share of mirrored sky at a right angle, 0..1.
        bump: `[3, N]` added to the normal, None = smooth.
    """

    albedo: Array
    gloss: Array
    bump: Array | None = None


class Material(Protocol):
    """The appearance of a solid, as a function of the place on it."""

    def look(self, points: Array, normals: Array, footprint: Array) -> Look:
        """Reflection at points of the surface.

        Args:
            points, normals: `[3, N]` in the solid's own frame.
            footprint: `[N]` width of an image sample on the surface, metres.
        """

    def keeps(self, points: Array) -> Mask | None:
        """Which points of the surface exist, `[N]`; None = all (leaves and fences have holes)."""


@dataclass(frozen=True)
class Solid:
    """One shape somewhere.

    Args:
        shape: in its own frame.
        material: in the same frame.
        label: class id.
        rotation: `[3, 3]` own frame to world.
        position: `[3]` of the own frame's origin, metres.
        ground: whether only its top layer counts as occupied, as in labels made from LiDAR.
    """

    shape: Shape
    material: Material
    label: int
    rotation: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    position: Array = field(default_factory=lambda: np.zeros(3, np.float32))
    ground: bool = False

    def moved(self, rotation: Array, position: Array) -> Solid:
        """The solid as part of a body that is turned, then shifted."""
        return replace(
            self,
            rotation=(rotation @ self.rotation).astype(np.float32),
            position=(rotation @ self.position + position).astype(np.float32),
        )

    def to_local(self, points: Array) -> Array:
        """World points `[3, N]` in the own frame."""
        return np.asarray(self.rotation.T @ (points - self.position[:, None]), np.float32)

    @cached_property
    def corners(self) -> Array:
        """The corners of the enclosing box in the world, `[3, 8]`."""
        low, high = self.shape.bounds
        choice = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8)
        local = np.where(choice == 0, low[:, None], high[:, None])
        return np.asarray(self.rotation @ local + self.position[:, None], np.float32)

    @cached_property
    def sphere(self) -> tuple[Array, float]:
        """Centre and radius of an enclosing sphere in the world."""
        low, high = self.shape.bounds
        center = self.rotation @ ((low + high) / 2) + self.position
        return np.asarray(center, np.float32), float(np.linalg.norm(high - low) / 2)


@dataclass(frozen=True)
class Body:
    """Solids that move together.

    Args:
        solids: in the body's frame.
        yaw: heading, radians.
        position: `[3]` at time 0, metres.
        velocity: `[3]`, metres per second.
    """

    solids: Sequence[Solid]
    yaw: float
    position: Sequence[float]
    velocity: Sequence[float] = (0.0, 0.0, 0.0)

    def at(self, time_s: float) -> list[Solid]:
        """The solids in the world at a time."""
        position = np.asarray(self.position, np.float32) + np.float32(time_s) * np.asarray(self.velocity, np.float32)
        turn = turned(self.yaw)
        return [solid.moved(turn, position) for solid in self.solids]


@dataclass(frozen=True)
class Scene:
    """A street: what stands still, and what moves.

    Args:
        still: solids in the world.
        movers: bodies with a velocity.
        sun: unit vector towards the sun, `[3]`.
    """

    still: Sequence[Solid]
    movers: Sequence[Body]
    sun: npt.NDArray[np.float32]

    def at(self, time_s: float) -> list[Solid]:
        """All solids at a time."""
        return [*self.still, *self.moving(time_s)]

    def moving(self, time_s: float) -> list[Solid]:
        """The solids of the movers at a time."""
        return [solid for body in self.movers for solid in body.at(time_s)]


def turned(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Array:
    """Rotation by roll about x, then pitch about y, then yaw about z, `[3, 3]`, radians."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)
