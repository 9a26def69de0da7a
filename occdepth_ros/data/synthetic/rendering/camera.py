"""Model of a camera: lens, exposure, colour, noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.data.synthetic.rendering.camera_view import Array


@dataclass(frozen=True)
class CameraResponse:
    """Settings of the cameras of a rig.

    Args:
        brightness: target mean of the encoded image, 0..1.
        black: black level of the sensor, 0..1.
        gamma: exponent of the encoding.
        contrast: strength of an S curve, 0..1.
        saturation: factor on chroma; 1 = unchanged.
        cast: colour cast, factors on red, green, blue, `[3]`.
        vignette: loss of light in the corners, 0..1.
        blur: blur of the lens, pixels.
        noise: standard deviation in dark areas, grey levels.
    """

    brightness: float
    black: float
    gamma: float
    contrast: float
    saturation: float
    cast: Array
    vignette: float
    blur: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> CameraResponse:
        """Draw random settings around those of KITTI: high contrast, clipped highlights."""
        return cls(
            brightness=float(rng.normal(0.36, 0.05)),
            black=float(rng.uniform(0.0, 0.09)),
            gamma=float(rng.uniform(1.7, 2.3)),
            contrast=float(rng.uniform(0.0, 0.7)),
            saturation=float(rng.uniform(0.75, 1.3)),
            cast=np.asarray(np.exp(rng.normal(0, 0.05, 3)), np.float32),
            vignette=float(rng.uniform(0.0, 0.3)),
            blur=float(rng.uniform(0.3, 0.65)),
            noise=float(rng.uniform(0.8, 3.0)),
        )

    def exposure(self, linear: Array) -> float:
        """Return the factor on linear light that yields the target brightness, 0.15 to 6."""
        sample = np.asarray(linear[::6, ::6], np.float32)
        low, high = 0.15, 6.0
        for _ in range(8):
            middle = (low * high) ** 0.5
            mean = self._encoded(np.asarray(sample * np.float32(middle), np.float32)).mean()
            low, high = (middle, high) if mean < self.brightness else (low, middle)
        return float((low * high) ** 0.5)

    def _encoded(self, x: Array) -> Array:
        x = np.asarray(np.clip(x, 0, 1) ** np.float32(1 / self.gamma), np.float32)
        x = np.maximum((x - np.float32(self.black)) / np.float32(1 - self.black), 0)
        return np.asarray(x + np.float32(self.contrast) * (x * x * (3 - 2 * x) - x), np.float32)

    def develop(self, linear: Array, exposure: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Develop an image `[H, W, 3]` RGB from linear light."""
        height, width = linear.shape[:2]
        x = cv2.GaussianBlur(np.minimum(linear, 4), (5, 5), self.blur)
        v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        x *= (np.float32(exposure) * (1 - self.vignette * (0.7 * u * u + 0.3 * v * v)))[..., None] * self.cast
        x = self._encoded(np.asarray(x, np.float32))
        grey = x.mean(axis=2, keepdims=True)
        x = grey + np.float32(self.saturation) * (x - grey)
        noisy = 255 * x + np.float32(self.noise) * rng.standard_normal(x.shape, np.float32) * (0.6 + 0.4 * x)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
