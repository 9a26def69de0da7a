"""Solid shapes in their own frame: first hit of a ray, normal, inside test.

Arrays of vectors are `[3, N]` float32, so that each component is contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_TINY = np.float32(1e-9)


class Shape(Protocol):
    """A closed solid around the origin of its own frame."""

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner of an enclosing box, `[3]` each."""

    def intersect(self, origin: Array, direction: Array) -> Array:
        """Distance along each ray to where it enters the solid, `[N]`, infinity where it does not.

        Args:
            origin: `[3, 1]` or `[3, N]`, outside the solid.
            direction: `[3, N]`.
        """

    def normal(self, points: Array) -> Array:
        """Outward unit normal at points of the surface, `[3, N]`."""

    def contains(self, points: Array, margin: float = 0.0) -> Mask:
        """Whether points `[3, N]` lie inside the solid grown by `margin` metres (shrunk where negative)."""


@dataclass(frozen=True)
class Convex:
    """The intersection of half-spaces n . x <= c.

    Args:
        planes: rows (nx, ny, nz, c) with unit normals, `[K, 4]`.
        lower, upper: corners of an enclosing box, `[3]`.
    """

    planes: Array
    lower: Array
    upper: Array

    @classmethod
    def box(cls, lower: Sequence[float], upper: Sequence[float]) -> Convex:
        """An axis-aligned box."""
        low, high = np.asarray(lower, np.float32), np.asarray(upper, np.float32)
        planes = np.zeros((6, 4), np.float32)
        planes[[0, 1, 2], [0, 1, 2]], planes[:3, 3] = 1, high
        planes[[3, 4, 5], [0, 1, 2]], planes[3:, 3] = -1, -low
        return cls(planes, low, high)

    def cut(self, normal: Sequence[float], through: Sequence[float]) -> Convex:
        """The part behind the plane with this outward normal through this point."""
        n = np.asarray(normal, np.float32)
        n = n / np.linalg.norm(n)
        plane = np.append(n, n @ np.asarray(through, np.float32)).astype(np.float32)
        return Convex(np.vstack([self.planes, plane]), self.lower, self.upper)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The enclosing box."""
        return self.lower, self.upper

    def intersect(self, origin: Array, direction: Array) -> Array:
        """See `Shape`: the ray is clipped by one half-space after the other."""
        count = direction.shape[1]
        enter, leave = np.zeros(count, np.float32), np.full(count, np.inf, np.float32)
        for nx, ny, nz, c in self.planes:
            slope = nx * direction[0] + ny * direction[1] + nz * direction[2]
            room = c - (nx * origin[0] + ny * origin[1] + nz * origin[2])
            slope = np.where(np.abs(slope) < _TINY, _TINY, slope)
            t = room / slope
            inward = slope < 0
            np.maximum(enter, t, out=enter, where=inward)
            np.minimum(leave, t, out=leave, where=~inward)
        return np.where((enter < leave) & (enter > 0), enter, np.float32(np.inf))

    def normal(self, points: Array) -> Array:
        """See `Shape`: the normal of the plane that the point is nearest to."""
        outside = self.planes[:, :3] @ points - self.planes[:, 3:]
        return np.ascontiguousarray(self.planes[outside.argmax(axis=0), :3].T)

    def contains(self, points: Array, margin: float = 0.0) -> Mask:
        """See `Shape`."""
        inside = np.ones(points.shape[1], bool)
        for nx, ny, nz, c in self.planes:
            inside &= nx * points[0] + ny * points[1] + nz * points[2] <= c + margin
        return inside


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with its axes along x, y, z.

    Args:
        radii: half axes, `[3]`.
    """

    radii: Array

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The enclosing box."""
        return -self.radii, self.radii

    def intersect(self, origin: Array, direction: Array) -> Array:
        """See `Shape`."""
        r = self.radii[:, None]
        o, d = origin / r, direction / r
        a = (d * d).sum(axis=0)
        b = (o * d).sum(axis=0)
        c = (o * o).sum(axis=0) - 1
        root = b * b - a * c
        t = (-b - np.sqrt(np.maximum(root, 0))) / a
        return np.where((root > 0) & (t > 0), t, np.float32(np.inf))

    def normal(self, points: Array) -> Array:
        """See `Shape`."""
        n = points / (self.radii**2)[:, None]
        return np.asarray(n / np.linalg.norm(n, axis=0), np.float32)

    def contains(self, points: Array, margin: float = 0.0) -> Mask:
        """See `Shape`; grown by changing the half axes."""
        r = np.maximum(self.radii + np.float32(margin), 1e-3)[:, None]
        return np.asarray(((points / r) ** 2).sum(axis=0) <= 1)


@dataclass(frozen=True)
class Cylinder:
    """A cylinder from z = 0 to `height` around the z axis.

    Args:
        radius, height: metres.
    """

    radius: float
    height: float
    _bounds: tuple[Array, Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        r = self.radius
        bounds = (np.array([-r, -r, 0], np.float32), np.array([r, r, self.height], np.float32))
        object.__setattr__(self, "_bounds", bounds)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The enclosing box."""
        return self._bounds

    def intersect(self, origin: Array, direction: Array) -> Array:
        """See `Shape`: the overlap of the ray's parts in the endless cylinder and between the caps."""
        a = np.maximum(direction[0] ** 2 + direction[1] ** 2, _TINY)
        b = origin[0] * direction[0] + origin[1] * direction[1]
        c = origin[0] ** 2 + origin[1] ** 2 - np.float32(self.radius**2)
        root = b * b - a * c
        half = np.sqrt(np.maximum(root, 0))
        dz = np.where(np.abs(direction[2]) < _TINY, _TINY, direction[2])
        low, high = -origin[2] / dz, (np.float32(self.height) - origin[2]) / dz
        enter = np.maximum((-b - half) / a, np.minimum(low, high))
        leave = np.minimum((-b + half) / a, np.maximum(low, high))
        return np.where((root > 0) & (enter < leave) & (enter > 0), enter, np.float32(np.inf))

    def normal(self, points: Array) -> Array:
        """See `Shape`."""
        rim = np.hypot(points[0], points[1])
        top, bottom, side = points[2] - self.height, -points[2], rim - self.radius
        n = np.stack([points[0], points[1], np.zeros_like(rim)]) / np.maximum(rim, _TINY)
        cap = np.maximum(top, bottom) > side
        n[:2, cap] = 0
        n[2, cap] = np.where(top > bottom, 1, -1)[cap]
        return np.asarray(n, np.float32)

    def contains(self, points: Array, margin: float = 0.0) -> Mask:
        """See `Shape`."""
        radial = points[0] ** 2 + points[1] ** 2 <= max(self.radius + margin, 0.0) ** 2
        return np.asarray(radial & (points[2] >= -margin) & (points[2] <= self.height + margin))
