"""Base class of the configurations of the comparison networks."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid

HALVED = 8
"""Edge of a voxel at the coarsest resolution, in voxels of the prediction."""


@dataclass(frozen=True)
class CompletionConfig:
    """Name, voxels and classes.

    Args:
        name: the model's name.
        grid: voxels of the prediction.
        n_classes: semantic classes, empty space included.

    Raises:
        GridError: the grid cannot be halved three times.
    """

    name: str = ""
    grid: VoxelGrid = VoxelGrid.semantic_kitti()  # noqa: RUF009
    n_classes: int = 20

    def __post_init__(self) -> None:
        if any(n % HALVED for n in self.grid.size):
            raise GridError(
                f"the size {self.grid.size} cannot be halved three times", where=self.name, remedy="Use multiples of 8."
            )

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept a grid of the trained size and resolution with any origin.

        Raises:
            GridError: the size or the resolution differs.
        """
        self.grid.accept(grid, subject=f"{self.name} completes")
