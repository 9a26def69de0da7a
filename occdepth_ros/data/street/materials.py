"""Surfaces of a street: colour, gloss and relief as functions of the place on a solid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from occdepth_ros.data.street.scene import Look
from occdepth_ros.data.street.shapes import Array, Mask
from occdepth_ros.data.street.textures import SIZE, Texture, cells, noise

Color = tuple[float, float, float]


def face_coordinates(points: Array, normals: Array) -> tuple[Array, Array]:
    """Coordinates (u, v) on the face of a box-like solid, `[N]` each, metres; v is height on upright faces."""
    axis = np.abs(normals).argmax(axis=0)
    u = np.where(axis == 0, points[1], points[0])
    v = np.where(axis == 2, points[1], points[2])
    return u, v


@cache
def grain(seed: int, slope: float, low: float, metres: float) -> Texture:
    """A noise texture of unit deviation, made once."""
    return Texture.from_tile(noise(seed, slope=slope, low=low), metres)


@dataclass(frozen=True)
class Textured:
    """A tile repeated over all faces, with stains at a larger scale so that no repetition shows.

    Args:
        texture: colours, `[S, S, 3]`.
        tint: factor per channel.
        stain: strength of the large-scale variation.
        gloss: share of mirrored sky at a right angle.
        bump: strength of relief.
    """

    texture: Texture
    tint: Color = (1.0, 1.0, 1.0)
    stain: float = 0.12
    gloss: float = 0.0
    bump: float = 0.0

    def look(self, points: Array, normals: Array, footprint: Array) -> Look:
        """See `Material`."""
        u, v = face_coordinates(points, normals)
        albedo = self.texture.sample(u, v, footprint) * np.asarray(self.tint, np.float32)
        stain = grain(7, 1.2, 1.0, 23.0).sample(u + 0.3 * v, v - 0.2 * u, footprint)
        albedo = np.clip(albedo * (1 + self.stain * stain), 0.004, 0.95)
        return Look(albedo, np.full(u.size, self.gloss, np.float32), self._relief(u, v, footprint))

    def _relief(self, u: Array, v: Array, footprint: Array) -> Array | None:
        if not self.bump:
            return None
        fine = grain(8, 0.6, 4.0, 1.7)
        relief = np.concatenate([fine.sample(u + s, v + 2 * s, footprint).T for s in (0.0, 0.5, 0.9)])
        return np.float32(self.bump) * relief

    def keeps(self, points: Array) -> Mask | None:
        """See `Material`."""
        return None


@dataclass(frozen=True)
class Leaves:
    """Foliage: light and dark leaves with holes between them.

    Args:
        tint: mean colour.
        holes: share of the surface that is open, 0..1.
        offset: shifts the pattern, so that no two lumps are equal.
        lean: bends the light's normals outwards from the crown, `[3]` in the world.
    """

    tint: Color
    holes: float
    offset: float
    lean: Color = (0.0, 0.0, 0.0)

    def look(self, points: Array, normals: Array, footprint: Array) -> Look:
        """See `Material`."""
        u, v = self._coordinates(points)
        relief = grain(11, 0.3, 14.0, 2.0)
        fine = relief.sample(u, v, footprint)
        clump = grain(12, 0.9, 3.0, 2.5).sample(v, u, footprint)
        light = np.exp(0.3 * fine + 0.22 * clump)
        warm = np.array([0.14, 0.03, -0.08], np.float32) * clump
        albedo = np.clip(np.asarray(self.tint, np.float32) * (1 + warm) * light, 0.004, 0.8).astype(np.float32)
        bump = np.concatenate([relief.sample(u + s, v - s, footprint).T for s in (0.3, 0.7, 1.1)])
        bump = np.float32(0.6) * bump + np.asarray(self.lean, np.float32)[:, None]
        return Look(albedo, np.full(u.size, 0.02, np.float32), bump)

    def keeps(self, points: Array) -> Mask | None:
        """See `Material`."""
        if self.holes <= 0:
            return None
        u, v = self._coordinates(points)
        pattern = grain(13, 0.45, 9.0, 1.9).sample(u, v, np.full(u.size, 0.01, np.float32))[:, 0]
        # a normal distribution in good approximation: the threshold leaves the wanted share
        return np.asarray(pattern > 2.3 * self.holes - 1.15)

    def _coordinates(self, points: Array) -> tuple[Array, Array]:
        u = points[0] + 0.61 * points[2] + self.offset
        v = points[1] - 0.53 * points[2] + 0.37 * points[0] + 1.7 * self.offset
        return u.astype(np.float32), v.astype(np.float32)


@dataclass(frozen=True)
class Slats:
    """Upright boards with gaps: a fence.

    Args:
        surface: the boards' look.
        pitch: distance from board to board along x, metres.
        gap: share of the pitch that is open.
        tip: height of pointed ends, metres, below `height`.
        height: of the fence, metres.
    """

    surface: Textured
    pitch: float
    gap: float
    height: float
    tip: float = 0.06

    def look(self, points: Array, normals: Array, footprint: Array) -> Look:
        """See `Material`: boards differ a little."""
        look = self.surface.look(points, normals, footprint)
        board = np.sin(np.floor(points[0] / self.pitch) * 12.9898) * 43758.5453
        shade = 0.85 + 0.3 * (board - np.floor(board))
        return Look(look.albedo * shade[:, None].astype(np.float32), look.gloss, look.bump)

    def keeps(self, points: Array) -> Mask | None:
        """See `Material`."""
        place = np.mod(points[0] / self.pitch, 1)
        board = place < 1 - self.gap
        middle = np.abs(place / (1 - self.gap) - 0.5) * 2
        return np.asarray(board & (points[2] < self.height - self.tip * middle))


@dataclass(frozen=True)
class Painted:
    """A surface whose colour is a function of the place on it.

    Args:
        paint: (points, normals, footprint) in the solid's frame to albedo `[N, 3]` and gloss `[N]`.
    """

    paint: Callable[[Array, Array, Array], tuple[Array, Array]]

    def look(self, points: Array, normals: Array, footprint: Array) -> Look:
        """See `Material`."""
        albedo, gloss = self.paint(points, normals, footprint)
        return Look(albedo.astype(np.float32), gloss.astype(np.float32))

    def keeps(self, points: Array) -> Mask | None:
        """See `Material`."""
        return None


def _tile(base: Color, *layers: Array) -> Array:
    """A colour tile: the base colour times the sum of 1 and the layers."""
    return np.asarray(base, np.float32) * np.clip(1 + sum(layers), 0.05, 3)[..., None]


@cache
def reference(color: Color, seed: int = 1, contrast: float = 0.05, metres: float = 1.5) -> Texture:
    """A nearly uniform surface: paint, cloth, metal."""
    return Texture.from_tile(_tile(color, contrast * noise(seed, slope=0.8)), metres)


@cache
def asphalt() -> Texture:
    """Dark grains, patches, and hair-line cracks; 4 m tile."""
    crack = np.abs(noise(22, slope=1.3, low=2, high=60)) < 0.018
    tile = _tile((0.155, 0.152, 0.15), 0.2 * noise(20, slope=0.15, low=24), 0.07 * noise(21, slope=1.0), -0.4 * crack)
    return Texture.from_tile(tile, 4.0)


@cache
def paving() -> Texture:
    """Concrete slabs, 2 m tile."""
    stone, tint = cells(5, 5, joint=0.05, seed=30)
    shade = 0.35 * (tint - 0.5) + 0.1 * noise(31, slope=0.3, low=10) + 0.06 * noise(32, slope=1.0)
    return Texture.from_tile(_tile((0.37, 0.355, 0.33), shade - 0.45 * (1 - stone)), 2.0)


@cache
def kerb() -> Texture:
    """Granite kerb stones of one metre, 4 m tile."""
    stone, tint = cells(4, 1, joint=0.01, seed=35)
    return Texture.from_tile(
        _tile((0.46, 0.45, 0.43), 0.12 * (tint - 0.5), 0.14 * noise(36, slope=0.2, low=20), -0.4 * (1 - stone)), 4.0
    )


@cache
def grass() -> Texture:
    """Lawn, 3 m tile."""
    blades, patches = noise(40, slope=0.25, low=20, stretch=1.7), noise(41, slope=1.0)
    tile = _tile((0.105, 0.155, 0.045), 0.3 * blades, 0.2 * patches)
    tile[..., 0] *= np.clip(1 + 0.2 * patches, 0.5, 2)
    return Texture.from_tile(tile, 3.0)


@cache
def brick() -> Texture:
    """A brick wall in running bond, 1.92 m tile."""
    stone, tint = cells(8, 24, joint=0.16, seed=50, shifted=True)
    rough = 0.1 * noise(51, slope=0.4, low=8)
    wall = _tile((0.34, 0.15, 0.095), 0.55 * (tint - 0.5), rough)
    mortar = _tile((0.42, 0.39, 0.35), rough)
    return Texture.from_tile(stone[..., None] * wall + (1 - stone[..., None]) * mortar, 1.92)


@cache
def plaster() -> Texture:
    """Rough white plaster with streaks of rain, 3.1 m tile."""
    streaks = noise(61, slope=0.9, low=3, stretch=7.0)
    return Texture.from_tile(
        _tile((0.72, 0.72, 0.72), 0.05 * noise(60, slope=0.2, low=30), 0.07 * streaks, 0.04 * noise(62, slope=1.1)), 3.1
    )


@cache
def roof_tiles() -> Texture:
    """Clay tiles in rows, 3 m tile."""
    _, tint = cells(14, 10, joint=0.1, seed=70, shifted=True)
    row = np.arange(SIZE)[:, None] / SIZE * 10 % 1
    wave = np.cos(np.arange(SIZE)[None, :] / SIZE * 14 * 2 * np.pi)
    shade = 0.5 * (tint - 0.5) - 0.55 * (row < 0.16) + 0.16 * wave + 0.1 * noise(71, slope=0.6, low=4)
    return Texture.from_tile(_tile((0.3, 0.12, 0.075), shade), 3.0)


@cache
def bark() -> Texture:
    """Bark with upright furrows, 0.9 m tile."""
    return Texture.from_tile(
        _tile((0.16, 0.125, 0.09), 0.4 * noise(80, slope=0.5, low=6, stretch=4.0), 0.15 * noise(81, slope=0.8)), 0.9
    )


@cache
def wood() -> Texture:
    """Weathered boards, 1 m tile."""
    return Texture.from_tile(_tile((0.36, 0.25, 0.155), 0.2 * noise(85, slope=0.6, low=3, stretch=7.0)), 1.0)
