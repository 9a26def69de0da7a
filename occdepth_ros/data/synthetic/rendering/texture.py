"""Repeatable patterns on surfaces, filtered to the width of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
SIZE = 256
LEVELS = 7
LEAF = 0.07
"""Edge of a gap between leaves, metres, unless a pixel is wider."""


@cache
def noise_levels() -> Array:
    """Return tileable noise of unit deviation at all scales, `[LEVELS, SIZE, SIZE]`; each level doubles the blur."""
    rng = np.random.default_rng(20)
    f = np.fft.fftfreq(SIZE) * SIZE
    radius = np.maximum(np.hypot(f[:, None], f[None, :]), 1.0)
    spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) / radius**0.75
    spectrum[0, 0] = 0
    levels = []
    for level in range(LEVELS):
        blur = np.exp(-0.5 * (radius / (SIZE * 0.35 / 2**level)) ** 2) if level else 1.0
        levels.append(np.fft.ifft2(spectrum * blur).real)
    out = np.stack(levels)
    return np.asarray(out / out[0].std(), np.float32)


def noise(u: Array, v: Array, texel: float, footprint: Array) -> Array:
    """Return noise at surface coordinates, filtered to the width of a pixel; mean 0, in the shape of u.

    Args:
        u, v: coordinates on the surface, metres.
        texel: width of a texel, metres.
        footprint: width of a pixel on the surface, metres, with the shape of u.
    """
    level = np.clip(np.log2(np.maximum(footprint, 1e-4) / texel) + 1, 0, LEVELS - 1).astype(np.int32)
    i = np.floor(u * np.float32(1 / texel)).astype(np.int32) & (SIZE - 1)
    j = np.floor(v * np.float32(1 / texel)).astype(np.int32) & (SIZE - 1)
    return noise_levels().reshape(-1)[(level * SIZE + j) * SIZE + i]


def smooth_noise(u: Array, v: Array, texel: float, footprint: Array) -> Array:
    """Return noise as `noise` does, `[N]`, with bilinear interpolation between texels."""
    level = np.clip(np.log2(np.maximum(footprint, 1e-4) / texel) + 1, 0, LEVELS - 1).astype(np.int32)
    out = np.zeros(u.shape, np.float32)
    for k in np.unique(level):
        at = np.flatnonzero(level == k)
        rows = -(-at.size // 512)
        table = np.zeros((2, rows * 512), np.float32)
        table[:, : at.size] = np.mod(np.stack([u[at], v[at]]) / texel, SIZE)
        x, y = table.reshape(2, rows, 512)
        found = cv2.remap(noise_levels()[k], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        out[at] = found.ravel()[: at.size]
    return out


@cache
def _gaps() -> npt.NDArray[np.uint8]:
    """Return smooth noise, uniformly distributed over 0..255, `[64, 64, 64]`."""
    rng = np.random.default_rng(21)
    cube = rng.standard_normal((64, 64, 64)).astype(np.float32)
    for axis in range(3):
        cube = cube + np.roll(cube, 1, axis)
    rank = np.empty(cube.size, np.int64)
    rank[np.argsort(cube, axis=None)] = np.arange(cube.size)
    return (rank * 256 // cube.size).astype(np.uint8).reshape(cube.shape)


def leaf_gaps(points: Sequence[Array], depth: Array, ball: int, centrality: Array) -> Mask:
    """Return whether a ray passes between leaves, `[N]`: rarely in the centre of a ball (`centrality` 1), often at its
    rim.
    """
    level = np.clip(np.ceil(np.log2(np.maximum(depth, np.float32(1)) / 22.0)), -1, 4)
    scale = (np.float32(1 / LEAF) * np.exp2(-level)).astype(np.float32)
    i, j, k = (np.floor(p * scale).astype(np.int32) & 63 for p in points)
    return np.asarray(_gaps()[(i + 17 * ball) & 63, j, k] > 40 + 190 * np.minimum(centrality * np.float32(1.3), 1))


def slat_gaps(points: npt.NDArray[np.float64]) -> Mask:
    """Return whether a ray passes between boards of a fence along x, `[N]`; points `[3, N]` in the fence's frame."""
    return np.asarray(np.mod(points[0], 0.16) > 0.115)


def mesh_gaps(points: npt.NDArray[np.float64]) -> Mask:
    """Return whether a ray passes through a wire fence along x, `[N]`; points `[3, N]` in the frame of the fence."""
    return np.asarray((np.mod(points[0], 0.1) > 0.03) & (np.mod(points[2], 0.2) > 0.03))


def scatter(*numbers: npt.ArrayLike) -> Array:
    """Return a pseudo-random number in 0..1 for each tuple of integers, in the broadcast shape of `numbers`."""
    mixed = np.zeros(1, np.uint32)
    for n in numbers:
        mixed = (mixed ^ (np.asarray(n).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)) * np.uint32(0x9E3779B1)
        mixed ^= mixed >> np.uint32(15)
    return (mixed.astype(np.float32) / np.float32(2**32)).astype(np.float32)
