"""Tileable procedural textures with mip levels, and fast filtered look-up."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

SIZE = 512
"""Edge of the finest mip level, texels."""
_ROW = 1024


def noise(seed: int, *, slope: float, low: float = 1.0, high: float = SIZE / 2, stretch: float = 1.0) -> Array:
    """Tileable noise `[SIZE, SIZE]` of zero mean and unit deviation.

    Args:
        seed: equal seeds give equal noise.
        slope: amplitude falls with frequency to this power; 1 is cloud-like, 0 is white.
        low, high: band of frequencies, cycles per tile.
        stretch: above 1, features are longer along v.
    """
    rng = np.random.default_rng(seed)
    fy, fx = np.meshgrid(np.fft.fftfreq(SIZE, 1 / SIZE), np.fft.rfftfreq(SIZE, 1 / SIZE), indexing="ij")
    radius = np.hypot(fx, fy * stretch)
    with np.errstate(divide="ignore"):
        gain = np.where((radius >= low) & (radius <= high), np.maximum(radius, 1e-9) ** -slope, 0)
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * gain
    field = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def cells(columns: int, rows: int, *, joint: float, seed: int, shifted: bool = False) -> tuple[Array, Array]:
    """A tile of rectangular stones.

    Args:
        columns, rows: stones per tile.
        joint: width of joints, share of a stone's height.
        shifted: shift every other row by half a stone, as in a brick wall.

    Returns:
        1 inside stones and 0 in joints, and a random number in 0..1 per stone, both `[SIZE, SIZE]`.
    """
    v, u = np.meshgrid(np.arange(SIZE) / SIZE * rows, np.arange(SIZE) / SIZE * columns, indexing="ij")
    row = np.floor(v).astype(int)
    if shifted:
        u = u + 0.5 * (row % 2)
    column = np.floor(u).astype(int) % columns
    edge_u = np.minimum(u % 1, 1 - u % 1) * rows / columns
    edge_v = np.minimum(v % 1, 1 - v % 1)
    stone = np.clip((np.minimum(edge_u, edge_v) - joint / 2) / (joint / 2) + 0.5, 0, 1)
    tint = np.random.default_rng(seed).random((rows, columns))[row, column]
    return stone.astype(np.float32), tint.astype(np.float32)


@dataclass(frozen=True)
class Texture:
    """A tile with its mip levels.

    Args:
        levels: `[S, S, C]` float32 each, halved from level to level; one texel of margin repeats the tile.
        metres: edge of the tile.
    """

    levels: tuple[Array, ...]
    metres: float

    @classmethod
    def from_tile(cls, tile: Array, metres: float) -> Texture:
        """Build the mip levels of a tile `[SIZE, SIZE]` or `[SIZE, SIZE, 3]`."""
        levels: list[Array] = []
        level: Array = np.reshape(tile, (*tile.shape[:2], -1)).astype(np.float32)
        while level.shape[0] >= 4:
            levels.append(np.ascontiguousarray(np.pad(level, ((0, 1), (0, 1), (0, 0)), mode="wrap")))
            half = level.shape[0] // 2
            level = level.reshape(half, 2, half, 2, -1).mean(axis=(1, 3), dtype=np.float32)
        return cls(tuple(levels), metres)

    def sample(self, u: Array, v: Array, footprint: Array) -> Array:
        """Colours at (u, v), metres, blurred to the footprint, metres; `[N, C]`."""
        finest = self.levels[0].shape[0] - 1
        wanted = np.log2(np.maximum(footprint / self.metres * finest, 1e-6))
        wanted = np.clip(wanted, 0, len(self.levels) - 1.001).astype(np.float32)
        whole = wanted.astype(np.int32)
        u, v = np.mod(u / self.metres, 1).astype(np.float32), np.mod(v / self.metres, 1).astype(np.float32)
        out: Array = np.empty((u.size, self.levels[0].shape[2]), np.float32)
        for i in np.unique(whole):
            at = np.flatnonzero(whole == i)
            part = (wanted[at] - i)[:, None]
            out[at] = (1 - part) * _bilinear(self.levels[i], u[at], v[at]) + part * _bilinear(
                self.levels[i + 1], u[at], v[at]
            )
        return out


def _bilinear(level: Array, u: Array, v: Array) -> Array:
    """Look up at (u, v) in 0..1, `[N, C]`."""
    size = level.shape[0] - 1
    rows = -(-u.size // _ROW)
    grid = np.zeros((2, rows * _ROW), np.float32)
    grid[0, : u.size], grid[1, : u.size] = u * size, v * size
    table = grid.reshape(2, rows, _ROW)
    out = cv2.remap(level, table[0], table[1], cv2.INTER_LINEAR)
    return np.asarray(out, np.float32).reshape(rows * _ROW, -1)[: u.size]
