"""The loss of the query proposal network: occupied or free, at every scale that it predicts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.training.losses.cross_entropy import occupied

SCALE_DECAY = 0.9
"""Weight of a scale's term over that of the next finer one's."""
ALPHA = 0.54
"""Weight of occupied voxels as published for SemanticKITTI; 0.7 for nuScenes. Free ones have the rest to 1."""


def proposal_loss(
    logits: Mapping[int, torch.Tensor], targets: Mapping[int, torch.Tensor], alpha: float = ALPHA
) -> dict[int, torch.Tensor]:
    """Weighted binary cross entropies (VoxFormer, section 3.2; LMSCNet, section 3.3).

    The mean is over the known voxels, not over their weights.

    Args:
        logits: of free and occupied by scale, `[B, 2, X/s, Y/s, Z/s]`.
        targets: class ids by scale, 255 unknown, `[B, X/s, Y/s, Z/s]` uint8.
        alpha: weight of occupied voxels, within (0, 1).

    Returns:
        weighted terms by scale, scalars; 0 where every voxel is unknown.
    """
    terms = {}
    for level, scale in enumerate(sorted(logits)):
        ground_truth = occupied(targets[scale]).long()
        weights = logits[scale].new_tensor([1 - alpha, alpha], dtype=torch.float32)
        total = F.cross_entropy(logits[scale].float(), ground_truth, weights, ignore_index=UNKNOWN, reduction="sum")
        terms[scale] = SCALE_DECAY**level * total / (ground_truth != UNKNOWN).sum().clamp_min(1)
    return terms
