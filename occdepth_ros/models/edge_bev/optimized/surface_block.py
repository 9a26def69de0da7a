"""Sparse residual 3-D blocks near surfaces on a CPU, in products of gathered rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from occdepth_ros.models.edge_bev.loops import sparse_blocks
from occdepth_ros.models.edge_bev.surface import NEIGHBOURS, SurfaceBlock
from occdepth_ros.models.layers.fused_linear import FusedLinear
from occdepth_ros.models.runtime.parallel import Workers

NEAR_ROWS = 4096
"""Rows per chunk of the convolutions: a chunk costs as much as 300 rows, and its neighbours fit the last cache."""


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

    def forward(self, x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Compute the outputs of `SurfaceBlock.forward` in this module's number format."""
        x = x.to(self.dtype)
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


def _words(values: torch.Tensor) -> npt.NDArray[np.int64]:
    """View memory as 64-bit words."""
    return np.asarray(values.view(torch.int64).numpy())
