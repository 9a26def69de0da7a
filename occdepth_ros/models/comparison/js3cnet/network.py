"""JS3C-Net: a sparse U-Net segments points, and a dense network completes the volume (Yan et al., AAAI 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.js3cnet.config import Js3cNetConfig
from occdepth_ros.models.comparison.js3cnet.interaction import PointVoxelInteraction
from occdepth_ros.models.comparison.js3cnet.sparse import SiteNorm, Sites, SparseUNet
from occdepth_ros.models.comparison.scatter import as_volume, coarse_index, scatter_max
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.models.layers.aspp import Aspp3d
from occdepth_ros.models.layers.dense_upsample import DenseUpsample3d
from occdepth_ros.models.layers.upsample import Upsample3d

LIFT = 2
"""Voxel edge of the dense volume, in voxels of the prediction."""
POINT_FEATURES = 7
"""Input features of a point: position in the grid, position in its voxel, number of points in the voxel."""


@dataclass(frozen=True)
class Js3cNetOutput:
    """Output of the network.

    Args:
        completion: class logits of the voxels, `[1, n_classes, X, Y, Z]` (of the window's columns).
        points: class logits of the points, `[N, n_classes]`.
        refined: class logits of the points after point-voxel interaction; None unless requested.
    """

    completion: torch.Tensor
    points: torch.Tensor
    refined: torch.Tensor | None


class Js3cNet(nn.Module):
    """JS3C-Net with points from stereo matching instead of a LiDAR."""

    def __init__(self, config: Js3cNetConfig) -> None:
        super().__init__()
        self.config = config
        fine, width = config.widths[0], config.feature
        self.embed = nn.Sequential(nn.Linear(POINT_FEATURES, fine), SiteNorm(fine), nn.ReLU(), nn.Linear(fine, fine))
        self.segment = SparseUNet(config.widths)
        self.name_points = nn.Linear(2 * fine, config.n_classes)
        self.enter = nn.Linear(fine + config.n_classes, width)
        self.near = _conv(width, width)
        self.down = _conv(width, 2 * width, stride=2)
        self.context = Aspp3d(2 * width)
        self.up = Upsample3d(2 * width, width)
        self.join = _conv(2 * width, 2 * width)
        self.classes = DenseUpsample3d(2 * width, config.n_classes, LIFT, kernel=3)
        self.interaction = PointVoxelInteraction(2 * width)
        self.name_again = nn.Linear(2 * fine + 2 * width, config.n_classes)

    def forward(
        self, surface: MatchedSurface, window: ColumnWindow | None = None, *, interact: bool = False
    ) -> Js3cNetOutput:
        """Segment and complete one scene.

        Args:
            surface: the matched surface; the image is not used.
            window: the columns to predict at full resolution; None = all. Context is always gathered from all columns.
            interact: whether points read the completion, an auxiliary output of training that does not change the
                completion.
        """
        features, points = self.name(surface)
        volume = self.complete(features, points, surface)
        part = volume
        if window is not None:
            x, y = window.slices(LIFT)
            part = volume[:, :, x, y]
        refined = None
        if interact:
            shape = self.interaction(volume, surface.points / LIFT)
            refined = self.name_again(torch.cat([features, shape], dim=1))
        return Js3cNetOutput(self.classes(part), points, refined)

    def name(self, surface: MatchedSurface) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features of points and their voxels, `[N, 2 C]`, and class logits of points, `[N, n_classes]`."""
        size = self.config.grid.size
        sites, site = Sites.of(surface.voxel, size)
        own = self.embed(described(surface.points, site, size))
        voxels = self.segment(scatter_max(own, site, len(sites.voxel)), sites)
        features = torch.cat([own, voxels[site]], dim=1)
        return features, self.name_points(features)

    def complete(self, features: torch.Tensor, points: torch.Tensor, surface: MatchedSurface) -> torch.Tensor:
        """Compute features of all lifted voxels, `[1, 2 C', X/2, Y/2, Z/2]`, from features and logits of the points."""
        grid = self.config.grid.coarsened(LIFT)
        fine = self.config.widths[0]
        described_points = torch.cat([features[:, fine:], points.softmax(dim=1).to(features.dtype)], dim=1)
        index = coarse_index(surface.voxel, self.config.grid.size, LIFT)
        entered = as_volume(scatter_max(self.enter(described_points), index, grid.count), grid)
        near = self.near(entered)
        far = self.up(self.context(self.down(near)))
        joined: torch.Tensor = self.join(torch.cat([near, far], dim=1))
        return joined


def described(points: torch.Tensor, site: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Return the input features of the points, `[N, POINT_FEATURES]`.

    Args:
        points: `[N, 3]`, voxel edges from the grid's lower corner.
        site: occupied voxel of each, `[N]`.
        size: voxels along x, y, z.
    """
    number = torch.bincount(site)[site] if len(site) else site
    position = points / torch.tensor(size, device=points.device) * 2 - 1
    within = points - points.floor() - 0.5
    return torch.cat([position, within, number.float().log1p()[:, None]], dim=1)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )
