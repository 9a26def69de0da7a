"""2-D network of the bird's-eye-view architecture: EfficientNet-Lite0 and a feature pyramid (Lin et al., CVPR 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.layers.lite0 import Lite0

SCALES = (4, 8, 16, 32)
"""Strides of the encoder maps that the pyramid reads, pixels."""
STRIDE = 4
"""Stride of the features and of the class logits, pixels."""


class ImageNetwork(nn.Module):
    """Maps an image to class logits and features at a quarter of its size.

    Args:
        n_classes: semantic classes; index 0 is sky.
        width: channels of the pyramid.
        n_features: channels of the features that are lifted to voxels.
    """

    def __init__(self, n_classes: int, width: int = 64, n_features: int = 8) -> None:
        super().__init__()
        self.encoder = Lite0()  # weights come from a checkpoint or from `load_lite0`
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in self.encoder.channels)
        self.context = nn.Sequential(_convolution(width), _convolution(width, dilation=2))
        self.smooth = nn.ModuleList(_convolution(width) for _ in SCALES[:-1])
        self.head = _convolution(width)
        self.classes = nn.Conv2d(width, n_classes, 1)
        self.features = nn.Conv2d(width, n_features, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits and features.

        Args:
            images: `[B, 3, H, W]`, see `normalized`; H and W are multiples of 32.

        Returns:
            class logits `[B, n_classes, H/4, W/4]` and features `[B, n_features, H/4, W/4]`.
        """
        maps = self.encoder(images)
        x = self.context(self.lateral[-1](maps[-1]))
        for level in reversed(range(len(SCALES) - 1)):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.smooth[level](x + self.lateral[level](maps[level]))
        x = self.head(x)
        return self.classes(x), self.features(x)


def normalized(images: torch.Tensor) -> torch.Tensor:
    """Map `[B, H, W, 3]` RGB uint8 to the encoder's input, `[B, 3, H, W]` float32 in [-1, 1], channels innermost."""
    return ((images.movedim(-1, 1).float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def _convolution(width: int, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
