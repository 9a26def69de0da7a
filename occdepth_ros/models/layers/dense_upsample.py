"""Dense upsampling: finer voxels as channels of a coarser one, unfolded (Shi et al., CVPR 2016, in three axes)."""

from __future__ import annotations

import torch
from torch import nn


class DenseUpsample3d(nn.Module):
    """One convolution predicts values of every fine voxel in a coarse one.

    Args:
        in_channels, out_channels: channels of input and output.
        factor: fine voxels along each edge of a coarse one.
        kernel: edge of the receptive field, coarse voxels, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int = 2, *, kernel: int = 1) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv3d(in_channels, out_channels * factor**3, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to `[B, C', fX, fY, fZ]`."""
        f, (b, _, x_size, y_size, z_size) = self.factor, x.shape
        fine = self.conv(x).view(b, -1, f, f, f, x_size, y_size, z_size)
        out: torch.Tensor = fine.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, -1, f * x_size, f * y_size, f * z_size)
        return out
