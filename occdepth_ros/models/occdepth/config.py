"""Configurations of OccDepth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import GridError, ModelError
from occdepth_ros.grid import VoxelGrid

Binning = Literal["lid", "uniform"]

SEMANTIC_KITTI_GRID = VoxelGrid.semantic_kitti()


@dataclass(frozen=True)
class DepthBins:
    """Discretisation of depth.

    Published weights were supervised with uniform bins and are sampled with linearly increasing bins (LID), which agree
    at the bounds only; new trainings may use one spacing for both.

    Args:
        near, far: bounds, metres.
        count: number of bins.
        supervised: spacing of the bins that the distribution is trained on.
        sampling: spacing by which voxels read the distribution.
    """

    near: float = 2.0
    far: float = 54.0
    count: int = 104
    supervised: Binning = "uniform"
    sampling: Binning = "lid"

    def edges(self) -> npt.NDArray[np.float64]:
        """Return the bounds of the supervised bins, `[count + 1]`, metres."""
        index = np.arange(self.count + 1, dtype=np.float64)
        if self.supervised == "uniform":
            fraction = index / self.count
        else:
            fraction = index * (index + 1) / (self.count * (self.count + 1))
        return self.near + (self.far - self.near) * fraction

    def centers(self) -> npt.NDArray[np.float64]:
        """Return the middles of the supervised bins, `[count]`, metres."""
        edges = self.edges()
        return (edges[:-1] + edges[1:]) / 2

    def position(self, depth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the position of depths (metres) in the distribution, bins from the near bound, in their shape.

        With linearly increasing bins, depths below the near bound give NaN.

        Linearly increasing bins (Reading et al., CVPR 2021): the i-th edge is near + δ i (i + 1) / 2.
        """
        if self.sampling == "uniform":
            return (depth - self.near) * self.count / (self.far - self.near)
        delta = 2 * (self.far - self.near) / (self.count * (self.count + 1))
        with np.errstate(invalid="ignore"):
            return np.asarray(-0.5 + 0.5 * np.sqrt(1 + 8 * (depth - self.near) / delta))


@dataclass(frozen=True)
class OccDepthConfig:
    """One configuration of the network.

    Args:
        name: its preset name.
        backbone: EfficientNet variant of the 2-D encoder ("b3", "b4", "b5", "b7", "lite0").
        feature: channels of the 2-D feature maps and of the first 3-D stage.
        views: images fused per scene.
        depth: bins of the occupancy-aware depth module; None = without the module.
        crp: whether the 3-D network has the context relation prior at its coarsest level.
        cascade: whether the head predicts occupancy first and classes from it.
        occluded: whether a second head predicts which voxels the cameras cannot see.
        fusion: fusion of the features of several views in a voxel: weighted by cosine similarity (Stereo-SFA), or the
            mean over the views in which the voxel is visible.
        virtual_bf: baseline times focal length of a virtual second view, which is warped from the first by its depth,
            pixel metres; None if all views are images.
        n_classes: semantic classes, empty space included.
        grid: grid of the prediction.
        project_scale: factor by which the lifted volume is coarser than the prediction (1 or 2).
        image: height and width of the network's image, pixels.
        scales: 2-D scales that are lifted.
        finest_scale: finest scale that the 2-D decoder builds (1, 2, 4, 8 or 16).
        decoder_width: channels inside the 2-D decoder, as a share of the published ones.
        n_relations: relations of the context prior.
        pattern: pixel pattern of the projection.
        layout: axis order and stage names of the 3-D network.
    """

    name: str
    backbone: str
    feature: int
    views: int = 2
    depth: DepthBins | None = DepthBins()
    crp: bool = True
    cascade: bool = True
    occluded: bool = False
    fusion: Literal["cosine", "mean"] = "cosine"
    virtual_bf: float | None = None
    n_classes: int = 20
    grid: VoxelGrid = SEMANTIC_KITTI_GRID
    project_scale: int = 2
    image: tuple[int, int] = (370, 1220)
    scales: tuple[int, ...] = (1, 2, 4, 8)
    finest_scale: int = 1
    decoder_width: float = 1.0
    n_relations: int = 4
    pattern: int = 0
    layout: Literal["kitti", "nyu"] = "kitti"

    def __post_init__(self) -> None:
        if not 0 < self.decoder_width <= 1:
            raise ModelError(f"the decoder's width {self.decoder_width} is not a share", where=self.name)
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
        """Grid of the lifted voxels."""
        return self.grid.coarsened(self.project_scale)

    @property
    def images(self) -> int:
        """Number of input images; a virtual view needs none."""
        return self.views if self.virtual_bf is None else 1

    @property
    def volume_size(self) -> tuple[int, int, int]:
        """Predicted voxels along the volume's axes: the NYU layout is [X, Z up, Y]."""
        x, y, z = self.grid.size
        return (x, y, z) if self.layout == "kitti" else (x, z, y)

    @property
    def bottom_size(self) -> tuple[int, int, int]:
        """Voxels at the bottom of the 3-D network, along the volume's axes."""
        a, b, c = (n // (4 * self.project_scale) for n in self.volume_size)
        return a, b, c

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept a grid of the trained size and resolution with any origin.

        Raises:
            GridError: the weights are tied to another size (through the context prior) or resolution.
        """
        self.grid.accept(grid, subject=f"{self.name} predicts")


_KITTI = OccDepthConfig("occdepth-b3", backbone="b3", feature=32)
_NYU = OccDepthConfig(
    "occdepth-nyu-b4",
    backbone="b4",
    feature=100,
    depth=None,
    crp=False,
    cascade=False,
    # 0.1 m times the focal length of the data set's camera
    virtual_bf=51.88579,
    n_classes=12,
    grid=VoxelGrid((0.0, 0.0, 0.0), (60, 60, 36), 0.08, "world"),
    project_scale=1,
    image=(480, 640),
    layout="nyu",
)
_MONOSCENE = OccDepthConfig("monoscene", backbone="b7", feature=64, views=1, depth=None, cascade=False)
_SMALL = OccDepthConfig(
    "occdepth-small",
    backbone="lite0",
    feature=16,
    # new training uses one spacing for supervision and sampling
    depth=DepthBins(sampling="uniform"),
    image=(185, 610),
    # scales of half-size images
    scales=(2, 4, 8),
    finest_scale=2,
    decoder_width=0.25,
)

PRESETS: dict[str, OccDepthConfig] = {
    config.name: config
    for config in (
        _KITTI,
        replace(_KITTI, name="occdepth-b7", backbone="b7", feature=64),
        replace(_KITTI, name="occdepth-b7-flosp", backbone="b7", feature=64, depth=None),
        replace(_KITTI, name="occdepth-mono", feature=24, views=1, crp=False, cascade=False),
        _NYU,
        replace(_NYU, name="occdepth-nyu-b7", backbone="b7", feature=200, crp=True),
        _MONOSCENE,
        replace(_MONOSCENE, name="monoscene-stereo", views=2, fusion="mean"),
        _SMALL,
        replace(_SMALL, name="monoscene-stereo-small", depth=None, cascade=False, fusion="mean"),
        replace(_SMALL, name="monoscene-small", depth=None, cascade=False, views=1),
    )
}
"""Configurations by name: the published ones, the MonoScene baseline, and small ones for training on CPUs, which have
the same modules with a small encoder on images of half the size."""
