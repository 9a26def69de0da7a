"""3-D network of occdepth-edge-sfa: a U-Net, and heads that unfold lifted voxels into voxels of the prediction."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.edge.evidence import FINE

RARE = -3.0
"""Initial bias of the occupancy logits: one voxel of twenty is occupied."""


class EdgeUNet(nn.Module):
    """A U-Net with stages of halved size. The finest stage, with most voxels, has a single convolution on the way up.

    Args:
        config: channels and depths of the stages.
    """

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        stages = config.stages
        self.down = nn.ModuleList(_enter(a, b) for a, b in pairwise(stages))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual3d(c) for _ in range(n))) for c, n in zip(stages, config.depths, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairwise(stages))
        self.merge = nn.ModuleList(Residual3d(c) for c in stages[1:-1])
        self.leave = nn.Sequential(
            nn.Conv3d(stages[0], stages[0], 3, padding=1, bias=False),
            nn.BatchNorm3d(stages[0]),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[1, C, X, Y, Z]` to the same size."""
        rows = [self.blocks[0](x)]
        for down, blocks in zip(self.down, self.blocks[1:], strict=True):
            rows.append(blocks(down(rows[-1])))
        x = rows.pop()
        for level in reversed(range(len(rows))):
            x = F.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest") + rows[level]
            if level > 0:
                x = self.merge[level - 1](x)
        out: torch.Tensor = self.leave(x)
        return out


class EdgeHead(nn.Module):
    """Predicts the occupancy of every voxel and the classes of requested voxels.

    Args:
        config: channels and classes.
    """

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        self.occupancy = nn.Conv3d(config.stages[0], FINE, 1)
        nn.init.constant_(self.occupancy.bias, RARE)  # type: ignore[arg-type]
        self.hidden = nn.Linear(config.stages[0] + config.feature, config.hidden)
        self.classes = nn.Linear(config.hidden, FINE * (config.n_classes - 1))
        self.n_classes = config.n_classes

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return occupancy logits of the voxels by lifted voxel, `[1, 8, X, Y, Z]`."""
        logits: torch.Tensor = self.occupancy(volume)
        return logits

    def classify(self, volume: torch.Tensor, lifted: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Compute class logits of the voxels in given lifted voxels.

        Args:
            volume: the completed volume, `[1, C, X, Y, Z]`.
            lifted: the lifted 2-D features, `[1, F, X, Y, Z]`.
            rows: flat indices of lifted voxels, `[R]`; None = all of them.

        Returns:
            logits of the classes 1 to n - 1, `[R, 8, n_classes - 1]`.
        """
        both = [v[0].permute(1, 2, 3, 0).flatten(0, 2) for v in (volume, lifted)]
        if rows is not None:
            both = [v[rows] for v in both]
        hidden = F.relu(self.hidden(torch.cat(both, 1)))
        logits: torch.Tensor = self.classes(hidden).unflatten(1, (FINE, self.n_classes - 1))
        return logits


class Residual3d(nn.Module):
    """Two 3x3x3 convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to the same shape."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.bn2(self.conv2(y)))


def _enter(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm3d(after), nn.ReLU(inplace=True)
    )
