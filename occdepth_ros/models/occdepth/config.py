"""The configurations of OccDepth, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from occdepth_ros.errors import GridError, ModelError
from occdepth_ros.grid import VoxelGrid

Binning = Literal["lid", "uniform"]

SEMANTIC_KITTI_GRID = VoxelGrid.semantic_kitti()


@dataclass(frozen=True)
class DepthBins:
    """Discretisation of depth.

    Args:
        near, far: bounds, metres.
        count: number of bins.
        sampling: spacing by which voxels read the distribution. Published weights were supervised on uniform
            bins and read by linearly increasing ones, so "lid" is what they need.
    """

    near: float = 2.0
    far: float = 54.0
    count: int = 104
    sampling: Binning = "lid"

    @property
    def step(self) -> float:
        """Width of a uniform bin, metres."""
        return (self.far - self.near) / self.count


@dataclass(frozen=True)
class OccDepthConfig:
    """One configuration of the network.

    Args:
        name: its preset name.
        backbone: EfficientNet variant of the 2-D encoder ("b3", "b4", "b5", "b7").
        feature: channels of the 2-D feature maps and of the first 3-D stage.
        views: pictures fused per scene.
        depth: bins of the occupancy-aware depth module; None leaves the module out.
        returns_depth: whether the depth distribution is an output (it is supervised).
        crp: whether the context relation prior sits at the bottom of the 3-D network.
        cascade: whether the head predicts occupancy first and classes from it.
        n_classes: semantic classes, empty space included.
        grid: the voxels that the network predicts.
        project_scale: factor by which the lifted volume is coarser than the prediction (1 or 2).
        picture: height and width of the network's picture, pixels.
        scales: 2-D scales that are lifted.
        finest_scale: finest scale that the 2-D decoder builds (1, 2, 4, 8 or 16).
        n_relations: relations of the context prior.
        pattern: pixel pattern of the projection.
        layout: axis order and stage names of the 3-D network.
    """

    name: str
    backbone: str
    feature: int
    views: int = 2
    depth: DepthBins | None = DepthBins()
    returns_depth: bool = True
    crp: bool = True
    cascade: bool = True
    n_classes: int = 20
    grid: VoxelGrid = SEMANTIC_KITTI_GRID
    project_scale: int = 2
    picture: tuple[int, int] = (370, 1220)
    scales: tuple[int, ...] = (1, 2, 4, 8)
    finest_scale: int = 1
    n_relations: int = 4
    pattern: int = 0
    layout: Literal["kitti", "nyu"] = "kitti"

    def __post_init__(self) -> None:
        if min(self.scales) < self.finest_scale:
            raise ModelError(
                f"scale {min(self.scales)} is lifted but the decoder stops at {self.finest_scale}", where=self.name
            )
        if self.depth is not None and self.finest_scale > 8:
            raise ModelError("the depth module needs features at scale 8", where=self.name)
        if any(n % (4 * self.project_scale) for n in self.grid.size):
            raise GridError(
                f"the size {self.grid.size} cannot be halved often enough",
                where=self.name,
                remedy=f"Use multiples of {4 * self.project_scale}.",
            )

    @property
    def lifted_grid(self) -> VoxelGrid:
        """The voxels that pictures are lifted to."""
        return self.grid.coarsened(self.project_scale)

    @property
    def bottom_size(self) -> tuple[int, int, int]:
        """Voxels at the bottom of the 3-D network, along the volume's axes."""
        x, y, z = self.lifted_grid.size
        axes = (x, y, z) if self.layout == "kitti" else (x, z, y)
        return axes[0] // 4, axes[1] // 4, axes[2] // 4

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept a grid of the trained size and resolution, wherever it lies.

        Raises:
            GridError: the weights are tied to another size (through the context prior) or resolution.
        """
        mine = self.grid
        if grid.size != mine.size or abs(grid.resolution - mine.resolution) > 1e-6:
            raise GridError(
                f"{self.name} predicts {mine.size} voxels of {mine.resolution:g} m, not {grid.size} of "
                f"{grid.resolution:g} m",
                where="grid",
                remedy="Give it this size and resolution; the origin is free.",
            )


PRESETS: dict[str, OccDepthConfig] = {
    config.name: config
    for config in (
        OccDepthConfig("occdepth-b3", backbone="b3", feature=32),
        OccDepthConfig("occdepth-b7", backbone="b7", feature=64),
        OccDepthConfig("occdepth-b7-flosp", backbone="b7", feature=64, depth=None, returns_depth=False),
        OccDepthConfig(
            "occdepth-mono", backbone="b3", feature=24, views=1, returns_depth=False, crp=False, cascade=False
        ),
    )
}
