"""Into the network and out of it: pictures at its scale, and labels from the cascade of occupancy and classes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from occdepth_ros.models.edge.completion import EdgeHead
from occdepth_ros.models.edge.evidence import unfolded
from occdepth_ros.models.pictures import PictureFit
from occdepth_ros.predictor import Picture

OCCUPIED = 0.4
"""Probability above which a voxel counts as occupied.

The best threshold for an intersection over union J is J / (1 + J), below one half: missing a voxel costs more than
adding one (compare Lipton et al., 2014, for F1)."""


@dataclass(frozen=True)
class Decision:
    """What every voxel holds.

    Args:
        labels: class ids, 0 = free, `[X, Y, Z]` uint8.
        confidence: probability of the label times 255, `[X, Y, Z]` uint8.
    """

    labels: torch.Tensor
    confidence: torch.Tensor


def shrunk(picture: Picture, fit: PictureFit) -> Picture:
    """A picture at the scale of the network's, cut to what the network sees, `[h, w, 3]`."""
    height, width = fit.content
    if fit.scaled != fit.source:
        picture = np.asarray(cv2.resize(picture, fit.scaled[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(picture[:height, :width])


def decide(head: EdgeHead, volume: torch.Tensor, lifted: torch.Tensor, occupied: torch.Tensor) -> Decision:
    """Labels from the cascade; classes are computed only where something is.

    Args:
        head: the network's head.
        volume, lifted: what it classifies by, see `EdgeHead.classify`.
        occupied: probability by lifted voxel, `[8, N]`.
    """
    rows = (occupied > OCCUPIED).any(0).nonzero()[:, 0]
    probability, best = head.classify(volume, lifted, rows).float().softmax(2).max(2)  # [R, 8]
    here = occupied[:, rows]
    taken = here > OCCUPIED
    labels = torch.zeros_like(occupied, dtype=torch.uint8)
    labels[:, rows] = torch.where(taken, best.T + 1, 0).to(torch.uint8)
    sure = 1 - occupied
    sure[:, rows] = torch.where(taken, here * probability.T, 1 - here)
    x, y, z = volume.shape[2:]
    size = (x, y, z)
    return Decision(unfolded(labels, size), unfolded((sure * 255).round().to(torch.uint8), size))
