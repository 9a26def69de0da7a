"""Loss of the query proposal network: occupancy at every predicted scale."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.training.losses.cross_entropy import occupied

SCALE_DECAY = 0.9
"""Ratio of the weight of a scale to that of the next finer scale."""
ALPHA = 0.54
"""Published weight of occupied voxels for SemanticKITTI (0.7 for nuScenes); free voxels have 1 - ALPHA."""


def proposal_loss(
    logits: Mapping[int, torch.Tensor], targets: Mapping[int, torch.Tensor], alpha: float = ALPHA
) -> dict[int, torch.Tensor]:
    """Return the weighted binary cross entropies (VoxFormer, section 3.2; LMSCNet, section 3.3).

    The sum is divided by the number of labelled voxels, not by the sum of their weights.

    Args:
        logits: logits of free and occupied by scale, `[B, 2, X/s, Y/s, Z/s]`.
        targets: class ids by scale, 255 unknown, `[B, X/s, Y/s, Z/s]` uint8.
        alpha: weight of occupied voxels, within (0, 1).

    Returns:
        weighted terms by scale, scalars; 0 if every voxel is unknown.
    """
    terms = {}
    for level, scale in enumerate(sorted(logits)):
        ground_truth = occupied(targets[scale]).long()
        weights = logits[scale].new_tensor([1 - alpha, alpha], dtype=torch.float32)
        total = F.cross_entropy(logits[scale].float(), ground_truth, weights, ignore_index=UNKNOWN, reduction="sum")
        terms[scale] = SCALE_DECAY**level * total / (ground_truth != UNKNOWN).sum().clamp_min(1)
    return terms
