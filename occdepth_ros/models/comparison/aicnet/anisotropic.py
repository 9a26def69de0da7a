"""The anisotropic convolution (AIC) module of Li et al., CVPR 2020."""

from __future__ import annotations

import torch
from torch import nn

AXES = 3


class AnisotropicModule(nn.Module):
    """A residual bottleneck whose 3-D convolution is split into one mixture of 1-D convolutions per axis.

    Along every axis several 1-D convolutions of different lengths are applied in parallel. Each voxel weights them by
    factors from a 1x1x1 convolution of the module's input and a softmax, so the shape of the receptive field differs by
    voxel.

    Args:
        channels: channels of input and output; half as many inside.
        kernels: odd lengths of the mixed convolutions.
    """

    def __init__(self, channels: int, kernels: tuple[int, ...] = (3, 5, 7)) -> None:
        super().__init__()
        planes = channels // 2
        self.kernels = kernels
        self.reduce = nn.Sequential(nn.Conv3d(channels, planes, 1, bias=False), nn.BatchNorm3d(planes), nn.ReLU())
        self.factors = nn.Conv3d(channels, AXES * len(kernels), 1)
        self.mixtures = nn.ModuleList(
            nn.ModuleList(_along(axis, length, planes) for length in kernels) for axis in range(AXES)
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(planes) for _ in range(AXES))
        self.expand = nn.Sequential(nn.Conv3d(planes, channels, 1, bias=False), nn.BatchNorm3d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to the same shape."""
        factors = self.modulation(x)
        inner = self.reduce(x)
        for axis in range(AXES):
            mixture: nn.ModuleList = self.mixtures[axis]  # type: ignore[assignment]
            mixed = sum(conv(inner) * factors[:, axis, i, None] for i, conv in enumerate(mixture))
            inner = torch.relu(inner + self.norms[axis](mixed))
        return torch.relu(x + self.expand(inner))

    def modulation(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weights of the lengths in every voxel by axis, `[B, 3, len(kernels), X, Y, Z]`; they sum to 1."""
        weights: torch.Tensor = self.factors(x).unflatten(1, (AXES, len(self.kernels))).softmax(dim=2)
        return weights


def _along(axis: int, length: int, channels: int) -> nn.Conv3d:
    x, y, z = (length if axis == a else 1 for a in range(AXES))
    return nn.Conv3d(channels, channels, (x, y, z), padding=(x // 2, y // 2, z // 2), bias=False)
