"""Submanifold sparse convolution (Graham et al., CVPR 2018) in PyTorch, computed at occupied voxels only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from occdepth_ros.models.comparison.scatter import coarse_index, scatter_max

Size = tuple[int, int, int]
NEIGHBOURS = 27
"""Number of voxels in a 3x3x3 block."""


@dataclass(frozen=True)
class Sites:
    """The occupied voxels of one resolution.

    Args:
        voxel: flat indices, C order, ascending, `[V]` int64.
        size: voxels along x, y, z.
    """

    voxel: torch.Tensor
    size: Size

    @classmethod
    def of(cls, voxel: torch.Tensor, size: Size) -> tuple[Sites, torch.Tensor]:
        """Return the sites of voxel indices `[N]`, which may repeat, and the site of each index, `[N]` int64."""
        unique, site = torch.unique(voxel, return_inverse=True)
        return cls(unique, size), site

    def coarser(self) -> tuple[Sites, torch.Tensor]:
        """Return the sites at twice the voxel edge, and the coarse site of each fine site, `[V]` int64."""
        x, y, z = (n // 2 for n in self.size)
        return Sites.of(coarse_index(self.voxel, self.size, 2), (x, y, z))

    def neighbours(self) -> torch.Tensor:
        """Return the sites in the 3x3x3 block around each site, `[V, 27]` int64; V for voxels without a site."""
        x, y, z = (n + 2 for n in self.size)
        column, k = self.voxel // self.size[2], self.voxel % self.size[2]
        i, j = column // self.size[1], column % self.size[1]
        # a border of one voxel, so that no block wraps around an edge
        centre = ((i + 1) * y + j + 1) * z + k + 1
        site = torch.full((x * y * z,), len(self.voxel), device=self.voxel.device)
        site[centre] = torch.arange(len(self.voxel), device=self.voxel.device)
        step = torch.arange(-1, 2, device=self.voxel.device)
        offsets = (step[:, None, None] * y + step[:, None]) * z + step
        return site[centre[:, None] + offsets.flatten()]


class SiteNorm(nn.BatchNorm1d):
    """Batch norm over sites or points; fewer than two are normalised by the running statistics."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map `[V, C]` to the same shape."""
        if self.training and len(input) < 2:
            return nn.functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias)
        return super().forward(input)


class SubmanifoldConv(nn.Module):
    """3x3x3 convolution at the occupied voxels from the occupied voxels, norm and ReLU.

    Args:
        in_channels, out_channels: channels of input and output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(NEIGHBOURS * in_channels, out_channels, bias=False)
        self.norm = SiteNorm(out_channels)

    def forward(self, x: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Map `[V, C]` and `[V, 27]` (see `Sites.neighbours`) to `[V, C']`."""
        rows = torch.cat([x, x.new_zeros(1, x.shape[1])])
        gathered = rows[neighbours].flatten(1)  # [V, 27 C]
        return torch.relu(self.norm(self.linear(gathered)))


class SparseUNet(nn.Module):
    """Encoder and decoder over occupied voxels, whose coarser levels are the largest values of finer ones.

    Args:
        widths: channels by level, finest first; the input has as many as the finest.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        before = (widths[0], *widths[:-1])
        self.encoder = nn.ModuleList(SubmanifoldConv(a, b) for a, b in zip(before, widths, strict=True))
        self.decoder = nn.ModuleList(SubmanifoldConv(a + b, a) for a, b in pairwise(widths))

    def forward(self, x: torch.Tensor, sites: Sites) -> torch.Tensor:
        """Map `[V, C]` at the sites to the same shape."""
        tables, parents, skips = [], [], []
        for level, block in enumerate(self.encoder):
            if level:
                sites, parent = sites.coarser()
                parents.append(parent)
                x = scatter_max(x, parent, len(sites.voxel))
            tables.append(sites.neighbours())
            x = block(x, tables[-1])
            skips.append(x)
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](torch.cat([skips[level], x[parents[level]]], dim=1), tables[level])
        return x
