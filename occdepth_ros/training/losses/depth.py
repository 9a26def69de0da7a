"""Depth distillation: the depth distribution learns a teacher's depth (OccDepth, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.models.occdepth.config import DepthBins

NO_BIN = -1
"""Bin of a block without depth within the bounds."""


def depth_bins(depth: torch.Tensor, size: tuple[int, int], bins: DepthBins, scale: int = 8) -> torch.Tensor:
    """The bin of the nearest depth in every block of pixels (BEVDepth).

    Args:
        depth: `[B, H, W]` metres; NaN, infinity, zero and less stand for none.
        size: blocks along height and width; their `scale` times is what the map is resized to by nearest pixels.
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
    """Binary cross entropy of every bin against the one-hot ground truth, summed, per block that has a ground truth.

    Args:
        probabilities: depth distribution of the supervised view, `[B, D, h, w]`.
        bins: `[B, h, w]` int64, `NO_BIN` where none.

    Returns:
        a scalar, float32; 0 where no block has a ground truth.
    """
    valid = bins != NO_BIN
    predicted = probabilities.float().movedim(1, -1)[valid]  # [blocks, D]
    wanted = F.one_hot(bins[valid], probabilities.shape[1]).float()
    with torch.autocast(probabilities.device.type, enabled=False):
        total = F.binary_cross_entropy(predicted, wanted, reduction="sum")
    return total / max(1, len(predicted))
