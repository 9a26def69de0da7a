"""Cross entropies over the labelled voxels: of the classes, and of the cascade's occupancy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.classes import EMPTY, UNKNOWN


def class_cross_entropy(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the class-weighted cross entropy: weighted sum over labelled voxels, divided by the sum of their weights.

    Args:
        logits: `[B, C, X, Y, Z]`.
        target: class ids, 255 unknown, `[B, X, Y, Z]`.
        weights: `[C]`.

    Returns:
        a scalar, float32; 0 if every voxel is unknown.
    """
    target = target.long()
    weights = weights.to(logits.device)
    total = F.cross_entropy(logits.float(), target, weight=weights, ignore_index=UNKNOWN, reduction="sum")
    # one weighted count per class avoids a gather over the whole volume
    counts = torch.bincount(target.flatten(), minlength=UNKNOWN + 1)[: len(weights)]
    divisor = (counts * weights.double()).sum()
    return total / divisor.clamp_min(torch.finfo(torch.float32).tiny).float()


def occupancy_cross_entropy(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted cross entropy of occupancy (cascade head); `logits` `[B, 2, X, Y, Z]`, `weights` `[2]`."""
    return class_cross_entropy(logits, occupied(target), weights)


def occupied(target: torch.Tensor) -> torch.Tensor:
    """Reduce class ids to 0 free, 1 occupied, 255 unknown; shape and type of `target`."""
    return torch.where((target == EMPTY) | (target == UNKNOWN), target, torch.ones_like(target))
