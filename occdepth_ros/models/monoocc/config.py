"""Configurations of MonoOcc's second stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid

Backbone = Literal["resnet50", "internimage-xl", "efficientnet-lite0"]

SEMANTIC_KITTI_GRID = VoxelGrid.semantic_kitti()
SCALE = 2
"""Edge of a working voxel, in voxels of the prediction."""
PAST_FRAMES = (-12, -9, -6, -3)
"""Frame offsets of the additional images of the privileged branch, at 10 Hz, as in VoxFormer-T."""


@dataclass(frozen=True)
class MonoOccConfig:
    """One configuration of the network.

    Args:
        name: its preset name.
        backbone: the 2-D encoder.
        width: width to which images are scaled, pixels; images within 5 % of it keep their size.
        channels: channels of image features, queries and volume.
        heads: number of heads of every attention; they share the channels.
        points: number of sampling points of a head in one image; attention among voxels has twice as many.
        hidden: hidden channels of the feed-forward blocks.
        cross_layers, self_layers, late_layers: number of layers of attention from proposals to the images, among all
            voxels, and from all voxels to the images.
        dropout: dropout probability in the attention and feed-forward blocks, in training.
        columns: columns of the map on which the working voxels are arranged in flat order for attention among them. If
            a row is a whole y-z plane, neighbours on the map are neighbours in space, and the initial offsets of the
            attention point at the nearest voxels along x, y and z.
        placed: whether the initial features of a voxel are the sum of a shared token and its position code, instead of
            an embedding per voxel for proposals and the token alone for others. This needs 30 times fewer weights,
            and gives voxels outside all images their position from the start of training.
        cameras: number of images of one prediction, including earlier frames.
        past: offsets of the earlier frames, in frames of 0.1 s, in the order of their images after the present left
            image; empty = no earlier frames, a second image is the right one.
        late: whether the attention among the voxels is followed by cross-attention from all voxels to the images (the
            paper's image-conditioned cross-attention module).
        semantic: whether the network has the decoder of the auxiliary 2-D loss.
        cross_view: whether features are exchanged between the images (the paper's cross view transformer).
        n_classes: semantic classes, empty space included.
        grid: grid of the prediction; its origin is arbitrary.

    Raises:
        GridError: the grid's working voxels do not fill whole rows of the map.
    """

    name: str = "monoocc-s"
    backbone: Backbone = "resnet50"
    width: int = 1241
    channels: int = 128
    heads: int = 8
    points: int = 8
    hidden: int = 256
    cross_layers: int = 3
    self_layers: int = 2
    late_layers: int = 3
    dropout: float = 0.1
    columns: int = 512
    placed: bool = False
    cameras: int = 1
    past: tuple[int, ...] = ()
    late: bool = True
    semantic: bool = True
    cross_view: bool = False
    n_classes: int = 20
    grid: VoxelGrid = SEMANTIC_KITTI_GRID

    def __post_init__(self) -> None:
        if any(n % SCALE for n in self.grid.size) or self.voxels % self.columns:
            raise GridError(
                f"the working voxels of a grid of {self.grid.size} do not fill rows of {self.columns}",
                where=self.name,
                remedy="Choose even sizes, and columns that divide an eighth of their product.",
            )

    @property
    def working_size(self) -> tuple[int, int, int]:
        """Working voxels along x, y, z."""
        x, y, z = self.grid.size
        return x // SCALE, y // SCALE, z // SCALE

    @property
    def spatial(self) -> bool:
        """Whether a row of the map is a whole y-z plane."""
        return self.columns == self.working_size[1] * self.working_size[2]

    @property
    def voxels(self) -> int:
        """Number of working voxels."""
        x, y, z = self.working_size
        return x * y * z

    @property
    def rows(self) -> int:
        """Number of rows of the map on which the working voxels are arranged."""
        return self.voxels // self.columns

    def working_grid(self, grid: VoxelGrid) -> VoxelGrid:
        """Return the working voxels of a grid that the network predicts."""
        return VoxelGrid(grid.origin, self.working_size, SCALE * grid.resolution, grid.frame_id)

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept a grid of the trained size and resolution with any origin.

        Raises:
            GridError: the size or the resolution differs; each voxel has its own embedding.
        """
        self.grid.accept(grid, subject=f"{self.name} completes")


_SMALL: dict[str, Any] = {
    "backbone": "efficientnet-lite0",
    "channels": 32,
    "heads": 4,
    "points": 2,
    "hidden": 64,
    "cross_layers": 2,
    "self_layers": 1,
    "late_layers": 1,
    "dropout": 0.0,
    "columns": 2048,
    "placed": True,
}

PRESETS: dict[str, MonoOccConfig] = {
    "monoocc-s": MonoOccConfig(),
    "monoocc-l": MonoOccConfig("monoocc-l", "internimage-xl"),
    "monoocc-s-shipped": MonoOccConfig("monoocc-s-shipped", late=False, semantic=False),
    "monoocc-teacher": MonoOccConfig(
        "monoocc-teacher", "internimage-xl", cameras=1 + len(PAST_FRAMES), past=PAST_FRAMES, cross_view=True
    ),
    "monoocc-edge": MonoOccConfig("monoocc-edge", width=640, **_SMALL),
    "monoocc-edge-kitti": MonoOccConfig("monoocc-edge-kitti", width=640, **_SMALL),
    "monoocc-edge-teacher": MonoOccConfig(
        "monoocc-edge-teacher", width=640, cameras=3, past=PAST_FRAMES[2:], cross_view=True, **_SMALL
    ),
}
"""Configurations by name. The paper's S has all contributions; the authors' configuration file of S has none. The small
configurations are for computers without a GPU. Teachers need earlier images and are used in training only."""
