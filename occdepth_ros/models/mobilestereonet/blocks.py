"""Convolution blocks of MobileStereoNet, in two and three dimensions (section 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Dims = Literal[2, 3]
"""Convolved axes: rows and columns, or disparities as well."""

_CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def convolution(dims: Dims, *arguments: int, **options: int) -> nn.Module:
    """Return a convolution without bias; arguments as in torch."""
    return _CONV[dims](*arguments, bias=False, **options)


def normed(dims: Dims, in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Return a convolution that keeps the size, then batch norm."""
    return nn.Sequential(
        convolution(dims, in_channels, out_channels, kernel, padding=kernel // 2), _NORM[dims](out_channels)
    )


def doubling(dims: Dims, in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a transposed convolution that doubles every axis, then batch norm."""
    shifted = _TRANSPOSED[dims](in_channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=False)
    return nn.Sequential(shifted, _NORM[dims](out_channels))


class InvertedBlock(nn.Module):
    """MobileNetV2's inverted bottleneck: widen, convolve depthwise, narrow.

    In two dimensions the input is added if stride and widths allow it. The published 3-D blocks do not add it, because
    their condition on the stride is never true, and published weights were trained this way.

    Args:
        dims: convolved axes.
        in_channels, out_channels: channels of input and output.
        stride: step along every axis.
        expansion: channels inside per channel of the input.
    """

    def __init__(self, dims: Dims, in_channels: int, out_channels: int, *, stride: int = 1, expansion: int = 2) -> None:
        super().__init__()
        inside = in_channels * expansion
        self.adds_input = dims == 2 and stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            convolution(dims, in_channels, inside, 1),
            _NORM[dims](inside),
            nn.ReLU6(inplace=True),
            convolution(dims, inside, inside, 3, stride=stride, padding=1, groups=inside),
            _NORM[dims](inside),
            nn.ReLU6(inplace=True),
            convolution(dims, inside, out_channels, 1),
            _NORM[dims](out_channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, ...]` to `[B, C', ... / stride]`."""
        out: torch.Tensor = self.conv(x)
        return x + out if self.adds_input else out


class SeparableBlock(nn.Module):
    """Residual block of two depthwise separable convolutions (MobileNetV1) on an image.

    Args:
        in_channels, out_channels: channels of input and output.
        stride: step of the first convolution.
        dilation: dilation of both convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()

        def separable(inside: int, step: int) -> list[nn.Module]:
            return [
                convolution(2, inside, inside, 3, stride=step, padding=dilation, dilation=dilation, groups=inside),
                nn.BatchNorm2d(inside),
                nn.ReLU6(inplace=True),
                convolution(2, inside, out_channels, 1),
                nn.BatchNorm2d(out_channels),
            ]

        self.conv1 = nn.Sequential(*separable(in_channels, stride), nn.ReLU6(inplace=True))
        self.conv2 = nn.Sequential(*separable(out_channels, 1))
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                convolution(2, in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to `[B, C', H / stride, W / stride]`."""
        out: torch.Tensor = self.conv2(self.conv1(x))
        return out + (x if self.downsample is None else self.downsample(x))


class Hourglass(nn.Module):
    """Encoder-decoder with two halvings and skips, which filters a cost volume.

    Args:
        dims: convolved axes.
        channels: channels of input and output; doubled by each halving.
    """

    def __init__(self, dims: Dims, channels: int) -> None:
        super().__init__()
        c1, c2, c4 = channels, 2 * channels, 4 * channels
        self.conv1 = InvertedBlock(dims, c1, c2, stride=2)
        self.conv2 = InvertedBlock(dims, c2, c2)
        self.conv3 = InvertedBlock(dims, c2, c4, stride=2)
        self.conv4 = InvertedBlock(dims, c4, c4)
        self.conv5 = doubling(dims, c4, c2)
        self.conv6 = doubling(dims, c2, c1)
        self.redir1 = InvertedBlock(dims, c1, c1)
        self.redir2 = InvertedBlock(dims, c2, c2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, ...]` to the same shape; every axis a multiple of 4."""
        half = self.conv2(self.conv1(x))
        quarter = self.conv4(self.conv3(half))
        half = torch.relu(self.conv5(quarter) + self.redir2(half))
        return torch.relu(self.conv6(half) + self.redir1(x))
