"""Convolutions of 8-bit activations and weights, for inference on CPUs that multiply them in hardware (VNNI, AMX)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from occdepth_ros.models.layers.fused_conv import folded

LEVELS = 255
"""Largest stored activation."""
DEVIATIONS = 6.0
"""Standard deviations of a batch norm's output from its mean that are represented; larger values saturate."""
KEPT = 16
"""Number of packed weights that a convolution keeps, for different zeros of its input: successive pairs have similar
ones, and packing takes 0.5 ms."""


@dataclass(frozen=True)
class Quantized:
    """Activations as bytes: value = scale * (stored - zero).

    Args:
        stored: `[1, C, X, Y]` uint8, channels innermost in memory.
        scale: of one step.
        zero: stored zero.
    """

    stored: torch.Tensor
    scale: float
    zero: int = 0


def largest_of(norm: nn.Module, before: float = 0.0) -> float:
    """Largest represented value of a batch norm followed by ReLU, from the statistics of its training (Nagel et al.,
    ICCV 2019); `before` is that of a summand."""
    bn: Any = norm
    assert isinstance(norm, _BatchNorm)
    return max(float((bn.bias + DEVIATIONS * bn.weight.abs()).detach().max()), 1e-3) + before


class QuantizedConv(nn.Module):
    """activation(norm(conv(x)) + summand) of bytes; the weights have a scale for each output channel.

    Args:
        conv: a 2-D convolution.
        norm: the batch norm behind it; None = none.
        relu: whether a ReLU follows.
        largest: largest value of the output, which is stored as bytes; None = the output is not quantized.
        dtype: number format of an output that is not quantized.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        norm: nn.Module | None = None,
        *,
        relu: bool = False,
        largest: float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        weight = weight.float()
        scales = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        stored = (weight / scales.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._weight: torch.Tensor | None = stored
        self._packed: dict[int, torch.Tensor] = {}
        self.channels = conv.out_channels
        self.register_buffer("bias", None if bias is None else bias.float(), persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int32), persistent=False)
        self.shape = list(conv.stride), [int(p) for p in conv.padding], list(conv.dilation), conv.groups
        self.relu = "relu" if relu else "none"
        self.step = None if largest is None else largest / LEVELS
        self.dtype = torch.uint8 if largest is not None else dtype

    def forward(self, x: Quantized, summand: Quantized | None = None) -> Quantized:
        """`[1, C, X, Y]` to `[1, C', X', Y']` bytes; the summand has the output's shape and is overwritten."""
        assert self.step is not None
        operators: Any = torch.ops.onednn.qconv2d_pointwise
        given = x.stored, x.scale, x.zero, self._weights(x.zero), self.scales, self.zeros
        if summand is None:
            out = operators(*given, self.bias, *self.shape, self.step, 0, self.dtype, self.relu, [], "")
        else:
            added: tuple[Any, ...] = summand.scale, summand.zero, "sum", 1.0, self.relu, [], ""
            out = operators.binary(*given, summand.stored, self.bias, *self.shape, self.step, 0, self.dtype, *added)
        return Quantized(out, self.step)

    def values(self, x: Quantized) -> torch.Tensor:
        """The same without quantizing the output."""
        operators: Any = torch.ops.onednn.qconv2d_pointwise
        given = x.stored, x.scale, x.zero, self._weights(x.zero), self.scales, self.zeros
        out: torch.Tensor = operators(*given, self.bias, *self.shape, 1.0, 0, self.dtype, self.relu, [], "")
        return out

    def _weights(self, zero: int) -> torch.Tensor:
        """The packed weights; a stored zero other than 0 has a compensation of its own."""
        packed = self._packed.get(zero)
        if packed is None:
            operators: Any = torch.ops.onednn
            packed = operators.qconv_prepack(self._weight, self.scales, 1.0, zero, *self.shape, None)
            # a copy, because threads may pack concurrently
            self._packed = {**dict([*self._packed.items()][1 - KEPT :]), zero: packed}
        return packed


def is_available() -> bool:
    """Whether this CPU multiplies bytes in hardware; without, oneDNN's sums of products may saturate."""
    operators: Any = torch.ops.onednn
    has_operators = all(hasattr(operators, name) for name in ("qconv2d_pointwise", "qconv_prepack"))
    # torch before 2.5 cannot tell
    return has_operators and bool(getattr(torch.cpu, "_is_vnni_supported", bool)())
