"""The ground: strips along a gently curved street, and a side street across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.data.town.solids import LABEL

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """The plane z = 0 by class.

    Args:
        bend: y of the street's middle is bend * x^2, per metre.
        edges: distances from the middle where one strip ends, metres, to the left (positive) and the right, sorted.
        labels: class of each strip, one more than edges.
        crossing: x range of a side street, empty where the first is not below the second.
    """

    bend: float
    edges: tuple[float, ...]
    labels: tuple[int, ...]
    crossing: tuple[float, float]

    def middle(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """y of the street's middle."""
        return np.asarray(self.bend * np.square(np.asarray(x, np.float64)))

    def heading(self, x: float) -> float:
        """Direction of the street, radians."""
        return float(np.arctan(2 * self.bend * x))

    def across(self, x: Array, y: Array) -> Array:
        """Distance from the middle, to the left, metres."""
        return np.asarray(y - np.float32(self.bend) * x * x, np.float32)

    def label(self, x: Array, y: Array) -> npt.NDArray[np.uint8]:
        """Class at places of the ground."""
        strip = np.searchsorted(np.asarray(self.edges, np.float32), self.across(x, y).ravel()).reshape(x.shape)
        label = np.asarray(self.labels, np.uint8)[strip]
        label[(x > self.crossing[0]) & (x < self.crossing[1])] = LABEL["road"]
        return label
