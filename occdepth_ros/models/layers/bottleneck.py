"""Dimensional-decomposition residual blocks (DDR, Li et al., CVPR 2019) as 3-D U-Nets use them."""

from __future__ import annotations

import torch
from torch import nn


def _pooled_projection(channels: int, stride: tuple[int, int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.AvgPool3d(stride, stride), nn.Conv3d(channels, channels, 1, bias=False), nn.BatchNorm3d(channels)
    )


class Bottleneck3d(nn.Module):
    """A residual bottleneck whose 3x3x3 convolution is split into one convolution per axis.

    Args:
        in_channels: channels of the input.
        planes: channels inside the bottleneck.
        out_channels: channels of the output.
        stride: step along every axis.
        dilation: dilation of the three axis convolutions.
        downsample: module that maps the input to the shape of the output for the residual; None = equal shapes.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        s, d = stride, dilation
        self.stride = stride
        self.conv1 = nn.Conv3d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, (1, 1, 3), (1, 1, s), (0, 0, d), (1, 1, d), bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, planes, (1, 3, 1), (1, s, 1), (0, d, 0), (1, d, 1), bias=False)
        self.bn3 = nn.BatchNorm3d(planes)
        self.conv4 = nn.Conv3d(planes, planes, (3, 1, 1), (s, 1, 1), (d, 0, 0), (d, 1, 1), bias=False)
        self.bn4 = nn.BatchNorm3d(planes)
        self.conv5 = nn.Conv3d(planes, out_channels, 1, bias=False)
        self.bn5 = nn.BatchNorm3d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        # Published checkpoints also contain these three for stride 1, but do not use them.
        self.downsample2 = _pooled_projection(planes, (1, s, 1))
        self.downsample3 = _pooled_projection(planes, (s, 1, 1))
        self.downsample4 = _pooled_projection(planes, (s, 1, 1))
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to `[B, C', X/s, Y/s, Z/s]`."""
        residual = x if self.downsample is None else self.downsample(x)
        out1 = self.relu(self.bn1(self.conv1(x)))
        # The sums use the values before the activation, which therefore must not be in place here.
        out2 = self.bn2(self.conv2(out1))
        out3 = self.bn3(self.conv3(torch.relu(out2)))
        if self.stride != 1:
            out2 = self.downsample2(out2)
        out3 = out3 + out2
        out4 = self.bn4(self.conv4(torch.relu(out3)))
        if self.stride != 1:
            out2 = self.downsample3(out2)
            out3 = self.downsample4(out3)
        out4 = self.relu(out4 + out2 + out3)
        out5: torch.Tensor = self.relu(self.bn5(self.conv5(out4)) + residual)
        return out5


class Process(nn.Module):
    """Bottlenecks of equal width in sequence, one per dilation."""

    def __init__(self, channels: int, dilations: tuple[int, ...] = (1, 2, 3)) -> None:
        super().__init__()
        blocks = [Bottleneck3d(channels, channels // 4, channels, dilation=d) for d in dilations]
        self.main = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to the same shape."""
        out: torch.Tensor = self.main(x)
        return out


class Downsample(nn.Module):
    """One bottleneck that halves every axis and doubles the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        residual = nn.Sequential(
            nn.AvgPool3d(2, 2), nn.Conv3d(channels, 2 * channels, 1, bias=False), nn.BatchNorm3d(2 * channels)
        )
        self.main = Bottleneck3d(channels, channels // 4, 2 * channels, stride=2, downsample=residual)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to `[B, 2C, X/2, Y/2, Z/2]`."""
        out: torch.Tensor = self.main(x)
        return out
