"""Sparse 3-D convolutions over the lifted voxels close to matched surfaces."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.loops.evidence import mark_close
from occdepth_ros.models.runtime.inference import autocast_dtype

SATURATED = 0.99
"""Magnitude at which a channel of the evidence counts as saturated."""
RESIDUAL = 0.45
"""Disparity residual (as a share of its reach) below which a lifted voxel is close to a surface."""
NEIGHBOURS = 27


def close_to_surface(evidence: torch.Tensor) -> torch.Tensor:
    """Return the rows of `voxel_evidence` close to a matched surface or to the ground, `[S]` int64, ascending.

    A lifted voxel is close if one of its eight voxels contains a matched point or lies within reach of the surface, if
    its disparity is close to that of its pixels, or if the ground passes through it.
    """
    rows = evidence.detach().float().cpu().contiguous()
    close = np.empty(len(rows), bool)
    mark_close(rows.numpy(), np.float32(SATURATED), np.float32(RESIDUAL), close)
    return torch.from_numpy(np.flatnonzero(close)).to(evidence.device)


def neighbours_of(rows: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Return the positions in `rows` of the 27 neighbours of each row, `[S, 27]`; S for neighbours not in `rows`.

    Args:
        rows: flat indices of lifted voxels, `[S]`.
        size: lifted voxels of the grid.
    """
    nx, ny, nz = size
    rows = rows.int()
    # a border of one voxel, so that no neighbour is beyond the grid
    strides = ((ny + 2) * (nz + 2), nz + 2, 1)
    x, y, z = rows // (ny * nz), rows // nz % ny, rows % nz
    padded = (x + 1) * strides[0] + (y + 1) * strides[1] + z + 1
    place = torch.full(((nx + 2) * strides[0],), len(rows), dtype=torch.int32, device=rows.device)
    place[padded] = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
    steps = itertools.product((-1, 0, 1), repeat=3)
    offsets = [dx * strides[0] + dy * strides[1] + dz for dx, dy, dz in steps]
    return torch.stack([place.index_select(0, padded + offset) for offset in offsets], 1)


class _GatherConv(torch.autograd.Function):
    """Sparse convolution whose gradient is also a gather, because the neighbourhood is symmetric."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        rows = _gathered(x, neighbours)
        ctx.save_for_backward(rows, weight, neighbours)
        return rows @ weight.T

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        rows, weight, neighbours = ctx.saved_tensors
        out, wide = weight.shape
        # this row is the neighbour at the opposite offset
        back = weight.view(out, NEIGHBOURS, -1).flip(1).permute(2, 1, 0).reshape(wide // NEIGHBOURS, -1)
        return _gathered(grad, neighbours) @ back.T, grad.T @ rows, None


def _gathered(x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
    """Return the concatenated rows of the 27 neighbours, `[S, 27 C]`."""
    return F.pad(x, (0, 0, 0, 1)).index_select(0, neighbours.flatten()).view(len(x), NEIGHBOURS * x.shape[1])


class SurfaceConv(nn.Module):
    """A 3x3x3 convolution of the rows; missing neighbours are zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(NEIGHBOURS * channels, channels)

    def forward(self, x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Convolve the rows `[S, C]` with their neighbours, see `neighbours_of`."""
        values: tuple[torch.Tensor, ...] = (x, self.linear.weight, self.linear.bias)
        if (dtype := autocast_dtype(x.device)) is not None:
            values = tuple(v.to(dtype) for v in values)
        out: torch.Tensor = _GatherConv.apply(*values[:2], neighbours) + values[2]
        return out


class SurfaceBlock(nn.Module):
    """A residual block of two sparse convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = SurfaceConv(channels), SurfaceConv(channels)

    def forward(self, x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Apply the block to rows `[S, C]`."""
        return F.relu(x + self.second(F.relu(self.first(x, neighbours)), neighbours))
