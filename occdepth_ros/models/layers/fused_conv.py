"""A convolution fused with its batch norm, a summand and an activation, in one pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from occdepth_ros.models.layers import onednn
from occdepth_ros.models.layers.same_padding import is_padded_same, pad_same

ActivationName = Literal["none", "relu", "leaky_relu", "silu", "relu6"]


@dataclass(frozen=True)
class Activation:
    """An activation function.

    Args:
        attr, scalars: name and parameters in oneDNN's fused convolutions.
        apply: the activation as a torch function that may work in place.
    """

    attr: str
    scalars: tuple[float, ...]
    apply: Callable[[torch.Tensor], torch.Tensor]


ACTIVATIONS: dict[ActivationName, Activation] = {
    "none": Activation("none", (), lambda x: x),
    "relu": Activation("relu", (), torch.relu_),
    "leaky_relu": Activation("leaky_relu", (0.01,), lambda x: F.leaky_relu_(x, 0.01)),
    "silu": Activation("swish", (), lambda x: F.silu(x, inplace=True)),
    "relu6": Activation("hardtanh", (0.0, 6.0), lambda x: F.hardtanh_(x, 0.0, 6.0)),
}

_NAMES: dict[type[nn.Module], ActivationName] = {
    nn.Identity: "none",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.SiLU: "silu",
    nn.ReLU6: "relu6",
}


def activation_of(module: nn.Module | None) -> ActivationName:
    """Return the name of an activation module; None stands for no activation."""
    return "none" if module is None else _NAMES[type(module)]


_FUSED = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")

_Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d


class FusedConv(nn.Module):
    """activation(norm(conv(x)) + summand), for inference.

    On a CPU oneDNN computes it in one kernel on weights that are packed once, through the private operators that
    torch.compile uses. Otherwise it is computed step by step.

    Args:
        conv: the convolution, 2-D, 3-D or transposed 3-D.
        norm: batch norm after the convolution; None = no norm.
        activation: activation function after the sum.
        dtype: number format of the weights; inputs must have it.
    """

    def __init__(
        self,
        conv: nn.Module,
        norm: nn.Module | None = None,
        activation: ActivationName = "none",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        source = cast(_Conv, conv)
        self.transposed = isinstance(conv, nn.ConvTranspose3d)
        weight, bias = folded(source, norm)
        layout = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
        self.weight: torch.Tensor | None
        self.bias: torch.Tensor | None
        self.register_buffer("weight", weight.to(dtype).contiguous(memory_format=layout), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.to(dtype), persistent=False)
        self.activation = ACTIVATIONS[activation]
        self.same = is_padded_same(conv)
        self.kernel, self.stride = list(source.kernel_size), list(source.stride)
        self.dilation, self.groups = list(source.dilation), source.groups
        self.padding = [0] * len(self.stride) if isinstance(source.padding, str) else [int(p) for p in source.padding]
        self.output_padding = list(cast(Any, source).output_padding)
        self._packed: torch.Tensor | None = None
        self._has_fused = onednn.is_available(dtype, *_FUSED)
        halves = self.same and self.stride == [2, 2] and self.kernel in ([3, 3], [5, 5]) and self.dilation == [1, 1]
        self._of_even = FusedConv(_symmetric(source), norm, activation, dtype) if halves else None
        """The same convolution of maps with even sizes, without a padded copy of the map."""

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """Map `[B, C, ...]` to `[B, C', ...]`; the summand has the output's shape and may be overwritten."""
        is_cpu = x.device.type == "cpu" and self._has_fused
        if self._of_even is not None and is_cpu and x.shape[2] % 2 == x.shape[3] % 2 == 0:
            out: torch.Tensor = self._of_even(x, summand)
            return out
        if self.same:
            x = pad_same(x, self.kernel, self.stride, self.dilation)
        if not self.transposed and is_cpu:
            return self._fused(x, summand)
        assert self.weight is not None
        if self.transposed:
            out = F.conv_transpose3d(
                x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
            )
        else:
            function: Any = F.conv2d if x.ndim == 4 else F.conv3d
            out = function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        if summand is not None:
            out += summand
        return self.activation.apply(out)

    def _fused(self, x: torch.Tensor, summand: torch.Tensor | None) -> torch.Tensor:
        operators: Any = torch.ops.mkldnn
        x = x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
        # read in this order, because threads may pack concurrently: the weight is dropped after packing
        weight, packed = self.weight, self._packed
        if packed is None:
            self._packed = packed = operators._reorder_convolution_weight(
                weight, self.padding, self.stride, self.dilation, self.groups, list(x.shape)
            )
            self.weight = None
        shape = self.padding, self.stride, self.dilation, self.groups
        attr, scalars = self.activation.attr, list(self.activation.scalars)
        if summand is None:
            out: torch.Tensor = operators._convolution_pointwise(x, packed, self.bias, *shape, attr, scalars, "")
            return out
        # with a summand oneDNN fuses ReLU only
        fused = attr if attr == "relu" else None
        out = operators._convolution_pointwise_.binary(summand, x, packed, self.bias, *shape, "add", 1.0, fused, [], "")
        return out if fused else self.activation.apply(out)


def _symmetric(conv: _Conv) -> nn.Conv2d:
    """Return a convolution with symmetric padding that replaces one with "SAME" padding and stride 2 on even sizes.

    "SAME" padding adds one row and column less before the map than after it; the weight has zeros there.
    """
    size = conv.kernel_size[0]
    wide = nn.Conv2d(
        conv.in_channels, conv.out_channels, size + 1, 2, size // 2, groups=conv.groups, bias=conv.bias is not None
    ).requires_grad_(False)
    wide.weight.copy_(F.pad(conv.weight.detach(), (1, 0, 1, 0)))
    if conv.bias is not None and wide.bias is not None:
        wide.bias.copy_(conv.bias.detach())
    return wide.to(conv.weight.device)


def folded(conv: nn.Module, norm: nn.Module | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weight and bias of a convolution with the following batch norm folded in; shapes of the convolution's."""
    source = cast(_Conv, conv)
    if norm is None:
        return source.weight.detach(), None if source.bias is None else source.bias.detach()
    bn = cast(_BatchNorm, norm)
    assert bn.running_mean is not None and bn.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        source.weight, source.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose=isinstance(conv, nn.ConvTranspose3d),
    )  # fmt: skip
    return weight.detach(), bias.detach()
