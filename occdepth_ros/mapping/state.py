"""The dense window of the map: arrays per voxel that are addressed modulo their size, so that it moves without copying.

The occupancy of a voxel consists of two numbers, seen and completed evidence. Seen evidence takes precedence, so a
completed voxel can never clear a seen one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from occdepth_ros.compiled import compiled
from occdepth_ros.mapping.config import BLOCK, MapConfig

Lattice = tuple[int, int, int]
Steps = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]
Ticks = npt.NDArray[np.uint16]


class Voxels(NamedTuple):
    """Fields of voxels, arrays of one shape.

    Args:
        seen, completed: log-odds in steps of `codes.UNIT`, int8; 0 = no evidence.
        label: class with the most votes; 0 = none.
        runner_up: class with the second most votes.
        margin: votes by which `label` leads.
        tick: time of the last observation as occupied, tenths of a second modulo 2^16.
    """

    seen: Steps
    completed: Steps
    label: Bytes
    runner_up: Bytes
    margin: Bytes
    tick: Ticks

    @classmethod
    def empty(cls, size: Lattice) -> Voxels:
        """Return voxels without evidence, `[X, Y, Z]`."""
        label, runner_up, margin = (np.zeros(size, np.uint8) for _ in range(3))
        return cls(
            np.zeros(size, np.int8), np.zeros(size, np.int8), label, runner_up, margin, np.zeros(size, np.uint16)
        )

    def part(self, where: tuple[slice, slice, slice]) -> Voxels:
        """Return a part of the fields that shares their memory."""
        return Voxels._make(array[where] for array in self)


@dataclass
class MapState:
    """State of every voxel of the window.

    Args:
        size: voxels along x, y, z.
        low: lattice index of the window's lowest voxel; multiples of `BLOCK`.
        voxels: fields of the voxels, `[X, Y, Z]`.
    """

    size: Lattice
    low: Lattice
    voxels: Voxels

    @classmethod
    def empty(cls, config: MapConfig, low: Lattice) -> MapState:
        """Return a window of the configured size without any evidence; `low` in voxels, multiples of `BLOCK`."""
        return cls.of_size(config.size, low)

    @classmethod
    def of_size(cls, size: Lattice, low: Lattice) -> MapState:
        """Return a window without any evidence; `size` and `low` in voxels, multiples of `BLOCK`."""
        return cls(size, low, Voxels.empty(size))

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, bytes."""
        return sum(a.nbytes for a in self.voxels)

    def block(self, key: Lattice) -> Voxels:
        """Return the voxels of the block at a lattice position (in blocks), `[16, 16, 16]`, sharing the window's
        memory.
        """
        x, y, z = (k * BLOCK % n for k, n in zip(key, self.size, strict=True))
        return self.voxels.part((slice(x, x + BLOCK), slice(y, y + BLOCK), slice(z, z + BLOCK)))

    def block_keys(self) -> list[Lattice]:
        """Return the positions of all blocks of the window, in blocks from the lattice's origin."""
        ranges = [range(a // BLOCK, (a + n) // BLOCK) for a, n in zip(self.low, self.size, strict=True)]
        return list(product(*ranges))  # type: ignore[arg-type]

    def clear(self, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> None:
        """Remove all evidence from the voxels of a box in the window; lattice indices `[3]`, `last` included."""
        low = np.maximum(first, self.low)
        high = np.minimum(last, np.array(self.low) + self.size - 1)
        if (low <= high).all():
            index = [np.arange(a, b + 1) % n for a, b, n in zip(low, high, self.size, strict=True)]
            for array in self.voxels:
                array[np.ix_(*index)] = 0

    def extent(self) -> tuple[Lattice, Lattice]:
        """Return the lowest index and size of the smallest box of whole blocks that holds all evidence of the window.

        Without any evidence, the box has one block.
        """
        filled = _filled_blocks(self.voxels.seen, self.voxels.completed)
        low, size = [], []
        for axis, total in enumerate(self.size):
            others = tuple(a for a in range(3) if a != axis)
            start = self.low[axis] // BLOCK % (total // BLOCK)
            present = np.flatnonzero(np.roll(filled.any(axis=others), -start))
            first, last = (int(present[0]), int(present[-1])) if len(present) else (0, 0)
            low.append(self.low[axis] + first * BLOCK)
            size.append((last - first + 1) * BLOCK)
        return (low[0], low[1], low[2]), (size[0], size[1], size[2])


@compiled
def _filled_blocks(seen: Steps, completed: Steps) -> npt.NDArray[np.bool_]:
    """Return whether the blocks of a window hold evidence, in the order of the arrays, `[X / 16, Y / 16, Z / 16]`."""
    nx, ny, nz = seen.shape[0] // BLOCK, seen.shape[1] // BLOCK, seen.shape[2] // BLOCK
    # a row of 16 voxels is two 64-bit words
    a, b = seen.view(np.uint64), completed.view(np.uint64)
    filled = np.zeros((nx, ny, nz), np.bool_)
    for x in range(seen.shape[0]):
        for y in range(seen.shape[1]):
            for z in range(nz):
                if a[x, y, 2 * z] | a[x, y, 2 * z + 1] | b[x, y, 2 * z] | b[x, y, 2 * z + 1]:
                    filled[x // BLOCK, y // BLOCK, z] = True
    return filled
