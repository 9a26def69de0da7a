"""Atrous spatial pyramid over a volume: dilated residual branches side by side."""

from __future__ import annotations

import torch
from torch import nn


class DilatedBranches(nn.Module):
    """The branches of the pyramid, for modules that hold them under their own name.

    Args:
        channels: channels of input and output.
        dilations: dilation of both convolutions of each branch.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = (1, 2, 3)) -> None:
        super().__init__()

        def convolutions() -> nn.ModuleList:
            return nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=d, dilation=d, bias=False) for d in dilations)

        def norms() -> nn.ModuleList:
            return nn.ModuleList(nn.BatchNorm3d(channels) for _ in dilations)

        self.conv1, self.bn1 = convolutions(), norms()
        self.conv2, self.bn2 = convolutions(), norms()

    def pyramid(self, x: torch.Tensor) -> torch.Tensor:
        """Return the ReLU of the sum of the branches and the input: `[B, C, X, Y, Z]` to the same shape."""
        out = x
        for conv1, bn1, conv2, bn2 in zip(self.conv1, self.bn1, self.conv2, self.bn2, strict=True):
            out = out + bn2(conv2(torch.relu(bn1(conv1(x)))))
        return torch.relu(out)


class Aspp3d(DilatedBranches):
    """The pyramid as a separate module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to the same shape."""
        return self.pyramid(x)
