"""Labels from the cascade of occupancy and classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.models.edge.completion import EdgeHead
from occdepth_ros.models.edge.config import Thresholds
from occdepth_ros.models.edge.evidence import BEHIND, COARSE_REACH, unfolded

HIDDEN_M = 1.0
"""Distance behind the matched surface above which a voxel is hidden, metres; nearer voxels may belong to the
surface."""


def thresholds(voxel_evidence: torch.Tensor, in_view: torch.Tensor, chosen: Thresholds) -> torch.Tensor:
    """Threshold of the occupancy probability of each lifted voxel, `[N]` float32.

    Args:
        voxel_evidence: `evidence` of the scene, `[1, CHANNELS, X, Y, Z]`; may have additional channels at the end.
        in_view: whether a lifted voxel projects into the left image, `[N]` bool.
        chosen: thresholds of the configuration.
    """
    hidden = voxel_evidence[0, BEHIND].flatten() > HIDDEN_M / COARSE_REACH
    return torch.where(in_view, torch.where(hidden, chosen.hidden, chosen.on_surfaces), chosen.out_of_view)


@dataclass(frozen=True)
class Decision:
    """Labels and confidence of every voxel.

    Args:
        labels: class ids, 0 = free, `[X, Y, Z]` uint8.
        confidence: probability of the label times 255, `[X, Y, Z]` uint8.
    """

    labels: torch.Tensor
    confidence: torch.Tensor


def decide(
    head: EdgeHead, volume: torch.Tensor, lifted: torch.Tensor, occupied: torch.Tensor, threshold: torch.Tensor
) -> Decision:
    """Compute labels from the cascade; classes are computed for occupied voxels only.

    Args:
        head: the network's head.
        volume, lifted: see `EdgeHead.classify`.
        occupied: occupancy probability by lifted voxel, `[8, N]`.
        threshold: see `thresholds`, `[N]`.
    """
    rows = (occupied > threshold).any(0).nonzero()[:, 0]
    probability, best = head.classify(volume, lifted, rows).float().softmax(2).max(2)  # [R, 8]
    here = occupied[:, rows]
    taken = here > threshold[rows]
    labels = torch.zeros_like(occupied, dtype=torch.uint8)
    labels[:, rows] = torch.where(taken, best.T + 1, 0).to(torch.uint8)
    sure = 1 - occupied
    sure[:, rows] = torch.where(taken, here * probability.T, 1 - here)
    x, y, z = volume.shape[2:]
    size = (x, y, z)
    return Decision(unfolded(labels, size), unfolded((sure * 255).round().to(torch.uint8), size))
