"""Sparse residual 3-D blocks near surfaces on a CPU, in products of gathered rows or of the neighbours that exist."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.models.edge_bev.formats import array_of
from occdepth_ros.models.edge_bev.loops import sparse_blocks
from occdepth_ros.models.edge_bev.loops.sparse_convolution import WIDTH, convolve
from occdepth_ros.models.edge_bev.surface import NEIGHBOURS, SurfaceBlock
from occdepth_ros.models.layers.cpu_formats import has_few_multipliers
from occdepth_ros.models.layers.fused_linear import FusedLinear
from occdepth_ros.models.runtime.parallel import Workers

NEAR_ROWS = 4096
"""Rows per chunk of the convolutions: a chunk costs as much as 300 rows, and its neighbours fit the last cache."""

DIRECT_ROWS = 2048
"""Rows per chunk without gathered rows: 0.4 ms."""


class OptimizedSurfaceBlock(nn.Module):
    """A sparse block whose gathered rows stay in the cache.

    Args:
        block: the reference module.
        dtype: number format.
        workers: threads that divide the rows.
    """

    def __init__(self, block: SurfaceBlock, dtype: torch.dtype, workers: Workers) -> None:
        super().__init__()
        self.dtype, self.workers = dtype, workers
        first, second = (conv.linear for conv in (block.first, block.second))
        self.first = FusedLinear(first.weight, first.bias, "relu", dtype)
        self.second = FusedLinear(second.weight, second.bias, dtype=dtype)
        self.is_direct = first.out_features == WIDTH and dtype == torch.float32 and has_few_multipliers()

    def forward(self, x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Compute the outputs of `SurfaceBlock.forward` in this module's number format."""
        x = x.to(self.dtype)
        if self.is_direct:
            x = torch.cat([x, x.new_zeros(1, x.shape[1])])
            return self._direct(self.second, self._direct(self.first, x, neighbours), neighbours, x)[:-1]
        return self._convolved(self.second, self._convolved(self.first, x, neighbours), neighbours, x)

    def _convolved(
        self, linear: FusedLinear, x: torch.Tensor, neighbours: torch.Tensor, shortcut: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map `[S, C]` to the same shape."""
        out = torch.empty_like(x)
        words = _words(torch.cat([x, x.new_zeros(1, x.shape[1])]))
        places = neighbours.numpy()

        def part(rows: slice) -> None:
            gathered = x.new_empty(rows.stop - rows.start, NEIGHBOURS * x.shape[1])
            sparse_blocks.gather(rows.start, rows.stop, words, places, _words(gathered))
            y = linear(gathered)
            out[rows] = y if shortcut is None else y.add_(shortcut[rows]).clamp_min_(0)

        self.workers.each(part, len(places), NEAR_ROWS)
        return out

    def _direct(
        self, linear: FusedLinear, x: torch.Tensor, neighbours: torch.Tensor, shortcut: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Map `[S + 1, C]`, whose last row is zero, to ReLU(convolution + shortcut) of the same shape."""
        out = torch.empty_like(x)
        out[-1] = 0
        added, weights = shortcut is not None, linear.weight.T.contiguous().view(-1)
        given = (x, neighbours.view(-1), weights, linear.bias, x if shortcut is None else shortcut)
        source, places, weight, bias, summand = (array_of(values) for values in given)

        def part(rows: slice) -> None:
            convolve(rows.start, rows.stop, source, places, weight, bias, summand, added, array_of(out))

        self.workers.each(part, len(neighbours), DIRECT_ROWS)
        return out


def _words(values: torch.Tensor) -> npt.NDArray[np.int64]:
    """View memory as 64-bit words."""
    return np.asarray(values.view(torch.int64).numpy())
