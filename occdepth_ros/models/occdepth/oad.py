"""Occupancy-aware depth (OAD): a depth distribution per pixel, read as a weight per voxel (section 3.3)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.layers.basic_block import BasicBlock
from occdepth_ros.models.occdepth.config import OccDepthConfig

MID_CHANNELS = 128


class CameraMlp(nn.Module):
    """Two linear layers on the camera's scalar."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(1, channels)
        self.fc2 = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, 1]` to `[B, C]`."""
        out: torch.Tensor = self.fc2(torch.relu(self.fc1(x)))
        return out


class CameraGate(nn.Module):
    """Squeeze-and-excitation with a gate computed from the camera instead of the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, channels, 1)
        self.conv_expand = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, h, w]` and `[B, C]` to `[B, C, h, w]`."""
        gate = torch.sigmoid(self.conv_expand(torch.relu(self.conv_reduce(camera[:, :, None, None]))))
        return x * gate


class DepthNet(nn.Module):
    """Depth logits from a feature map and the camera."""

    def __init__(self, in_channels: int, bins: int, channels: int = MID_CHANNELS) -> None:
        super().__init__()
        self.reduce_conv = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
        self.mlp = CameraMlp(channels)
        self.se = CameraGate(channels)
        self.depth_conv = nn.Sequential(*(BasicBlock(channels) for _ in range(3)))
        self.depth_pred = nn.Conv2d(channels, bins, 1)

    def forward(self, x: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, h, w]` and the camera scalar `[B, 1]` to `[B, D, h, w]`."""
        x = self.se(self.reduce_conv(x), self.mlp(camera))
        out: torch.Tensor = self.depth_pred(self.depth_conv(x))
        return out


class OccupancyAwareDepth(nn.Module):
    """Depth distribution of every view, and the voxel weight read from it."""

    voxel_size: torch.Tensor
    voxel_coord: torch.Tensor
    voxel_num: torch.Tensor

    def __init__(self, config: OccDepthConfig) -> None:
        super().__init__()
        assert config.depth is not None
        grid = config.lifted_grid
        # buffers of published checkpoints: the grid of their training; unused
        self.register_buffer("voxel_size", torch.tensor([grid.resolution] * 3))
        self.register_buffer("voxel_coord", torch.tensor([o + grid.resolution / 2 for o in grid.origin]))
        self.register_buffer("voxel_num", torch.tensor(grid.size, dtype=torch.int64))
        self.depth_net = nn.ModuleList([DepthNet(config.feature, config.depth.count)])

    def forward(self, features: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Return the depth distribution.

        Args:
            features: maps at 1/8, `[B, V, C, h, w]`.
            camera: camera scalar of every view, `[V]`.

        Returns:
            probabilities `[B, V, D, h, w]`.
        """
        b, v = features.shape[:2]
        scalars = camera.repeat(b)[:, None].to(features.dtype)
        logits = self.depth_net[0](features.flatten(0, 1), scalars)
        # float32, because half precision is too coarse for 104 probabilities
        return logits.float().softmax(dim=1).unflatten(0, (b, v))


def sample_weight(depth: torch.Tensor, grid: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
    """Sample the depth distribution at every voxel.

    Args:
        depth: probabilities of all views, `[B, V, D, h, w]`.
        grid: sampling position (u, v, bin) of every voxel in every view, normalised, `[V, X, Y, Z, 3]`.
        inside: share of the sample in bounds, summed over the views, `[X, Y, Z]`; None (one view) = no normalisation.

    Returns:
        `[B, 1, X, Y, Z]`.
    """
    total = torch.zeros(depth.shape[0], 1, *grid.shape[1:4], dtype=depth.dtype, device=depth.device)
    for view in range(depth.shape[1]):
        positions = grid[view].to(depth.dtype).expand(depth.shape[0], -1, -1, -1, -1)
        # published weights were trained with unaligned corners, although the positions are normalised for aligned ones
        total += F.grid_sample(depth[:, view, None], positions, align_corners=False)
    if inside is None:
        return total
    return torch.where(inside > 0, total / inside.clamp_min(torch.finfo(inside.dtype).tiny), 0.0)


def expected_depth(depth: torch.Tensor | None, config: OccDepthConfig) -> torch.Tensor:
    """Return the expectation of the first view's depth distribution over its supervised bins.

    Args:
        depth: `[B, V, D, h, w]` at 1/8 of the image; None without depth module.
        config: bins and image size.

    Returns:
        `[H, W]` float32, metres; NaN without depth module.
    """
    height, width = config.image
    if depth is None or config.depth is None:
        return torch.full((height, width), float("nan"))
    bins = config.depth
    centers = torch.from_numpy(bins.centers().astype(np.float32)).to(depth.device)
    coarse = torch.einsum("dhw,d->hw", depth[0, 0].float(), centers)
    full = F.interpolate(coarse[None, None], scale_factor=8.0, mode="bilinear", align_corners=False)[0, 0]
    return full[:height, :width].contiguous()
