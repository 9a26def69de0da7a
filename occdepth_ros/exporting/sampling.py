"""Trilinear sampling at constant positions by gathers, which all ONNX runtimes and TensorRT support.

`GridSample` on volumes needs ONNX opset 20 and is missing from TensorRT. A calibration fixes the positions, so that
corners and weights are constants.
"""

from __future__ import annotations

import torch
from torch import nn

CORNERS = 8


class FixedSampler(nn.Module):
    """`grid_sample` (trilinear, zeros outside, corners not aligned) of volumes of one shape at constant positions.

    Args:
        positions: normalised (x, y, z) as in `torch.nn.functional.grid_sample`, `[..., 3]`; M in all.
        shape: depth, height and width of the volumes that are sampled.
    """

    index: torch.Tensor
    weight: torch.Tensor

    def __init__(self, positions: torch.Tensor, shape: tuple[int, int, int]) -> None:
        super().__init__()
        sizes = torch.tensor(shape[::-1], dtype=torch.float32)
        position = ((positions.float().reshape(-1, 3) + 1) * sizes - 1) / 2  # [M, 3], cells along x, y, z
        low = position.floor()
        fraction = position - low
        _, height, width = shape
        strides = torch.tensor([1, width, width * height])
        index, weight = [], []
        for corner in range(CORNERS):
            step = torch.tensor([corner >> axis & 1 for axis in range(3)])
            cell = low.long() + step
            inside = ((cell >= 0) & (cell < sizes)).all(1)
            share = torch.where(step.bool(), fraction, 1 - fraction).prod(1)
            index.append(torch.where(inside, (cell * strides).sum(1), 0))
            weight.append(torch.where(inside, share, 0.0))
        self.register_buffer("index", torch.stack(index).int(), persistent=False)  # [8, M]
        self.register_buffer("weight", torch.stack(weight), persistent=False)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Map `[C, D, h, w]` to `[C, M]`."""
        cells = volumes.flatten(1)
        total = cells.index_select(1, self.index[0]) * self.weight[0]
        for corner in range(1, CORNERS):
            total = total + cells.index_select(1, self.index[corner]) * self.weight[corner]
        return total
