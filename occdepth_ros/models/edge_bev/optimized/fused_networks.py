"""Image network and U-Net of the bird's-eye-view architecture for inference: one pass over memory per convolution."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.image_network import ImageNetwork
from occdepth_ros.models.layers.basic_block import BasicBlock
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.fused_efficientnet import FusedBlock, fused
from occdepth_ros.models.layers.winograd import WinogradConv, convolution
from occdepth_ros.models.runtime.parallel import Workers

MIN_ROWS = 16
"""Smallest height of half a map that a thread computes: each of its convolutions adds a row."""


class OptimizedImageNetwork(nn.Module):
    """The image network with fused convolutions.

    Args:
        network: the reference module, in evaluation mode.
        dtype: number format.
        workers: threads that may compute parts of a convolution; None = the calling thread only.
    """

    def __init__(self, network: ImageNetwork, dtype: torch.dtype, workers: Workers | None = None) -> None:
        super().__init__()
        encoder: Any = network.encoder
        self.dtype = dtype
        self.stem = fused(encoder, "conv_stem", "bn1", dtype)
        stages = [nn.Sequential(*(FusedBlock(block, dtype) for block in stage)) for stage in encoder.blocks]
        self.stages = nn.ModuleList(stages)
        self.tapped = encoder.tapped
        self.lateral = nn.ModuleList(FusedConv(conv, None, "none", dtype) for conv in network.lateral)
        self.context = nn.Sequential(*(_block(block, dtype, workers) for block in network.context))
        self.smooth = nn.ModuleList(_block(block, dtype, workers) for block in network.smooth)
        self.head = _block(network.head, dtype, workers)
        self.sizes = [network.classes.out_channels, network.features.out_channels]
        self.out = FusedConv(_side_by_side((network.classes, network.features)), None, "none", dtype)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the outputs of `ImageNetwork.forward` in this module's number format."""
        x = self.stem(images.to(self.dtype))
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.tapped:
                maps.append(x)
        x = self.context(self.lateral[-1](maps[-1]))
        for level in reversed(range(len(maps) - 1)):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.smooth[level](self.lateral[level](maps[level], x))
        logits, features = self.out(self.head(x)).split(self.sizes, 1)
        return logits, features


class OptimizedUNet(nn.Module):
    """The U-Net with fused convolutions.

    Args:
        network: the reference module, in evaluation mode.
        dtype: number format.
        workers: threads, two of which compute one half of the larger maps each; None = the calling thread.
    """

    def __init__(self, network: BevUNet, dtype: torch.dtype, workers: Workers | None = None) -> None:
        super().__init__()
        self.dtype, self.workers = dtype, workers
        self.enter = _block(network.enter, dtype)
        stages = [
            nn.Sequential(*(_FusedBasicBlock(block, dtype, workers) for block in cast(Any, stage)))
            for stage in network.blocks
        ]
        self.blocks = nn.ModuleList(stages)
        self.down = nn.ModuleList(_block(block, dtype) for block in network.down)
        self.up = nn.ModuleList(FusedConv(conv, None, "none", dtype) for conv in network.up)
        self.merge = nn.ModuleList(
            _FusedBasicBlock(block, dtype, workers) if isinstance(block, BasicBlock) else _block(block, dtype, workers)
            for block in network.merge
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the outputs of `BevUNet.forward` in this module's number format."""
        first, x = nn.Sequential(self.enter, *cast(Any, self.blocks[0])), x.to(self.dtype)
        for layers in first if _is_divided(first) else [first]:
            x = self._halved(layers, x)
        maps = [x]
        for down, blocks in zip(self.down, self.blocks[1:], strict=True):
            x = down(maps[-1])
            for block in cast(Any, blocks):
                x = self._halved(block, x)
            maps.append(x)
        x = maps.pop()
        for level in reversed(range(len(maps))):
            x = F.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest").add_(maps[level])
            x = self._halved(self.merge[level], x)
        return x

    def _halved(self, layers: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Apply layers that keep the size, and may overwrite their input, to both halves of `[1, C, X, Y]` in
        parallel."""
        if _is_divided(layers):
            divided: torch.Tensor = layers(x)
            return divided
        convolutions = sum(isinstance(layer, FusedConv) and layer.kernel[0] > 1 for layer in layers.modules())
        halo, half = convolutions, x.shape[2] // 2
        if self.workers is None or self.workers.count < 2 or half < MIN_ROWS:
            out: torch.Tensor = layers(x)
            return out
        # rows beyond the half: the receptive field of the convolutions in the other half
        parts = [x[:, :, : half + halo], x[:, :, half - halo :]]
        runs = [self.workers.submit(layers, part.clone(memory_format=torch.channels_last)) for part in parts]
        upper, lower = (run.result() for run in runs)
        return torch.cat([upper[:, :, :half], lower[:, :, halo:]], 2)


class _FusedBasicBlock(nn.Module):
    def __init__(self, block: BasicBlock, dtype: torch.dtype, workers: Workers | None) -> None:
        super().__init__()
        self.first = convolution(block.conv1, block.bn1, "relu", dtype, workers)
        self.second = convolution(block.conv2, block.bn2, "relu", dtype, workers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x), x)
        return out


def _block(block: nn.Module, dtype: torch.dtype, workers: Workers | None = None) -> nn.Module:
    """Return a convolution with norm and ReLU."""
    conv, norm, _ = cast(nn.Sequential, block)
    return convolution(conv, norm, "relu", dtype, workers)


def _is_divided(layers: nn.Module) -> bool:
    """Return whether convolutions of the layers divide their maps among the workers themselves."""
    return any(isinstance(layer, WinogradConv) for layer in layers.modules())


def _side_by_side(convolutions: tuple[nn.Conv2d, ...]) -> nn.Conv2d:
    """Return one convolution of size 1 that replaces several with the same input."""
    weight = torch.cat([conv.weight for conv in convolutions])
    joined = nn.Conv2d(weight.shape[1], len(weight), 1)
    joined.weight = nn.Parameter(weight)
    joined.bias = nn.Parameter(torch.cat([cast(torch.Tensor, conv.bias) for conv in convolutions]))
    return joined
