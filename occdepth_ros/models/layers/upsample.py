"""Learned upsampling of a volume."""

from __future__ import annotations

import torch
from torch import nn


class Upsample3d(nn.Module):
    """Transposed convolution, batch norm, ReLU.

    Args:
        in_channels, out_channels: channels of input and output.
        stride: 2 doubles every axis; 1 keeps the size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose3d(in_channels, out_channels, 3, stride, padding=1, output_padding=stride - 1),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to `[B, C', sX, sY, sZ]`."""
        out: torch.Tensor = self.main(x)
        return out
