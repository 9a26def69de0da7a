"""The EfficientNet with all norms and activations fused into the convolutions."""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.fused_efficientnet import FusedBlock, fused
from occdepth_ros.models.occdepth.encoder import TAPPED_STAGES, Encoder


class OptimizedEncoder(nn.Module):
    """The encoder.

    Args:
        encoder: the reference module, in evaluation mode.
        dtype: number format.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        super().__init__()
        model = encoder.original_model
        self.stem = fused(model, "conv_stem", "bn1", dtype)
        self.stages = nn.ModuleList(
            nn.Sequential(*(FusedBlock(block, dtype) for block in stage)) for stage in model.blocks
        )
        self.head = FusedConv(model.conv_head, None, "none", dtype)

    def forward(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Compute the maps by scale as the reference encoder does, from `[V, 3, H, W]`."""
        maps = {1: images}
        x = self.stem(images)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPPED_STAGES:
                maps[TAPPED_STAGES[index]] = x
        maps[32] = self.head(x)
        return maps
