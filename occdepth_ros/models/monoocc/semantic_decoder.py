"""Decoder of the auxiliary 2-D semantic loss, used in training only."""

from __future__ import annotations

import torch
from torch import nn


class ZeroStuffing(nn.Module):
    """A transposed convolution of size 1 with stride 2 (every other pixel is the bias), then 1x1, norm, ReLU."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(channels, channels, 1, stride=2, output_padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, h, w]` to `[B, C, 2h, 2w]`."""
        out: torch.Tensor = self.bn(self.pointwise(self.conv1(x)))
        return out


class SemanticDecoder(nn.Module):
    """Class logits of an image at four times the resolution of its features.

    Args:
        channels: channels of the features.
        n_classes: semantic classes.
        dropout: dropout probability in training.
    """

    def __init__(self, channels: int, n_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.upconv = ZeroStuffing(channels, dropout)
        self.upconv2 = ZeroStuffing(channels, dropout)
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(channels, n_classes, 1),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `[V, C, h, w]` to `[V, n_classes, 4h, 4w]`."""
        logits: torch.Tensor = self.head(self.upconv2(self.upconv(features)))
        return logits
