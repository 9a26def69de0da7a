"""Blocks of EfficientNets with all norms and activations fused into the convolutions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from occdepth_ros.models.layers.fused_conv import FusedConv, activation_of


class FusedBlock(nn.Module):
    """A depthwise-separable or inverted-residual block with the weights of a block of `Lite0` or of timm."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        inverted = hasattr(block, "conv_pwl")
        steps = [("conv_pw", "bn1"), ("conv_dw", "bn2")] if inverted else [("conv_dw", "bn1")]
        last = ("conv_pwl", "bn3") if inverted else ("conv_pw", "bn2")
        self.steps = nn.Sequential(*(fused(block, *names, dtype) for names in steps))
        self.last = fused(block, *last, dtype)
        self.gate: nn.Sequential | None = None
        if not isinstance(block.se, nn.Identity):
            self.gate = nn.Sequential(
                FusedConv(block.se.conv_reduce, None, activation_of(block.se.act1), dtype),
                FusedConv(block.se.conv_expand, None, "none", dtype),
            )
        self.residual: bool = block.has_skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[V, C, h, w]` to `[V, C', h/s, w/s]`; may overwrite its input if the block has a residual."""
        y: torch.Tensor = self.steps(x)
        if self.gate is not None:
            y *= self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        out: torch.Tensor = self.last(y, x if self.residual else None)
        return out


def fused(parent: Any, conv: str, norm: str, dtype: torch.dtype) -> FusedConv:
    """Return the fused convolution of two children of a module, given by name, with the activation of the norm."""
    bn = getattr(parent, norm)
    return FusedConv(getattr(parent, conv), bn, activation_of(getattr(bn, "act", None)), dtype)
