"""A square window of columns of a volume: heads at full resolution are trained on a window of each scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from occdepth_ros.errors import GridError


@dataclass(frozen=True)
class ColumnWindow:
    """Columns `x` to `x + size`, `y` to `y + size` of a prediction, voxels; the full height.

    Args:
        x, y: lowest column.
        size: columns along each axis.
    """

    x: int
    y: int
    size: int

    STEP = 8
    """Step of corners and sizes, so that coarser volumes have the same window."""

    @classmethod
    def draw(cls, size: int, columns: tuple[int, int], rng: np.random.Generator) -> ColumnWindow:
        """Return a random window.

        Args:
            size: columns along each axis.
            columns: columns of the volume along x and y.
            rng: random generator.

        Raises:
            GridError: the size is not a multiple of 8, or larger than the volume.
        """
        if size < cls.STEP or size % cls.STEP or size > min(columns):
            raise GridError(
                f"a window of {size} columns does not fit {columns[0]} by {columns[1]} of them",
                where="window",
                remedy=f"Choose a multiple of {cls.STEP} that is no larger.",
            )
        x, y = (cls.STEP * int(rng.integers((n - size) // cls.STEP + 1)) for n in columns)
        return cls(x, y, size)

    def to(self, device: torch.device | str) -> ColumnWindow:
        """Return the window itself, which contains no tensors."""
        return self

    def crop(self, volume: torch.Tensor, factor: int = 1) -> torch.Tensor:
        """Return the window's part of `[..., X/factor, Y/factor, Z/factor]`, a view."""
        x, y = self.slices(factor)
        return volume[..., x, y, :]

    def slices(self, factor: int = 1) -> tuple[slice, slice]:
        """Return the index ranges along x and y in a volume that is `factor` times as coarse."""
        low = self.x // factor, self.y // factor
        return slice(low[0], low[0] + self.size // factor), slice(low[1], low[1] + self.size // factor)
