"""Labels of every voxel from the network's logits: occupied, free or unknown by region, and the class."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.models.edge_bev.config import FINE, GROUND_CLASSES, LIFT, STANDING_CLASSES
from occdepth_ros.models.edge_bev.evidence import BEHIND, COARSE_REACH_M
from occdepth_ros.models.edge_bev.network import GROUND, BevOutput

SEEN, HIDDEN, OUT_OF_VIEW = range(3)
"""Regions with a calibration of their own."""
HIDDEN_M = 1.0
"""Distance behind the measured surface from which a voxel counts as hidden, metres."""


@dataclass(frozen=True)
class Decision:
    """What every voxel holds.

    Args:
        labels: class ids, 0 = free, 255 = unknown, `[X, Y, Z]` uint8.
        confidence: probability of the label times 255, 0 where unknown, `[X, Y, Z]` uint8.
    """

    labels: torch.Tensor
    confidence: torch.Tensor


@dataclass(frozen=True)
class Undecided:
    """What the network says before limits and calibration are applied; the voxels of the trained grid.

    Args:
        probability: of occupied, not calibrated, times 255, `[X, Y, Z]` uint8.
        names: class ids in case the voxel is occupied, `[X, Y, Z]` uint8.
        certainty: probability of that class times 255, `[X, Y, Z]` uint8.
        region: `SEEN`, `HIDDEN` or `OUT_OF_VIEW`, `[X, Y, Z]` uint8.
    """

    probability: torch.Tensor
    names: torch.Tensor
    certainty: torch.Tensor
    region: torch.Tensor


def undecided(output: BevOutput, region: torch.Tensor, size: tuple[int, int, int]) -> Undecided:
    """Probabilities and names of all voxels, for the calibration; arguments as of `decide`."""
    rows = torch.arange(len(output.occupancy), device=output.occupancy.device)
    names, certainty = classify(output, rows, size[2])
    probability, certainty = (
        (values.float() * 255).round().to(torch.uint8) for values in (output.occupancy.float().sigmoid(), certainty)
    )
    by_voxel = region.to(torch.uint8)[:, None].expand(-1, FINE)
    return Undecided(*(unfolded(values, size) for values in (probability, names, certainty, by_voxel)))


def regions(evidence: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """Region of each lifted voxel, `[count]` int64.

    Args:
        evidence: of the lifted voxels in view, `[V, CHANNELS]`.
        rows: their flat indices, `[V]`.
        count: number of lifted voxels.
    """
    out = torch.full((count,), OUT_OF_VIEW, dtype=torch.long, device=rows.device)
    hidden = evidence[:, BEHIND] > HIDDEN_M / COARSE_REACH_M
    out[rows] = torch.where(hidden, HIDDEN, SEEN)
    return out


def decide(
    output: BevOutput, region: torch.Tensor, limits: torch.Tensor, calibration: torch.Tensor, size: tuple[int, int, int]
) -> Decision:
    """Threshold the occupancy of every voxel, and name what is occupied.

    Args:
        output: of the network.
        region: of each lifted voxel, `[N]`, see `regions`.
        limits: by region the probability below which a voxel is free and from which it is occupied, `[3, 2]`; in
            between it is unknown.
        calibration: by region scale and offset that turn a logit into the logit of a calibrated probability, `[3, 2]`.
        size: lifted voxels along x, y, z.
    """
    scale, offset = (column.index_select(0, region)[:, None] for column in calibration.unbind(1))
    low, high = (column.index_select(0, region)[:, None] for column in limits.logit().unbind(1))
    logit = output.occupancy.mul(scale).add_(offset)
    rows = (logit.amax(1, keepdim=True) >= high)[:, 0].nonzero()[:, 0]
    unknown = logit >= low
    chosen = logit.index_select(0, rows)
    labels = unknown.to(torch.uint8).mul_(UNKNOWN)
    # confidence of what is free; 0 where unknown
    confidence = logit.sigmoid_().mul_(-255).add_(255).round_().to(torch.uint8).mul_(~unknown)
    names, probability = classify(output, rows, size[2])
    here = chosen >= high.index_select(0, rows)
    labels[rows] = torch.where(here, names, labels[rows])
    certain = (chosen.sigmoid_() * probability * 255).round_().to(torch.uint8)
    confidence[rows] = torch.where(here, certain, confidence[rows])
    return Decision(unfolded(labels, size), unfolded(confidence, size))


def classify(output: BevOutput, rows: torch.Tensor, layers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and its probability for the eight voxels of the given lifted voxels, `[R, 8]` uint8 and float32.

    Args:
        output: of the network.
        rows: flat indices of lifted voxels, `[R]`.
        layers: lifted voxels along z.
    """
    standing = torch.tensor((*STANDING_CLASSES, 0), dtype=torch.uint8, device=rows.device)
    ground = torch.tensor(GROUND_CLASSES, dtype=torch.uint8, device=rows.device)
    share, kind = output.kinds(rows).softmax(1).max(1)
    ground_share, ground_kind = output.layout.softmax(2).max(2)  # [columns, 4]
    column = torch.div(rows, layers, rounding_mode="floor")
    is_ground = (kind == GROUND)[:, None]
    below = ground[ground_kind][column].repeat_interleave(LIFT, 1)
    names = torch.where(is_ground, below, standing[kind][:, None])
    probability = share[:, None] * torch.where(is_ground, ground_share[column].repeat_interleave(LIFT, 1), 1.0)
    return names, probability


def unfolded(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """`[N, 8]` by lifted voxel to `[2 X, 2 Y, 2 Z]`."""
    x, y, z = size
    fine = values.view(x, y, z, LIFT, LIFT, LIFT).permute(0, 3, 1, 4, 2, 5)
    return fine.reshape(LIFT * x, LIFT * y, LIFT * z)


def folded(values: torch.Tensor) -> torch.Tensor:
    """The inverse of `unfolded`: `[2 X, 2 Y, 2 Z]` to `[N, 8]`."""
    x, y, z = values.shape
    lifted = values.view(x // LIFT, LIFT, y // LIFT, LIFT, z // LIFT, LIFT).permute(0, 2, 4, 1, 3, 5)
    return lifted.reshape(-1, FINE)
