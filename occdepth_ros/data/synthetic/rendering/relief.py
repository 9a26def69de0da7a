"""Intersection of rays with the ground: a coarse march along the rays, then Newton steps at every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.data.synthetic.rendering.camera_view import Array, CameraView
from occdepth_ros.data.synthetic.rendering.raster import Hits
from occdepth_ros.data.synthetic.scene.ground import Ground

BACKDROP_M = 260.0
"""Distance of the backdrop, metres."""
_COLUMNS, _ROWS = 6, 2
_STEPS = np.geomspace(2.0, BACKDROP_M, 64)


@dataclass(frozen=True)
class Backdrop:
    """Woods and hills at the horizon, `BACKDROP_M` metres away.

    Args:
        rise: tangent of the elevation by azimuth over the full circle, `[N]`.
    """

    rise: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Backdrop:
        """Draw a random backdrop: hills with the tops of trees."""
        n = 2048
        waves = np.fft.rfft(rng.standard_normal(n))
        k = np.arange(waves.size) + 1.0
        hills, tops = (np.fft.irfft(waves * np.exp(-k / scale) / k**0.5, n) for scale in (12.0, 220.0))
        rise = rng.uniform(0.0, 0.05) + rng.uniform(0.01, 0.04) * hills / hills.std()
        rise = rise + rng.uniform(0.004, 0.015) * (tops - hills) / (tops - hills).std()
        return cls(np.asarray(np.clip(rise, -0.01, 0.16), np.float32))

    def covers(self, direction: Array) -> npt.NDArray[np.bool_]:
        """Return whether rays `[3, ...]` end on the backdrop."""
        azimuth = np.arctan2(direction[1], direction[0]) * np.float32(self.rise.size / (2 * np.pi))
        level = np.hypot(direction[0], direction[1])
        return np.asarray(direction[2] < self.rise[azimuth.astype(np.int32) % self.rise.size] * level)


def add_ground(view: CameraView, hits: Hits, ground: Ground, backdrop: Backdrop) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Combine the first hits with solids, ground and backdrop.

    Returns:
        inverse depth `[H, W]`, 0 in the sky; and the mask of pixels that show ground or backdrop instead of a solid,
        `[H, W]`.
    """
    d = view.directions()
    o = view.origin.astype(np.float32)
    t = _march(ground, o, d)
    for _ in range(4):
        x, y, z = (o[i] + d[i] * t for i in range(3))
        gap = z - ground.height(x, y)
        ahead = t * np.float32(1.002) + np.float32(0.02)
        rise = o[2] + d[2] * ahead - ground.height(o[0] + d[0] * ahead, o[1] + d[1] * ahead) - gap
        rate = np.minimum(rise / (ahead - t), np.float32(-2e-3))
        t = np.clip(t - gap / rate, t * np.float32(0.8), t * np.float32(1.25))
    gap = np.abs(o[2] + d[2] * t - ground.height(o[0] + d[0] * t, o[1] + d[1] * t))
    hit = (gap < 0.03 + 0.002 * t) & (t < BACKDROP_M)
    w = np.where(hit, 1 / t, np.where(backdrop.covers(d), np.float32(1 / BACKDROP_M), 0)).astype(np.float32)
    return np.maximum(hits.w, w), (w >= hits.w) & (w > 0)


def _march(ground: Ground, origin: Array, directions: Array) -> Array:
    """Return the initial estimate of the depth at every pixel, `[H, W]`."""
    height, width = directions.shape[1:]
    coarse = directions[:, ::_ROWS, ::_COLUMNS]
    steps = _STEPS.astype(np.float32)[:, None, None]
    x, y, z = (origin[i] + coarse[i] * steps for i in range(3))
    gap = z - ground.height(x, y)
    below = gap < 0
    first = np.where(below.any(axis=0), below.argmax(axis=0), len(_STEPS) - 1).clip(1)
    before, after = (np.take_along_axis(gap, k[None], axis=0)[0] for k in (first - 1, first))
    part = np.clip(before / np.where(before > after, before - after, 1), 0, 1)
    t = (_STEPS[first - 1] + part * (_STEPS[first] - _STEPS[first - 1])).astype(np.float32)
    rows = (np.arange(height, dtype=np.float32) / _ROWS)[:, None] + np.zeros((1, width), np.float32)
    columns = (np.arange(width, dtype=np.float32) / _COLUMNS)[None, :] + np.zeros((height, 1), np.float32)
    inverse = cv2.remap(1 / t, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(1 / inverse, np.float32)
