"""Configuration of occdepth-edge-sfa."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import DepthBins

SEMANTIC_KITTI_GRID = VoxelGrid.semantic_kitti()


@dataclass(frozen=True)
class Thresholds:
    """Occupancy probabilities above which a voxel counts as occupied.

    For calibrated probabilities the best threshold for an intersection over union J is J / (1 + J) (Lipton et al.,
    2014, for F1). The network's probabilities are not calibrated, because thin surfaces spread over neighbouring
    voxels; therefore the thresholds belong to the weights. docs/model_card_occdepth_edge.md
    describes how they were chosen.

    Args:
        on_surfaces: threshold of voxels on or in front of the surface in the left image.
        hidden: threshold of voxels behind that surface.
        out_of_view: threshold of voxels outside the left image.
    """

    on_surfaces: float = 0.08
    hidden: float = 0.04
    out_of_view: float = 0.5


@dataclass(frozen=True)
class EdgeConfig:
    """One configuration of the network.

    Args:
        name: its preset name.
        image: height and width of the network's image, pixels; half of KITTI's.
        feature: channels of the lifted 2-D features and of the first 3-D stage.
        pyramid: channels of the 2-D decoder.
        stages: channels of the 3-D stages, from the lifted volume down; the first is `feature`.
        depths: residual blocks of each 3-D stage on the way down.
        depth: bins of the occupancy-aware depth module, for supervision and sampling.
        hidden: channels of the class head.
        n_classes: semantic classes, empty space included.
        thresholds: thresholds of the occupancy, which belong to the weights.
        grid: grid of the prediction; its origin is arbitrary.
    """

    name: str = "occdepth-edge-sfa"
    image: tuple[int, int] = (192, 640)
    feature: int = 32
    pyramid: int = 64
    stages: tuple[int, ...] = (32, 64, 96, 96)
    depths: tuple[int, ...] = (0, 2, 2, 2)
    depth: DepthBins = DepthBins(near=2.0, far=60.0, count=64, supervised="lid", sampling="lid")  # noqa: RUF009
    hidden: int = 64
    n_classes: int = 20
    thresholds: Thresholds = Thresholds()
    grid: VoxelGrid = SEMANTIC_KITTI_GRID

    @property
    def coarsest(self) -> int:
        """Full-resolution voxels along an edge of a voxel of the last 3-D stage."""
        return 2 ** len(self.stages)

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained resolution with sizes that the stages divide.

        Raises:
            GridError: the resolution differs, or a size cannot be halved for all stages.
        """
        if abs(grid.resolution - self.grid.resolution) > 1e-6 or any(n % self.coarsest for n in grid.size):
            raise GridError(
                f"{self.name} predicts voxels of {self.grid.resolution:g} m in sizes that {self.coarsest} divides, not "
                f"{grid.size} of {grid.resolution:g} m",
                where="grid",
                remedy=f"Use a resolution of {self.grid.resolution:g} m and multiples of {self.coarsest}.",
            )


PRESETS: dict[str, EdgeConfig] = {"occdepth-edge-sfa": EdgeConfig()}
"""Configurations by name."""
