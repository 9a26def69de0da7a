"""Feature extraction of both images at a quarter of their size, before matching."""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.models.mobilestereonet.blocks import InvertedBlock, SeparableBlock

CHANNELS = 320
"""Of the features."""
_LAYERS = ((32, 3, 1, 1), (64, 16, 2, 1), (128, 3, 1, 1), (128, 3, 1, 2))
"""Channels, blocks, stride and dilation of each layer."""


class FeatureExtraction(nn.Module):
    """Three inverted bottlenecks, then four layers of separable residual blocks; the last three layers are
    concatenated.

    Args:
        rectified: whether a ReLU follows each of the first three blocks, as in the 2-D network.
    """

    def __init__(self, *, rectified: bool) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        for in_channels, stride in ((3, 2), (32, 1), (32, 1)):
            stem.append(InvertedBlock(2, in_channels, 32, stride=stride, expansion=3))
            if rectified:
                stem.append(nn.ReLU(inplace=True))
        self.firstconv = nn.Sequential(*stem)
        width = 32
        layers = []
        for channels, blocks, stride, dilation in _LAYERS:
            layer = [SeparableBlock(width, channels, stride=stride, dilation=dilation)]
            layer += [SeparableBlock(channels, channels, dilation=dilation) for _ in range(blocks - 1)]
            layers.append(nn.Sequential(*layer))
            width = channels
        self.layer1, self.layer2, self.layer3, self.layer4 = layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map `[B, 3, H, W]`, normalised, to `[B, 320, H/4, W/4]`."""
        second = self.layer2(self.layer1(self.firstconv(images)))
        third = self.layer3(second)
        return torch.cat([second, third, self.layer4(third)], dim=1)
