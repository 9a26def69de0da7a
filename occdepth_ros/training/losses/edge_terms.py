"""Loss terms of occdepth-edge-sfa: occupancy with soft overlap, and class-weighted cross entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.classes import EMPTY, UNKNOWN

OCCUPIED_WEIGHT = 2.0
"""Weight of occupied voxels relative to free voxels, which are twenty times as frequent."""


def occupancy_terms(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted binary cross entropy of occupancy plus (1 - soft intersection over union).

    Args:
        logits: any shape.
        target: class ids of the same shape, 255 unknown.
    """
    labelled = (target != UNKNOWN).float()
    occupied = ((target != EMPTY) & (target != UNKNOWN)).float()
    factor = 1 + (OCCUPIED_WEIGHT - 1) * occupied
    # -y log s(x) w - (1 - y) log(1 - s(x)), both from one softplus
    each = factor * F.softplus(logits) - OCCUPIED_WEIGHT * occupied * logits
    entropy = (each * labelled).sum() / labelled.sum().clamp_min(1)
    probability = logits.sigmoid() * labelled
    both = (probability * occupied).sum()
    union = probability.sum() + occupied.sum() - both
    return entropy, 1 - (both + 1) / (union + 1)


def weighted_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the class-weighted cross entropy of `[R, C]` logits against `[R]` class ids; 0 for R = 0."""
    if not len(targets):
        return logits.sum() * 0
    return F.cross_entropy(logits, targets, weight=weights)
