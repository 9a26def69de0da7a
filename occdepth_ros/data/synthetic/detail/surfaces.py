"""Visible points of solids in the frames of the solids, for the detailed colours of the sample drive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.synthetic.rendering.texture import smooth_noise
from occdepth_ros.data.synthetic.scene.solids import Block, Paint, World

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Color = tuple[float, float, float]
BLACK: Color = (0.02, 0.02, 0.02)
PANE: Color = (0.022, 0.028, 0.033)
GLASS, LACQUER = 0.55, 0.3
"""Share of mirrored light at a right angle."""


@dataclass(frozen=True)
class Surface:
    """Visible points of solids, in the frames of the solids (x forward or along the front, z up).

    Args:
        solid: indices of the solids, `[N]`.
        local, normal: points (metres) and unit normals, `[3, N]`.
        lower, upper: extent of the solid, metres, `[3, N]`.
        shape: height of the walls of a house, rear slope of a car's cabin, `[N]`.
        color: base colours, linear RGB, `[N, 3]`.
        label: class ids, `[N]`.
        footprint: width of a pixel on the surface, metres, `[N]`.
    """

    solid: npt.NDArray[np.int32]
    local: Array
    normal: Array
    lower: Array
    upper: Array
    shape: Array
    color: Array
    label: npt.NDArray[np.uint8]
    footprint: Array


class SurfaceTables:
    """Frames and extents of all solids of a world, by index."""

    def __init__(self, world: World) -> None:
        solids = world.solids
        self.rotation = np.array([s.rotation for s in solids], np.float32).reshape(-1, 3, 3)
        self.origin = np.array([s.translation if isinstance(s, Block) else s.center for s in solids], np.float32)
        extents = [extent(s) if isinstance(s, Block) else (-np.array(s.radii), np.array(s.radii)) for s in solids]
        self.lower, self.upper = (np.array([e[k] for e in extents], np.float32).reshape(-1, 3) for k in (0, 1))
        self.shape = np.array([_shape(s) if isinstance(s, Block) else 0.0 for s in solids], np.float32)
        self.color, self.label, self.paint = world.colors(), world.labels(), world.paints()

    def surface(self, solid: npt.NDArray[np.int32], points: Array, normals: Array, footprint: Array) -> Surface:
        """Return points and normals, `[3, N]` each, of the solids with these indices, in the frames of the solids."""
        rotation = self.rotation[solid]
        return Surface(
            solid,
            np.einsum("nji,jn->in", rotation, points - self.origin[solid].T),
            np.einsum("nji,jn->in", rotation, normals),
            self.lower[solid].T,
            self.upper[solid].T,
            self.shape[solid],
            self.color[solid],
            self.label[solid],
            footprint,
        )


def extent(block: Block) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the lower and upper corner of a block's box in its own frame, metres, `[3]` each."""
    offsets = block.planes[:6, 3] - block.planes[:6, :3] @ block.translation
    return -offsets[3:], offsets[:3]


def _shape(block: Block) -> float:
    if block.paint not in (Paint.FACADE, Paint.GLASSHOUSE) or len(block.planes) < 8:
        return 0.0
    normals = block.planes[:, :3] @ block.rotation
    if block.paint is Paint.GLASSHOUSE:
        return float(-normals[7, 2] / normals[7, 0])
    offset = float(block.planes[6, 3] - block.planes[6, :3] @ block.translation) / normals[6, 2]
    return float(offset - abs(normals[6, 0] / normals[6, 2]) * extent(block)[1][0])


def blend(colors: Array, where: npt.NDArray[np.floating] | Mask, color: Color | Array) -> None:
    """Paint a colour over `colors` `[N, 3]`, in place, with coverage `where` `[N]` in 0..1."""
    cover = np.asarray(where, np.float32)[:, None]
    colors += cover * (np.asarray(color, np.float32) - colors)


def stripe(distance: npt.NDArray[np.floating], half: float, footprint: Array) -> Array:
    """Return the coverage of pixels by a stripe, `[N]` in 0..1.

    Args:
        distance: `[N]`, from the middle of the stripe, metres.
        half: half of its width, metres.
        footprint: `[N]`, width of a pixel on the surface, metres.
    """
    return np.asarray(np.clip((half - distance) / np.maximum(footprint, 0.004) + 0.5, 0, 1), np.float32)


def grained(s: Surface, u: Array, v: Array, fine: float, broad: float) -> Array:
    """Return the base colours `[N, 3]` with noise of fine and broad grain, whose strengths are shares of the colour."""
    u, v = u + np.float32(3.7) * s.solid, v + np.float32(1.3) * s.solid
    grain = fine * smooth_noise(u, v, 0.012, s.footprint) + broad * smooth_noise(v, u, 0.1, s.footprint)
    return np.asarray(s.color * np.clip(1 + grain, 0.2, 3)[:, None], np.float32)


def face_coordinates(s: Surface) -> tuple[Array, Array]:
    """Return coordinates on faces of boxes, `[N]` metres each: along the face, and height (depth on level faces)."""
    axis = np.abs(s.normal).argmax(axis=0)
    return np.where(axis == 0, s.local[1], s.local[0]), np.where(axis == 2, s.local[1], s.local[2])


def sign_kind(color: Array) -> npt.NDArray[np.int64]:
    """Return the kinds of signs of base colours `[N, 3]`: 0 red, 1 blue, 2 yellow, 3 grey; `[N]`."""
    red, green, blue = color.T
    grey = (red - blue) ** 2 + (red - green) ** 2 < 0.01
    return np.where(grey, 3, np.where(blue > red, 1, np.where(green > 0.2, 2, 0)))
