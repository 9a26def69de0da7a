"""Configuration of the query proposal network."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.errors import GridError, ModelError
from occdepth_ros.grid import VoxelGrid

SCALES = (2, 4, 8)
"""Output scales: ratio of the edges of predicted and input voxels, finest first."""


@dataclass(frozen=True)
class QpnConfig:
    """Configuration of the network.

    Args:
        name: the model's name.
        grid: voxels of the input; the origin is not used.
        heads: output scales, which must include 2; VoxFormer's checkpoints have (2,), MonoOcc's all three.

    Raises:
        GridError: the grid cannot be halved three times.
        ModelError: a scale does not exist, or 2 is missing.
    """

    name: str = "qpn"
    grid: VoxelGrid = VoxelGrid.semantic_kitti()  # noqa: RUF009
    heads: tuple[int, ...] = SCALES

    def __post_init__(self) -> None:
        if any(n % SCALES[-1] for n in self.grid.size):
            raise GridError(
                f"the size {self.grid.size} cannot be halved three times", where=self.name, remedy="Use multiples of 8."
            )
        if 2 not in self.heads or set(self.heads) - set(SCALES):
            raise ModelError(
                f"heads at the scales {self.heads} are not supported",
                where=self.name,
                remedy="Use 2, and any of 4 and 8.",
            )

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the four encoder blocks: the number of layers, plus half of it per halving."""
        column = self.grid.size[2]
        return column, column * 3 // 2, column * 2, column * 5 // 2

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept a grid of the trained size and resolution with any origin.

        Raises:
            GridError: the size or the resolution differs.
        """
        self.grid.accept(grid, subject=f"{self.name} reads")


_NUSCENES = VoxelGrid((-40.0, -40.0, -1.0), (200, 200, 16), 0.4, "lidar")

PRESETS: dict[str, QpnConfig] = {
    "qpn": QpnConfig(),
    "qpn-voxformer": QpnConfig("qpn-voxformer", heads=(2,)),
    "qpn-ns": QpnConfig("qpn-ns", _NUSCENES),
}
"""MonoOcc's network, VoxFormer's (the same without the coarser heads), and MonoOcc's for nuScenes."""
