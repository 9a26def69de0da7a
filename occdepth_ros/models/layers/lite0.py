"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le, ICML 2019, table 1) without squeeze-and-excitation, with ReLU6.

Parameter names and computation are those of timm's `tf_efficientnet_lite0`, so that weights of either fit the other.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from occdepth_ros.models.layers.same_padding import Conv2dSame

STEM = 32
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
"""Kernel, stride, expansion, channels and number of blocks of each stage."""


class NormAct(nn.BatchNorm2d):
    """Batch norm followed by ReLU6, or by nothing."""

    def __init__(self, channels: int, *, activated: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act: nn.Module = nn.ReLU6(inplace=True) if activated else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to the same shape."""
        out: torch.Tensor = self.act(super().forward(x))
        return out


class SeparableBlock(nn.Module):
    """Depthwise and pointwise convolution: the block of the first stage.

    Args:
        inputs, outputs: channels.
        kernel, stride: of the depthwise convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(inputs, kernel, stride)
        self.bn1 = NormAct(inputs)
        self.se = nn.Identity()
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = NormAct(outputs, activated=False)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to `[B, C', H/stride, W/stride]`, sizes rounded up."""
        y: torch.Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return x + y if self.has_skip else y


class InvertedResidual(nn.Module):
    """Pointwise expansion, depthwise convolution and pointwise projection (Sandler et al., CVPR 2018).

    Args:
        inputs, outputs: channels.
        kernel, stride: of the depthwise convolution.
        expansion: channels between the pointwise convolutions, as a multiple of `inputs`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.conv_pw = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = NormAct(inner)
        self.conv_dw = _depthwise(inner, kernel, stride)
        self.bn2 = NormAct(inner)
        self.se = nn.Identity()
        self.conv_pwl = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = NormAct(outputs, activated=False)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to `[B, C', H/stride, W/stride]`, sizes rounded up."""
        y = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else y


class Lite0(nn.Module):
    """Maps of EfficientNet-Lite0, with fresh weights.

    Args:
        tapped: stages whose outputs are returned, ascending; stages 0 to 6 have strides 2, 4, 8, 16, 16, 32, 32.
        complete: whether stages after the last tapped one are built.
    """

    def __init__(self, tapped: tuple[int, ...] = (1, 2, 4, 6), *, complete: bool = True) -> None:
        super().__init__()
        self.tapped = tapped
        self.conv_stem = Conv2dSame(3, STEM, 3, stride=2, bias=False)
        self.bn1 = NormAct(STEM)
        inputs, stages = STEM, []
        for kernel, stride, expansion, outputs, count in STAGES if complete else STAGES[: tapped[-1] + 1]:
            blocks: list[nn.Module] = []
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(
                    SeparableBlock(inputs, outputs, kernel, step)
                    if expansion == 1
                    else InvertedResidual(inputs, outputs, kernel, step, expansion)
                )
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.channels: tuple[int, ...] = tuple(STAGES[index][3] for index in tapped)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map `[B, 3, H, W]`, normalised, to the maps of the tapped stages `[B, C_s, H/s, W/s]`, sizes rounded up."""
        x = self.bn1(self.conv_stem(images))
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in self.tapped:
                maps.append(x)
        return maps


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    if stride > 1:
        return Conv2dSame(channels, channels, kernel, stride, groups=channels, bias=False)
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
