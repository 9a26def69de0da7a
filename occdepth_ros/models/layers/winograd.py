"""Winograd convolutions F(4x4, 3x3) in float32 (Lavin and Gray, CVPR 2016): a quarter of the multiplications.

A tile of 4x4 output pixels depends on 6x6 input pixels, which are transformed to 36 values; there the convolution is a
product with the transformed weights, `[tiles, C] x [C, C']` for each of the 36 values.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.models.layers.block_product import BLOCK, ROWS
from occdepth_ros.models.layers.cpu_formats import has_few_multipliers
from occdepth_ros.models.layers.fused_conv import ActivationName, FusedConv, folded
from occdepth_ros.models.layers.vector_code import LANES
from occdepth_ros.models.layers.winograd_loops import FAR, NEAR, convolve
from occdepth_ros.models.runtime.parallel import Workers

TILES = 60
"""Tiles of a chunk: its transformed inputs and products, 1 to 1.5 MB each, remain in the last cache."""
FEWEST = 18
"""Tiles of a chunk of a map with few of them: every chunk reads all weights, 4 MB for 160 channels."""


def convolution(
    conv: nn.Module, norm: nn.Module | None, activation: ActivationName, dtype: torch.dtype, workers: Workers | None
) -> nn.Module:
    """Return the convolution that is faster on this CPU, a `WinogradConv` or a `FusedConv`.

    Args:
        conv, norm, activation, dtype: as in `FusedConv`.
        workers: threads of a `WinogradConv`; None = it is not wanted.
    """
    if workers is not None and dtype == torch.float32 and has_few_multipliers() and fits(conv, activation):
        return WinogradConv(cast(nn.Conv2d, conv), norm, activation, workers)
    return FusedConv(conv, norm, activation, dtype)


def fits(conv: nn.Module, activation: ActivationName) -> bool:
    """Return whether a `WinogradConv` computes a convolution."""
    return (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.dilation, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and conv.padding in ((1, 1), "same")
        and conv.padding_mode == "zeros"
        and conv.in_channels % LANES == conv.out_channels % BLOCK == 0
        and activation in ("none", "relu")
    )


class WinogradConv(nn.Module):
    """activation(norm(conv(x)) + summand) in float32, for inference on a CPU.

    Args:
        conv: a convolution that `fits`.
        norm: batch norm after the convolution; None = no norm.
        activation: "none" or "relu".
        workers: threads that divide the tiles.
    """

    def __init__(
        self, conv: nn.Conv2d, norm: nn.Module | None, activation: ActivationName, workers: Workers | None = None
    ) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        _, kernel, _ = (torch.from_numpy(matrix) for matrix in matrices())
        self.channels, before = weight.shape[:2]
        transformed = torch.einsum("ik,jl,ockl->ijco", kernel, kernel, weight.double()).float()
        blocks = transformed.view(36, before, -1, BLOCK).transpose(1, 2)
        self.weight = blocks.contiguous().view(-1).numpy()
        self.bias = (torch.zeros(len(weight)) if bias is None else bias.float()).numpy()
        self.lowest = np.float32(0 if activation == "relu" else -np.inf)
        self.workers = workers or Workers(0)

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        """Map `[B, C, X, Y]` to `[B, C', X, Y]`; the summand has the output's shape and may be overwritten."""
        images, before, *size = x.shape
        if summand is None:
            out = torch.empty((images, self.channels, *size), memory_format=torch.channels_last)
        else:
            out = summand.contiguous(memory_format=torch.channels_last)
        pixels, target = _flat(x.contiguous(memory_format=torch.channels_last)), _flat(out)
        more = (*size, before, self.channels), self.weight, self.bias, summand is not None, self.lowest, target

        def part(tiles: slice) -> None:
            convolve(tiles.start, tiles.stop, pixels, *more)

        total = images * -(-size[0] // 4) * -(-size[1] // 4)
        share = -(-total // max(1, self.workers.count))
        count = min(TILES, max(FEWEST, share))
        self.workers.each(part, total, -(-count // ROWS) * ROWS)
        return out


def matrices() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the matrices of outputs `[4, 6]`, weights `[6, 3]` and inputs `[6, 6]`, in this order.

    The product of polynomials with 4 and 3 coefficients is determined by its values at six points, one of them infinity
    (Toom-Cook); the transposed algorithm is the convolution. The second matrix evaluates the weights, divided by the
    denominators of the Lagrange polynomials, whose coefficients are the rows of the third one.
    """
    points = np.array([0.0, NEAR, -NEAR, FAR, -FAR])
    outputs, weights, inputs = np.zeros((6, 4)), np.zeros((6, 3)), np.zeros((6, 6))
    outputs[-1, -1] = weights[-1, -1] = 1
    inputs[-1] = np.poly(points)[::-1]
    for row, point in enumerate(points):
        others = np.delete(points, row)
        outputs[row] = point ** np.arange(4)
        weights[row] = point ** np.arange(3) / np.prod(point - others)
        inputs[row, :5] = np.poly(others)[::-1]
    return outputs.T, weights, inputs


def _flat(maps: torch.Tensor) -> npt.NDArray[np.float32]:
    """View `[B, C, X, Y]` with channels innermost as a flat array."""
    return np.asarray(maps.detach().movedim(1, 3).reshape(-1).numpy())
