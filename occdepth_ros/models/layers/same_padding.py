"""Convolutions padded as in TensorFlow ("SAME"): the output has size ceil(input / stride) for every input size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def pad_same(
    x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)
) -> torch.Tensor:
    """Pad `[B, C, H, W]` with zeros for a convolution; an odd row or column is added at the bottom or right."""
    sides: list[int] = []
    for size, k, s, d in reversed(list(zip(x.shape[-2:], kernel, stride, dilation, strict=True))):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides)


class Conv2dSame(nn.Conv2d):
    """A convolution with this padding."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, H, W]` to `[B, C', ceil(H / stride), ceil(W / stride)]`."""
        x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def is_padded_same(conv: nn.Module) -> bool:
    """Return whether a convolution has this padding, by its class name; timm has the same name and is not imported."""
    return type(conv).__name__ == Conv2dSame.__name__
