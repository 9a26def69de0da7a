"""Image encoders, and the neck that maps their features to the number of channels of the queries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.errors import ModelError
from occdepth_ros.models.layers.lite0 import Lite0
from occdepth_ros.models.monoocc.config import Backbone
from occdepth_ros.models.monoocc.internimage import InternImage


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """Return all batch norms of a network."""
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


class ResNet50(nn.Module):
    """torchvision's ResNet-50 up to stride 16, with torchvision's parameter names.

    As in the published training, batch norms, stem and first stage are frozen.
    """

    channels = (1024,)

    def __init__(self) -> None:
        super().__init__()
        try:
            from torchvision.models import resnet50  # type: ignore[import-untyped]  # only this network needs it
        except ImportError as error:
            text = "the image network of MonoOcc-S needs the package torchvision"
            raise ModelError(text, where="monoocc-s", remedy="Install it: pip install torchvision") from error
        full = resnet50(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = full.conv1, full.bn1, full.relu, full.maxpool
        self.layer1, self.layer2, self.layer3 = full.layer1, full.layer2, full.layer3
        for part in (self.conv1, self.layer1, *norms_of(self)):
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet50:
        """Set the mode of all modules except the batch norms."""
        super().train(mode)
        for norm in norms_of(self):
            norm.eval()
        return self

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map normalised `[B, 3, H, W]` to a list with one map, `[B, 1024, H/16, W/16]`, sizes rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return [self.layer3(self.layer2(self.layer1(x)))]


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to stride 16, with features at 1/8 and 1/16: a backbone for small computers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Lite0((2, 4), complete=False)
        self.channels = self.net.channels
        self._settled = False

    def freeze_early_layers(self) -> None:
        """Freeze batch norms and all layers before stride 8, as in the published training; for pretrained weights.

        Statistics of single scenes would harm the norms, and the frozen layers save half of the backward pass.
        """
        self._settled = True
        for part in (self.net.conv_stem, self.net.bn1, self.net.blocks[:2], *norms_of(self)):
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Set the mode of all modules, or of all except the batch norms."""
        super().train(mode)
        if self._settled:
            for norm in norms_of(self):
                norm.eval()
        return self

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map normalised `[B, 3, H, W]` to `[B, 40, H/8, W/8]` and `[B, 112, H/16, W/16]`, sizes rounded up."""
        out: list[torch.Tensor] = self.net(images)
        return out


class ConvolutionHolder(nn.Module):
    """A convolution under the name `conv`, as published checkpoints nest it."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the convolution."""
        out: torch.Tensor = self.conv(x)
        return out


class PyramidNeck(nn.Module):
    """Feature pyramid that returns the finest level only (Lin et al., CVPR 2017), without norms and activations.

    Args:
        inputs: channels of the levels, finest first.
        channels: channels of the output.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(ConvolutionHolder(nn.Conv2d(c, channels, 1)) for c in inputs)
        self.fpn_convs = nn.ModuleList([ConvolutionHolder(nn.Conv2d(channels, channels, 3, padding=1))])

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Map `[B, C_i, h_i, w_i]`, finest first, to `[B, C, h_0, w_0]`."""
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, maps, strict=True)]
        merged = laterals.pop()
        while laterals:
            finer = laterals.pop()
            merged = finer + F.interpolate(merged, size=finer.shape[-2:], mode="nearest")
        out: torch.Tensor = self.fpn_convs[0](merged)
        return out


def make_backbone(name: Backbone) -> ResNet50 | InternImage | EfficientNetLite0:
    """Create the encoder of this name, with fresh weights."""
    if name == "resnet50":
        return ResNet50()
    return InternImage() if name == "internimage-xl" else EfficientNetLite0()
