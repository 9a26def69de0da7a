"""Out of the network: labels from the cascade of occupancy and classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.models.edge.completion import EdgeHead
from occdepth_ros.models.edge.config import Thresholds
from occdepth_ros.models.edge.evidence import BEHIND, COARSE_REACH, unfolded

HIDDEN_M = 1.0
"""So many metres behind the measured surface a voxel is hidden; nearer, it may be part of it."""


def thresholds(known: torch.Tensor, in_view: torch.Tensor, chosen: Thresholds) -> torch.Tensor:
    """The probability that each lifted voxel's must pass, `[N]` float32.

    Args:
        known: `evidence` of the scene, `[1, CHANNELS, X, Y, Z]`, or with more channels behind.
        in_view: whether the left image shows the place of a lifted voxel, `[N]` bool.
        chosen: of the configuration.
    """
    hidden = known[0, BEHIND].flatten() > HIDDEN_M / COARSE_REACH
    return torch.where(in_view, torch.where(hidden, chosen.hidden, chosen.on_surfaces), chosen.out_of_view)


@dataclass(frozen=True)
class Decision:
    """What every voxel holds.

    Args:
        labels: class ids, 0 = free, `[X, Y, Z]` uint8.
        confidence: probability of the label times 255, `[X, Y, Z]` uint8.
    """

    labels: torch.Tensor
    confidence: torch.Tensor


def decide(
    head: EdgeHead, volume: torch.Tensor, lifted: torch.Tensor, occupied: torch.Tensor, threshold: torch.Tensor
) -> Decision:
    """Labels from the cascade; classes are computed only where something is.

    Args:
        head: the network's head.
        volume, lifted: what it classifies by, see `EdgeHead.classify`.
        occupied: probability by lifted voxel, `[8, N]`.
        threshold: that it must pass to count, `[N]`, see `thresholds`.
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
