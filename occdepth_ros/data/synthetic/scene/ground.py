"""The ground: strips along a winding, climbing street, side streets across it, and the land next to it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix
from occdepth_ros.data.synthetic.scene.solids import LABEL

Array = npt.NDArray[np.float32]
WEST, EAST, SIDE = -24.0, 168.0, 64.0
"""x range and greatest |y| of the tables, metres; beyond them the last value is repeated."""
STEP = 0.5


@dataclass(frozen=True)
class Crossing:
    """A side street that joins the main street at a right angle.

    Args:
        x: position of its middle line along the main street, metres.
        half: half width of its carriageway, metres.
        walk: width of its sidewalks, metres.
        left, right: whether it joins on this side.
    """

    x: float
    half: float
    walk: float
    left: bool
    right: bool


@dataclass(frozen=True)
class Ground:
    """Class and height of the ground.

    Args:
        line: y of the street's middle line every STEP metres from WEST, `[N]`.
        heights: heights, metres, every STEP along x and y from (WEST, -SIDE), `[N, M]`.
        edges: distances from the middle where a strip ends, metres, positive to the left, sorted.
        labels: class of each strip, one more than edges.
        half: half width of the carriageway, metres.
        crossings: side streets.
    """

    line: Matrix
    heights: Array
    edges: tuple[float, ...]
    labels: tuple[int, ...]
    half: float
    crossings: tuple[Crossing, ...]

    def middle(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return y of the middle line at `x`, metres, in the shape of x."""
        return np.asarray(np.interp(np.asarray(x, np.float64), WEST + STEP * np.arange(len(self.line)), self.line))

    def heading(self, x: float) -> float:
        """Return the direction of the street at `x` (metres), radians."""
        return float(np.arctan2(self.middle(x + 1) - self.middle(x - 1), 2.0))

    def across(self, x: Array, y: Array) -> Array:
        """Return the distance of points from the middle line, positive to the left, metres, in the shape of x."""
        at = np.clip((np.asarray(x, np.float32) - np.float32(WEST)) / np.float32(STEP), 0, len(self.line) - 1.001)
        i = at.astype(np.int32)
        line = self.line.astype(np.float32)
        slope = np.diff(line, append=line[-1:]) / np.float32(STEP)
        return np.asarray((y - line[i] - slope[i] * STEP * (at - i)) / np.sqrt(1 + slope[i] ** 2), np.float32)

    def height(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """Return z of the ground at `x`, `y`, metres, in the shape of x."""
        u = ((np.asarray(x, np.float32) - np.float32(WEST)) / np.float32(STEP)).astype(np.float32)
        v = ((np.asarray(y, np.float32) + np.float32(SIDE)) / np.float32(STEP)).astype(np.float32)
        shape = u.shape
        # OpenCV maps at most 32767 rows
        flat = -(-u.size // 512)
        pad = flat * 512 - u.size
        u, v = (np.pad(a.ravel(), (0, pad)).reshape(flat, 512) for a in (u, v))
        out = cv2.remap(self.heights, v, u, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out.ravel()[: flat * 512 - pad].reshape(shape), np.float32)

    def slope(self, x: float, y: float, yaw: float) -> float:
        """Return the rise per metre along a direction."""
        dx, dy = np.cos(yaw), np.sin(yaw)
        ends = self.height([x - dx, x + dx], [y - dy, y + dy])
        return float(ends[1] - ends[0]) / 2

    def label(self, x: Array, y: Array) -> npt.NDArray[np.uint8]:
        """Return the class ids of the ground at `x`, `y` (metres), in the shape of x."""
        across = self.across(x, y)
        strip = np.searchsorted(np.asarray(self.edges, np.float32), across.ravel()).reshape(x.shape)
        label = np.asarray(self.labels, np.uint8)[strip]
        for c in self.crossings:
            off = np.abs(x - np.float32(c.x))
            side = (across > self.half if c.left else False) | (across < -self.half if c.right else False)
            label[side & (off < c.half + c.walk) & (label != LABEL["road"])] = LABEL[
                "sidewalk" if c.walk else "terrain"
            ]
            # the kerb is rounded at the corner
            flare = np.maximum(0, 4 - (np.abs(across) - self.half)) ** 2 * np.float32(0.2)
            label[side & (off < c.half + flare)] = LABEL["road"]
        return label


def make_line(rng: np.random.Generator, winding: float) -> Matrix:
    """Draw a middle line that starts at y = 0 along x; `winding` is the curvature's standard deviation, 1/metres."""
    x = WEST + STEP * np.arange(int((EAST - WEST) / STEP) + 1)
    first, second, change = rng.normal(0, winding), rng.normal(0, 2 * winding), rng.uniform(15, 50)
    curvature = first + (second - first) / (1 + np.exp(-(x - change) / 4))
    heading = np.cumsum(curvature) * STEP
    heading -= np.interp(0, x, heading)
    y = np.cumsum(np.tan(np.clip(heading, -0.75, 0.75))) * STEP
    return np.asarray(y - np.interp(0, x, y))


def make_heights(
    rng: np.random.Generator, line: Matrix, hilly: float, banks: tuple[tuple[float, float], tuple[float, float]]
) -> Array:
    """Draw heights `[N, M]` around a line: the street has slopes, the land next to it has banks.

    Args:
        rng: random generator.
        line: see `Ground`.
        hilly: standard deviation of the slope, 0..1.
        banks: left and right, where the land begins (metres from the middle), and its slope.
    """
    x = WEST + STEP * np.arange(len(line))
    y = -SIDE + STEP * np.arange(int(2 * SIDE / STEP) + 1)
    begin, length = rng.uniform(0, 25), rng.uniform(10, 40)
    ramp = np.clip((x - begin) / length, 0, 1)
    profile = np.cumsum(rng.normal(0.2 * hilly, hilly) * ramp + rng.normal(0, 0.25 * hilly)) * STEP
    profile -= np.interp(0, x, profile)
    across = y[None, :] - line[:, None]
    height = profile[:, None] - 0.018 * np.minimum(np.abs(across), 6) + rng.normal(0, 0.01) * np.clip(across, -30, 30)
    rough = cv2.GaussianBlur(rng.standard_normal((len(x), len(y))), (0, 0), 6)
    fine = cv2.GaussianBlur(rng.standard_normal((len(x), len(y))), (0, 0), 1.5)
    rough = rough / rough.std() * rng.uniform(0.03, 0.25) + fine / fine.std() * rng.uniform(0.01, 0.05)
    for sign, (edge, slope) in zip((1, -1), banks, strict=True):
        off = np.maximum(sign * across - edge, 0)
        steep = rng.uniform(4, 14)
        height = height + np.sign(slope) * np.minimum(np.abs(slope) * off, 0.12 * off + abs(slope) * steep)
        height = height + rough * np.clip(off / 5, 0, 1)
    return np.asarray(height, np.float32)
