"""Depth distillation: the depth distribution is trained on the depth of a teacher (OccDepth, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.models.occdepth.config import DepthBins

NO_BIN = -1
"""Marker of a block without depth within the bounds."""


def depth_bins(depth: torch.Tensor, size: tuple[int, int], bins: DepthBins, scale: int = 8) -> torch.Tensor:
    """Return the bin of the nearest depth in every block of pixels (BEVDepth).

    Args:
        depth: `[B, H, W]` metres; NaN, infinity and values <= 0 mean no depth.
        size: blocks along height and width; the map is resized to `size` times `scale` by nearest neighbour.
        bins: bounds, number and supervised spacing of the bins.
        scale: edge of a block, pixels.

    Returns:
        `[B, h, w]` int64, `NO_BIN` where a block has no depth within the bounds.
    """
    height, width = size
    full = F.interpolate(depth[:, None].float(), size=(height * scale, width * scale), mode="nearest")[:, 0]
    full = torch.where(full.isfinite() & (full > 0), full, torch.inf)
    nearest = -F.max_pool2d(-full[:, None], scale)[:, 0]
    edges = torch.from_numpy(bins.edges()).to(depth.device, torch.float32)
    index = torch.searchsorted(edges, nearest.contiguous(), right=True) - 1
    return torch.where((index >= 0) & (index < bins.count), index, NO_BIN)


def depth_loss(probabilities: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Return the binary cross entropy against one-hot bins, summed over bins, averaged over blocks with depth.

    Args:
        probabilities: depth distribution of the supervised view, `[B, D, h, w]`.
        bins: `[B, h, w]` int64, `NO_BIN` without depth.

    Returns:
        a scalar, float32; 0 if no block has depth.
    """
    valid = bins != NO_BIN
    predicted = probabilities.float().movedim(1, -1)[valid]  # [blocks, D]
    target_bins = F.one_hot(bins[valid], probabilities.shape[1]).float()
    with torch.autocast(probabilities.device.type, enabled=False):
        total = F.binary_cross_entropy(predicted, target_bins, reduction="sum")
    return total / max(1, len(predicted))
