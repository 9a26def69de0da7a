"""2-D U-Net over the bird's-eye view, with height as channels (as LMSCNet, 3DV 2020, and FlashOcc, 2023)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y]` to the same shape."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.bn2(self.conv2(y)))


class BevUNet(nn.Module):
    """Completes columns at constant resolution.

    Args:
        channels: channels of the input.
        stages: channels of the stages; each stage halves the resolution.
        depths: number of residual blocks of each stage on the descending path.
    """

    def __init__(self, channels: int, stages: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.enter = _block(channels, stages[0], kernel=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual(c) for _ in range(n))) for c, n in zip(stages, depths, strict=True)
        )
        self.down = nn.ModuleList(_block(a, b, stride=2) for a, b in pairwise(stages))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(stages))
        self.merge = nn.ModuleList(_block(c, c) if level == 0 else Residual(c) for level, c in enumerate(stages[:-1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, channels, X, Y]` to `[B, stages[0], X, Y]`; X and Y are multiples of the coarsest stage's stride."""
        maps = [self.blocks[0](self.enter(x))]
        for down, blocks in zip(self.down, self.blocks[1:], strict=True):  # type: ignore[arg-type]
            maps.append(blocks(down(maps[-1])))
        x = maps.pop()
        for level in reversed(range(len(maps))):
            x = F.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest") + maps[level]
            x = self.merge[level](x)
        return x


def _block(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
