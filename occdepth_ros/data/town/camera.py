"""What a camera makes of light: lens, exposure, colour, noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.data.town.raster import Array


@dataclass(frozen=True)
class Film:
    """A camera's setting, shared by both cameras of a rig but for small differences.

    Args:
        exposure: factor on linear light.
        gamma: of the encoding.
        contrast: strength of an S curve, 0..1.
        saturation: 1 leaves colours as they are.
        cast: factors on red, green, blue, `[3]`.
        vignette: loss of light in the corners, 0..1.
        blur: of the lens, pixels.
        noise: deviation in the dark, grey levels.
    """

    exposure: float
    gamma: float
    contrast: float
    saturation: float
    cast: Array
    vignette: float
    blur: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Film:
        """A random one around KITTI's: hard contrast, highlights blown out."""
        return cls(
            exposure=float(np.exp(rng.normal(0.1, 0.3))),
            gamma=float(rng.uniform(1.7, 2.3)),
            contrast=float(rng.uniform(0.0, 0.6)),
            saturation=float(rng.uniform(0.75, 1.3)),
            cast=np.asarray(np.exp(rng.normal(0, 0.05, 3)), np.float32),
            vignette=float(rng.uniform(0.0, 0.3)),
            blur=float(rng.uniform(0.35, 0.8)),
            noise=float(rng.uniform(0.8, 3.0)),
        )

    def develop(self, linear: Array, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """A picture from linear light, `[H, W, 3]` RGB."""
        height, width = linear.shape[:2]
        x = cv2.GaussianBlur(np.minimum(linear, 4), (5, 5), self.blur)
        v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        x *= (np.float32(self.exposure) * (1 - self.vignette * (0.7 * u * u + 0.3 * v * v)))[..., None] * self.cast
        x = np.clip(x, 0, 1) ** np.float32(1 / self.gamma)
        x += np.float32(self.contrast) * (x * x * (3 - 2 * x) - x)
        grey = x.mean(axis=2, keepdims=True)
        x = grey + np.float32(self.saturation) * (x - grey)
        noisy = 255 * x + np.float32(self.noise) * rng.standard_normal(x.shape, np.float32) * (0.6 + 0.4 * x)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
