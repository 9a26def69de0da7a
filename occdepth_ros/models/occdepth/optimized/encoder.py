"""The EfficientNet with every norm and activation inside its convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from occdepth_ros.models.layers.fused_conv import FusedConv, activation_of
from occdepth_ros.models.occdepth.encoder import TAPPED_STAGES, Encoder


class OptimizedBlock(nn.Module):
    """A depthwise-separable or inverted-residual block of timm's, of which it takes the weights over."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        inverted = hasattr(block, "conv_pwl")
        steps = [("conv_pw", "bn1"), ("conv_dw", "bn2")] if inverted else [("conv_dw", "bn1")]
        last = ("conv_pwl", "bn3") if inverted else ("conv_pw", "bn2")
        self.steps = nn.Sequential(*(_fused(block, *names, dtype) for names in steps))
        self.last = _fused(block, *last, dtype)
        self.gate: nn.Sequential | None = None
        if not isinstance(block.se, nn.Identity):
            self.gate = nn.Sequential(
                FusedConv(block.se.conv_reduce, None, activation_of(block.se.act1), dtype),
                FusedConv(block.se.conv_expand, None, "none", dtype),
            )
        self.residual: bool = block.has_skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[V, C, h, w]` to `[V, C', h/s, w/s]`; may overwrite its input where there is a residual."""
        y: torch.Tensor = self.steps(x)
        if self.gate is not None:
            y *= self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        out: torch.Tensor = self.last(y, x if self.residual else None)
        return out


class OptimizedEncoder(nn.Module):
    """The encoder.

    Args:
        encoder: the reference module, in evaluation mode.
        dtype: number format.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        super().__init__()
        model = encoder.original_model
        self.stem = _fused(model, "conv_stem", "bn1", dtype)
        self.stages = nn.ModuleList(
            nn.Sequential(*(OptimizedBlock(block, dtype) for block in stage)) for stage in model.blocks
        )
        self.head = FusedConv(model.conv_head, None, "none", dtype)

    def forward(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """As the reference encoder: `[V, 3, H, W]` to maps by scale."""
        maps = {1: images}
        x = self.stem(images)
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPPED_STAGES:
                maps[TAPPED_STAGES[index]] = x
        maps[32] = self.head(x)
        return maps


def _fused(parent: Any, conv: str, norm: str, dtype: torch.dtype) -> FusedConv:
    bn = getattr(parent, norm)
    return FusedConv(getattr(parent, conv), bn, activation_of(getattr(bn, "act", None)), dtype)
