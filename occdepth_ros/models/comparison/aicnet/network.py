"""AICNet: colour and depth features in 2-D, lifted by depth, fused in 3-D stage by stage (Li et al., CVPR 2020)."""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.aicnet.anisotropic import AnisotropicModule
from occdepth_ros.models.comparison.aicnet.config import AicNetConfig
from occdepth_ros.models.comparison.scatter import as_volume, coarse_index, scatter_mean
from occdepth_ros.models.comparison.surface import MatchedSurface
from occdepth_ros.models.layers.dense_upsample import DenseUpsample3d
from occdepth_ros.models.layers.upsample import Upsample3d

LIFT = 2
"""Edge of the voxels to which pixels are lifted, in voxels of the prediction."""
DEPTH_UNIT_M = 25.6
"""Unit of the depth input, which scales depths in the benchmark's grid to 0 to 2."""
DILATIONS = (1, 2)
"""Dilations of the residual blocks of the 2-D networks."""


class Residual2d(nn.Module):
    """Two dilated 3x3 convolutions and the input: `[B, C, H, W]` to the same shape."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()

        def conv() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)

        self.main = nn.Sequential(
            conv(), nn.BatchNorm2d(channels), nn.ReLU(inplace=True), conv(), nn.BatchNorm2d(channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to the same shape."""
        return torch.relu(x + self.main(x))


class Branch(nn.Module):
    """One modality: 2-D features, and their processing after lifting.

    Args:
        in_channels: channels of its image.
        config: configuration of the network.
    """

    def __init__(self, in_channels: int, config: AicNetConfig) -> None:
        super().__init__()
        width = config.feature
        self.image = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            *(Residual2d(width, d) for d in DILATIONS),
        )
        self.down = nn.Sequential(
            nn.Conv3d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm3d(2 * width),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList(AnisotropicModule(2 * width, config.kernels) for _ in range(config.stages))

    def forward(self, volume: torch.Tensor) -> list[torch.Tensor]:
        """Map lifted features `[B, C, X, Y, Z]` to the output of each stage, `[B, 2C, X/2, Y/2, Z/2]`."""
        out = [self.down(volume)]
        for stage in self.stages:
            out.append(stage(out[-1]))
        return out


class AicNet(nn.Module):
    """AICNet with depth from stereo matching instead of an RGB-D camera.

    The published network predicts at the resolution of its coarsest volume, a quarter of that of the input; here a
    decoder of two additional modules restores the benchmark's resolution.
    """

    def __init__(self, config: AicNetConfig) -> None:
        super().__init__()
        self.config = config
        width, kernels = config.feature, config.kernels
        self.colour = Branch(3, config)
        self.depth = Branch(2, config)
        self.aggregate = nn.Sequential(
            nn.Conv3d(2 * width * (config.stages + 1), 2 * width, 1, bias=False),
            nn.BatchNorm3d(2 * width),
            nn.ReLU(inplace=True),
            AnisotropicModule(2 * width, kernels),
        )
        self.up = Upsample3d(2 * width, width)
        self.refine = AnisotropicModule(width, kernels)
        self.classes = DenseUpsample3d(width, config.n_classes, LIFT, kernel=3)

    def forward(self, surface: MatchedSurface, window: ColumnWindow | None = None) -> torch.Tensor:
        """Complete one scene.

        Args:
            surface: the matched surface.
            window: the columns to predict at full resolution; None = all. Context is always gathered from all columns.

        Returns:
            class logits `[1, n_classes, X, Y, Z]` (of the window's columns).
        """
        depth_image = torch.stack([surface.depth / DEPTH_UNIT_M, (surface.depth > 0).float()])
        colour = self.lift(self.colour.image(surface.image[None]), surface)
        depth = self.lift(self.depth.image(depth_image[None]), surface)
        fused = [a + b for a, b in zip(self.colour(colour), self.depth(depth), strict=True)]
        coarse = self.aggregate(torch.cat(fused, dim=1))
        fine = self.refine(self.up(coarse) + colour + depth)
        if window is not None:
            x, y = window.slices(LIFT)
            fine = fine[:, :, x, y]
        logits: torch.Tensor = self.classes(fine)
        return logits

    def lift(self, features: torch.Tensor, surface: MatchedSurface) -> torch.Tensor:
        """Average the features of the pixels in each lifted voxel: `[1, C, h, w]` to `[1, C, X/2, Y/2, Z/2]`."""
        grid = self.config.grid.coarsened(LIFT)
        rows = features[0].flatten(1).T[surface.pixel]  # [N, C]
        index = coarse_index(surface.voxel, self.config.grid.size, LIFT)
        return as_volume(scatter_mean(rows, index, grid.count), grid)
