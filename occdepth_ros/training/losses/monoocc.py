"""MonoOcc's losses on voxels and pixels with its class weights (published SemanticKITTI configuration)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.training.losses.affinity import SoftCounts, geometric_affinity, semantic_affinity

CLASS_WEIGHTS = (
    *(0.446, 0.603, 0.852, 0.856, 0.747, 0.734, 0.801, 0.796, 0.818, 0.557),
    *(0.653, 0.568, 0.683, 0.560, 0.603, 0.530, 0.688, 0.574, 0.716, 0.786),
)
"""Weights of the 20 classes, empty class first."""


@dataclass(frozen=True)
class LossWeights:
    """Factors of the loss terms; the defaults are those of MonoOcc-S.

    Args:
        voxels: factor of the cross entropy of voxels.
        semantic: factor of the semantic affinity.
        geometric: factor of the geometric affinity.
        pixels: factor of the auxiliary cross entropy of the left image's pixels.
        distillation: factor of the distillation.
    """

    voxels: float = 2.0
    semantic: float = 1.0
    geometric: float = 0.5
    pixels: float = 2.5
    distillation: float = 3.5


def voxel_losses(logits: torch.Tensor, target: torch.Tensor, factors: LossWeights) -> dict[str, torch.Tensor]:
    """Return the three weighted terms on voxels.

    Args:
        logits: `[B, 20, X, Y, Z]`.
        target: class ids, 255 unknown, `[B, X, Y, Z]` uint8.
        factors: factors of the terms.
    """
    logits = logits.float()
    counts = SoftCounts.of(logits.softmax(1), target)
    return {
        "cross_entropy": factors.voxels * weighted_mean_cross_entropy(logits, target),
        "semantic_affinity": factors.semantic * semantic_affinity(counts),
        "geometric_affinity": factors.geometric * geometric_affinity(counts),
    }


def weighted_mean_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the class-weighted cross entropy, divided by the number of labelled voxels, not by the sum of weights.

    Args:
        logits: `[B, 20, X, Y, Z]` float32.
        target: class ids, 255 unknown, `[B, X, Y, Z]`.

    Returns:
        a scalar; 0 if every voxel is unknown.
    """
    weights = torch.tensor(CLASS_WEIGHTS, device=logits.device)
    total = F.cross_entropy(logits, target.long(), weights, ignore_index=UNKNOWN, reduction="sum")
    return total / (target != UNKNOWN).sum().clamp_min(1)


def pixel_cross_entropy(logits: torch.Tensor, semantics: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of image pixels; the ground truth is resized to the logits by nearest neighbour.

    Args:
        logits: `[B, 20, h, w]`.
        semantics: class ids, 0 and 255 unknown, `[B, H, W]` uint8.

    Returns:
        a scalar, float32; 0 if every pixel is unknown.
    """
    resized = F.interpolate(semantics[:, None].float(), size=logits.shape[-2:], mode="nearest")[:, 0].long()
    resized = torch.where(resized == EMPTY, UNKNOWN, resized)
    total = F.cross_entropy(logits.float(), resized, ignore_index=UNKNOWN, reduction="sum")
    return total / (resized != UNKNOWN).sum().clamp_min(1)
