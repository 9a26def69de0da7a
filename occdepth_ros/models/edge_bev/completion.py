"""2-D U-Net over the bird's-eye view, with height as channels (as LMSCNet, 3DV 2020, and FlashOcc, 2023)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.layers.basic_block import BasicBlock


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
            nn.Sequential(*(BasicBlock(c) for _ in range(n))) for c, n in zip(stages, depths, strict=True)
        )
        self.down = nn.ModuleList(_block(a, b, stride=2) for a, b in pairwise(stages))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(stages))
        self.merge = nn.ModuleList(_block(c, c) if level == 0 else BasicBlock(c) for level, c in enumerate(stages[:-1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, channels, X, Y]` to `[B, stages[0], X, Y]`; X and Y are multiples of the coarsest stage's stride."""
        maps = [self.blocks[0](self.enter(x))]
        for down, blocks in zip(self.down, self.blocks[1:], strict=True):
            maps.append(blocks(down(maps[-1])))
        x = maps.pop()
        for level in reversed(range(len(maps))):
            x = F.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest") + maps[level]
            x = self.merge[level](x)
        return x


def _block(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
