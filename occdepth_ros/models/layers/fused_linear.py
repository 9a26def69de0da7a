"""A linear layer fused with its activation, on weights that are packed once."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.layers import onednn


class FusedLinear(nn.Module):
    """activation(linear(x)), for inference; on a CPU by the private operators that torch.compile uses, where present.

    Args:
        weight: `[out, in]`.
        bias: `[out]`.
        activation: activation function.
        dtype: number format of the weights; inputs must have it.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        activation: Literal["none", "relu"] = "none",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight: torch.Tensor
        self.bias: torch.Tensor
        self.register_buffer("weight", weight.detach().to(dtype).contiguous(), persistent=False)
        self.register_buffer("bias", bias.detach().to(dtype), persistent=False)
        operators: Any = torch.ops.mkldnn
        has_fused = onednn.is_available(dtype, "_linear_pointwise", "_reorder_linear_weight")
        self._packed = operators._reorder_linear_weight(self.weight) if has_fused else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[N, in]` to `[N, out]`."""
        if self._packed is not None:
            operators: Any = torch.ops.mkldnn
            out: torch.Tensor = operators._linear_pointwise(x, self._packed, self.bias, self.activation, [], "")
            return out
        out = F.linear(x, self.weight, self.bias)
        return out.relu_() if self.activation == "relu" else out
