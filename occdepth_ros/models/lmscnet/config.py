"""Sizes of LMSCNet, as data."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid

SCALES = (8, 4, 2, 1)
"""Resolutions at which the network predicts, coarsest first: the voxel edge over that of the input."""


@dataclass(frozen=True)
class LmscNetConfig:
    """One size of the network.

    Args:
        name: the model's name.
        grid: voxels of the input and of the finest prediction.
        n_classes: semantic classes, empty space included.
        head: channels inside the 3-D heads.

    Raises:
        GridError: the grid cannot be halved three times.
    """

    name: str = "lmscnet-stereo"
    grid: VoxelGrid = VoxelGrid.semantic_kitti()  # noqa: RUF009
    n_classes: int = 20
    head: int = 8

    def __post_init__(self) -> None:
        if any(n % SCALES[0] for n in self.grid.size):
            raise GridError(
                f"the size {self.grid.size} cannot be halved three times", where=self.name, remedy="Use multiples of 8."
            )

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the 2-D encoder by scale: the voxels of a column at full size, half as many more per halving."""
        column = self.grid.size[2]
        return {scale: column * (2 + level) // 2 for level, scale in enumerate(reversed(SCALES))}

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept a grid of the trained size and resolution, wherever it lies.

        Raises:
            GridError: it has another size or resolution.
        """
        mine = self.grid
        if grid.size != mine.size or abs(grid.resolution - mine.resolution) > 1e-6:
            raise GridError(
                f"{self.name} completes {mine.size} voxels of {mine.resolution:g} m, not {grid.size} of "
                f"{grid.resolution:g} m",
                where="grid",
                remedy="Give it this size and resolution; the origin is free.",
            )
