"""A 3x3 convolution of many channels with a quarter of the multiplications.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016):
16 outputs come from 36 products of transformed inputs and weights instead of from 144. The transforms take two passes
over memory, so only wide convolutions become faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.layers.fused_conv import ACTIVATIONS, ActivationName, folded

TILE = 4
"""Height and width of the output of a tile."""

WINDOW = TILE + 2
"""Height and width of the input of a tile."""

# interpolation at 0, 1, -1, 2, -2 and infinity
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_WEIGHT = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _both_axes(matrix: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    """Return a transform of rows, applied to rows and to columns, as one matrix."""
    one = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(one, one)


class WinogradConv(nn.Module):
    """activation(norm(conv(x))) in float32, for inference.

    Args:
        conv: a 3x3 convolution of stride 1 and padding 1.
        norm: batch norm after the convolution; None = no norm.
        activation: activation function.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module | None, activation: ActivationName) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        outputs, inputs = weight.shape[:2]
        taps = weight.double().permute(2, 3, 1, 0).flatten(0, 1)  # [9, C, C']
        transformed = (_both_axes(_WEIGHT) @ taps.flatten(1)).view(-1, inputs, outputs)
        self.weight: torch.Tensor
        self.bias: torch.Tensor
        self.inward: torch.Tensor
        self.outward: torch.Tensor
        self.register_buffer("weight", transformed.float().contiguous(), persistent=False)
        self.register_buffer("bias", torch.zeros(outputs) if bias is None else bias.float(), persistent=False)
        self.register_buffer("inward", _both_axes(_INPUT).float(), persistent=False)
        self.register_buffer("outward", _both_axes(_OUTPUT).float(), persistent=False)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[V, C, H, W]` to `[V, C', H, W]`, channels last."""
        views, channels, height, width = x.shape
        rows, columns = -(-height // TILE), -(-width // TILE)
        beyond = (0, 0, 1, TILE * columns + 1 - width, 1, TILE * rows + 1 - height)
        padded = F.pad(x.permute(0, 2, 3, 1), beyond).contiguous()
        view, row, column, channel = padded.stride()
        windows = padded.as_strided(
            (views, WINDOW, WINDOW, rows, columns, channels), (view, row, column, TILE * row, TILE * column, channel)
        )
        out = x.new_empty(views, rows, TILE, columns, TILE, len(self.bias))
        for tiles, place in zip(windows, out, strict=True):
            spectrum = (self.inward @ tiles.reshape(WINDOW**2, -1)).view(WINDOW**2, -1, channels)
            products = torch.bmm(spectrum, self.weight).flatten(1)
            found = (self.outward @ products).view(TILE, TILE, rows, columns, -1)
            place.copy_(found.permute(2, 0, 3, 1, 4))
        whole = out.view(views, TILE * rows, TILE * columns, -1)[:, :height, :width].add_(self.bias)
        return self.activation.apply(whole).permute(0, 3, 1, 2)
