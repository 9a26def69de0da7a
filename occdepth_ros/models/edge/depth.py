"""Occupancy-aware depth of occdepth-edge-sfa: matched depth corrected by image features (OccDepth, section 3.3)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.edge.evidence import Measurement
from occdepth_ros.models.edge.geometry import EdgeGeometry

SCALE = 8
"""2-D scale of the depth distribution."""
MAX_SPREAD = 0.3
"""Largest standard deviation of a predicted depth, relative to its mean."""
SUPPORT_PX, MIN_SUPPORT = 12, 0.1
"""Minimum share of matched pixels within a distance (pixels along each axis) that a predicted depth requires."""


class EdgeDepth(nn.Module):
    """A depth distribution per cell of the left image, from matched depth and features.

    Args:
        config: bins and channels.
    """

    bin_edges: torch.Tensor

    def __init__(self, config: EdgeConfig, width: int = 64) -> None:
        super().__init__()
        count = config.depth.count
        self.register_buffer("bin_edges", torch.from_numpy(config.depth.edges().astype(np.float32)), persistent=False)
        # the names are keys of checkpoints
        self.measured = nn.Conv2d(count + 1, width, 1)
        self.appearance = nn.Conv2d(config.pyramid, width, 1)
        self.context = nn.Sequential(_block(width, 1), _block(width, 2), _block(width, 4), _block(width, 1))
        self.out = nn.Conv2d(width, count, 1)
        self.gain = nn.Parameter(torch.tensor(4.0))

    def forward(self, features: torch.Tensor, stereo: Measurement, geometry: EdgeGeometry) -> torch.Tensor:
        """Compute the logits of the distribution.

        Args:
            features: pyramid of the left image at 1/8, `[1, pyramid, H/8, W/8]`.
            stereo: result of matching.
            geometry: tables of the calibration.

        Returns:
            `[1, D, H/8, W/8]`.
        """
        depth = geometry.focal_baseline / stereo.disparity.clamp_min(1e-3)
        depth = torch.where(stereo.disparity > 0, depth, torch.nan)
        return self.corrected(features, *depth_histogram(depth, self.bin_edges, SCALE))

    def corrected(self, features: torch.Tensor, histogram: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Return depth logits `[1, D, H/8, W/8]`; `histogram` and `share` are those of `depth_histogram`."""
        x = self.measured(torch.cat([histogram, share])[None]) + self.appearance(features)
        x = self.out(self.context(F.relu(x)))
        # initially the matched depths dominate the logits
        logits: torch.Tensor = x + self.gain * histogram
        return logits


def depth_histogram(depth: torch.Tensor, edges: torch.Tensor, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the histogram of the depths in each cell.

    Args:
        depth: `[H, W]`, metres; NaN and depths outside the edges are ignored.
        edges: bounds of D bins, `[D + 1]`, ascending.
        scale: edge of a cell, pixels; divides H and W.

    Returns:
        shares of the bins `[D, H/scale, W/scale]`, with sum 1, or 0 in cells without depth; and the share of pixels
        with depth, `[1, H/scale, W/scale]`.
    """
    height, width = depth.shape[0] // scale, depth.shape[1] // scale
    count = len(edges) - 1
    bins = torch.bucketize(depth.nan_to_num(-1.0).contiguous(), edges) - 1
    valid = (bins >= 0) & (bins < count)
    rows = torch.arange(depth.shape[0], device=depth.device).div(scale, rounding_mode="floor")
    columns = torch.arange(depth.shape[1], device=depth.device).div(scale, rounding_mode="floor")
    cell = rows[:, None] * width + columns[None]
    flat = torch.where(valid, bins, 0) * (height * width) + cell
    histogram = torch.zeros(count * height * width, device=depth.device)
    histogram.index_add_(0, flat.flatten(), valid.float().flatten())
    histogram = histogram.view(count, height, width)
    total = histogram.sum(0, keepdim=True)
    return histogram / total.clamp_min(1), total / scale**2


def voxel_depth(logits: torch.Tensor, geometry: EdgeGeometry) -> torch.Tensor:
    """Sample the depth distribution at every lifted voxel.

    Args:
        logits: `[1, D, H/8, W/8]`.
        geometry: tables of the calibration.

    Returns:
        probabilities that the surface lies at the voxel and in front of it, `[1, 2, X, Y, Z]`; 0 outside.
    """
    probability = logits.float().softmax(1)
    before = probability.cumsum(1) - probability
    volume = torch.stack([probability, before], 1)  # [1, 2, D, h, w]
    return F.grid_sample(volume, geometry.depth_grid[None], align_corners=False)


def expected_depth(logits: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return the expectation over the bins, `[H/8, W/8]`, metres; NaN where the distribution is too wide.

    Args:
        logits: `[1, D, H/8, W/8]`.
        edges: bounds of the bins, `[D + 1]`, metres.
    """
    centers = (edges[:-1] + edges[1:]) / 2
    probability = logits[0].float().softmax(0)
    mean = torch.einsum("dhw,d->hw", probability, centers)
    variance = torch.einsum("dhw,d->hw", probability, centers.square()) - mean.square()
    return torch.where(variance < (MAX_SPREAD * mean).square(), mean, torch.nan)


def combined_depth(
    logits: torch.Tensor, edges: torch.Tensor, disparity: torch.Tensor, focal_baseline: float
) -> torch.Tensor:
    """Combine matched and predicted depth of the left image, `[H, W]` float32, metres.

    The depth is the matched depth, or the expectation of the network if its distribution is narrow and supported by a
    match nearby; otherwise NaN, as in sky and glare.

    Args:
        logits, edges: as in `expected_depth`.
        disparity: `[H, W]`, pixels; 0 = no match.
        focal_baseline: depth times disparity, pixel metres.
    """
    coarse = expected_depth(logits, edges)
    size = (disparity.shape[0], disparity.shape[1])
    full = F.interpolate(coarse[None, None], size=size, mode="nearest")[0, 0]
    is_matched = disparity > 0
    support = F.avg_pool2d(is_matched.float()[None], 2 * SUPPORT_PX + 1, 1, SUPPORT_PX)[0]
    full = torch.where(support > MIN_SUPPORT, full, torch.nan)
    return torch.where(is_matched, focal_baseline / disparity.clamp_min(1e-3), full)


class _Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


def _block(width: int, dilation: int) -> nn.Module:
    return _Residual(
        nn.Sequential(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
    )
