"""The dense window of the map: arrays per voxel that are addressed modulo their size, so that it moves without copying.

The occupancy of a voxel is two numbers, evidence that was seen and evidence that was completed. What was seen decides
wherever there is any, so a completed voxel can never clear a seen one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from occdepth_ros.mapping.config import BLOCK, MapConfig

Lattice = tuple[int, int, int]
T = TypeVar("T", bound=np.generic)

SEEN, COMPLETED = 0, 1
"""Last axis of `MapState.occupancy`."""


@dataclass
class MapState:
    """State of every voxel of the window.

    Args:
        size: voxels along x, y, z.
        low: lattice index of the window's lowest voxel; multiples of `BLOCK`.
        occupancy: log-odds in steps of `codes.UNIT`, `[X, Y, Z, 2]` int8: seen and completed; 0 = no evidence.
        label: class with the most votes, `[X, Y, Z]` uint8; 0 = none.
        runner_up: class with the second most votes.
        margin: votes by which `label` leads, uint8.
        tick: time of the last observation as occupied, uint16 tenths of a second, modulo 2^16.
    """

    size: Lattice
    low: Lattice
    occupancy: npt.NDArray[np.int8]
    label: npt.NDArray[np.uint8]
    runner_up: npt.NDArray[np.uint8]
    margin: npt.NDArray[np.uint8]
    tick: npt.NDArray[np.uint16]

    @classmethod
    def empty(cls, config: MapConfig, low: Lattice) -> MapState:
        """A window without any evidence."""
        return cls.of_size(config.size, low)

    @classmethod
    def of_size(cls, size: Lattice, low: Lattice) -> MapState:
        """A window of any size without any evidence."""
        label, runner_up, margin = (np.zeros(size, np.uint8) for _ in range(3))
        return cls(size, low, np.zeros((*size, 2), np.int8), label, runner_up, margin, np.zeros(size, np.uint16))

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, bytes."""
        return sum(a.nbytes for a in self.arrays())

    def arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        """All arrays, in a fixed order."""
        return self.occupancy, self.label, self.runner_up, self.margin, self.tick

    def column(self, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Flat index of columns by their lattice index, and -1 outside the window, `[N]`."""
        tables = [(low + np.arange(n)) % n for low, n in zip(self.low[:2], self.size[:2], strict=True)]
        dx, dy = x - self.low[0], y - self.low[1]
        # negative numbers are large as unsigned ones
        inside = (dx.view(np.uint64) < self.size[0]) & (dy.view(np.uint64) < self.size[1])
        column = (tables[0] * self.size[1]).take(dx, mode="clip") + tables[1].take(dy, mode="clip")
        return column if inside.all() else np.where(inside, column, -1)

    def clear(self, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> None:
        """Remove all evidence from the voxels of a box that lie in the window; lattice indices, `last` included."""
        low = np.maximum(first, self.low)
        high = np.minimum(last, np.array(self.low) + self.size - 1)
        if (low <= high).all():
            index = [np.arange(a, b + 1) % n for a, b, n in zip(low, high, self.size, strict=True)]
            for array in self.arrays():
                array[np.ix_(*index)] = 0

    def unrolled(self, array: npt.NDArray[T], low: Lattice, size: Lattice) -> npt.NDArray[T]:
        """A copy of a box of the window in order, `[*size, ...]`; the box must lie inside the window."""
        out = np.empty((*size, *array.shape[3:]), array.dtype)
        for parts in product(*(runs(a, n, total) for a, n, total in zip(low, size, self.size, strict=True))):
            out[tuple(to for to, _ in parts)] = array[tuple(source for _, source in parts)]
        return out

    def extent(self) -> tuple[Lattice, Lattice]:
        """Lowest index and size of the smallest box of whole blocks that holds all evidence of the window.

        The box has one block where there is no evidence.
        """
        blocks = self.occupancy.view(np.uint16).reshape(
            self.size[0] // BLOCK, BLOCK, self.size[1] // BLOCK, BLOCK, self.size[2]
        )
        filled = np.asarray(blocks.any(axis=(1, 3))).reshape(blocks.shape[0], blocks.shape[2], -1, BLOCK).any(axis=3)
        low, size = [], []
        for axis, total in enumerate(self.size):
            others = tuple(a for a in range(3) if a != axis)
            start = self.low[axis] // BLOCK % (total // BLOCK)
            present = np.flatnonzero(np.roll(np.asarray(filled).any(axis=others), -start))
            first, last = (int(present[0]), int(present[-1])) if len(present) else (0, 0)
            low.append(self.low[axis] + first * BLOCK)
            size.append((last - first + 1) * BLOCK)
        return (low[0], low[1], low[2]), (size[0], size[1], size[2])


def runs(first: int, count: int, total: int) -> list[tuple[slice, slice]]:
    """Positions in a box and in a wrapped axis of `total` voxels, of at most two runs without a wrap."""
    start = first % total
    head = min(count, total - start)
    runs = [(slice(0, head), slice(start, start + head))]
    return runs if head == count else [*runs, (slice(head, count), slice(0, count - head))]
