"""Hidden layer of the lifted voxels and what reads it, in parts that stay in the cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.parallel import Workers

ROWS = 4096
"""Lifted voxels that are computed at a time: their hidden layer fits the cache."""


@dataclass(frozen=True)
class LiftedRows:
    """Results of the R lifted voxels with evidence, S of which are close to a surface.

    Args:
        column: inputs of the bird's-eye view before the activation, `[R, C]`.
        direct: logits, `[R, D]`.
        close: hidden layer of those close to a surface, `[S, H]`.
    """

    column: torch.Tensor
    direct: torch.Tensor
    close: torch.Tensor


@dataclass(frozen=True)
class RowLayers:
    """Layers of the lifted voxels.

    Args:
        evidence: evidence to the hidden layer.
        column: hidden layer to the bird's-eye view.
        voxel: hidden layer to logits.
    """

    evidence: nn.Linear
    column: nn.Linear
    voxel: nn.Linear


def lifted_rows(
    layers: RowLayers,
    evidence: torch.Tensor,
    appearance: torch.Tensor,
    cell: torch.Tensor,
    near: torch.Tensor,
    workers: Workers | None = None,
) -> LiftedRows:
    """Apply the layers to every lifted voxel with evidence.

    Args:
        layers: see `RowLayers`.
        evidence: `[R, CHANNELS]`.
        appearance: share of every cell of the image in the hidden layer, `[h w, H]`.
        cell: cell that shows each voxel, `[R]`.
        near: rows close to a surface, ascending, `[S]`.
        workers: threads that compute parts of the rows without gradients; None = all at once, in the calling thread.
    """
    if workers is None:
        hidden = F.relu(layers.evidence(evidence) + appearance.index_select(0, cell))
        return LiftedRows(layers.column(hidden), layers.voxel(hidden), hidden.index_select(0, near))
    # autocast does not reach other threads
    dtype, count = layers.column.weight.dtype, len(evidence)
    appearance = appearance.to(dtype)
    outs = [evidence.new_empty(count, linear.out_features, dtype=dtype) for linear in (layers.column, layers.voxel)]
    close = evidence.new_empty(len(near), layers.evidence.out_features, dtype=dtype)

    def part(rows: slice) -> None:
        hidden = F.linear(evidence[rows].to(dtype), layers.evidence.weight, layers.evidence.bias)
        hidden.add_(appearance.index_select(0, cell[rows])).clamp_(min=0)
        for linear, out in zip((layers.column, layers.voxel), outs, strict=True):
            out[rows] = F.linear(hidden, linear.weight, linear.bias)
        first, last = torch.searchsorted(near, near.new_tensor([rows.start, rows.stop])).tolist()
        torch.index_select(hidden, 0, near[first:last] - rows.start, out=close[first:last])

    workers.each(part, count, ROWS)
    return LiftedRows(outs[0], outs[1], close)
