"""Loss terms of the bird's-eye-view architecture: occupancy, overlap, classes of voxels and of pixels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI
from occdepth_ros.models.edge_bev.config import GROUND, GROUND_CLASSES, LIFT, STANDING_CLASSES
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.training.losses.class_weights import SEMANTIC_KITTI_VOXELS

FREE_HIDDEN, FREE_OUTSIDE = 20, 21
"""Target values of free voxels that no ray of the frame reaches, in view and out of view."""
CLASS_POWER, CLASS_FLOOR = 0.3, 2e-3
"""Class weights are (frequency + floor) to the power -0.3, divided by the smallest weight."""
FREE_WEIGHTS = {EMPTY: 1.0, FREE_HIDDEN: 0.6, FREE_OUTSIDE: 0.25}
GROUND_WEIGHT, BULKY_WEIGHT, RARE_WEIGHT = 1.6, 2.5, 4.0
"""Weights of occupied voxels in the occupancy term: ground; car, building, fence and vegetation; all others."""
BULKY = ("car", "building", "fence", "vegetation")
SAMPLED = 25_000
"""Maximum number of occupied voxels that the class term samples from a scene."""
MIN_VOXELS = 50
"""Minimum number of voxels of a group in the overlap term."""
ALTERNATIVES = {20: (15, 16), 21: (7, 8), 22: (11, 10), 23: (9, 10)}
"""Pixel labels that mean one of two classes, for data sets that do not distinguish them: vegetation or trunk, rider or
motorcyclist, sidewalk or parking, road or parking."""
PIXEL_WEIGHTS = (
    *(0.6, 1.2, 3.0, 3.0, 2.5, 2.5, 3.0, 3.5, 3.0, 0.7, 3.0, 1.4, 2.5, 0.8, 2.0, 0.8, 2.0, 1.4, 2.5, 3.0),
    *(0.8, 3.5, 1.4, 0.7),
)
"""Weight of each pixel label: sky, the 19 classes, the four alternatives."""
BALANCE, BALANCED_FROM = 0.6, 40
"""Exponent of the balance of pixel labels, and number of pixels below which the weight of a label does not increase."""


def _table(classes: tuple[int, ...]) -> torch.Tensor:
    table = torch.full((256,), -1)
    table[list(classes)] = torch.arange(len(classes))
    return table


_STANDING, _GROUND = _table(STANDING_CLASSES), _table(GROUND_CLASSES)


def _occupancy_weights() -> torch.Tensor:
    weights = torch.zeros(256)
    for label, weight in FREE_WEIGHTS.items():
        weights[label] = weight
    weights[list(STANDING_CLASSES)] = RARE_WEIGHT
    weights[[SEMANTIC_KITTI.id_of(name) for name in BULKY]] = BULKY_WEIGHT
    weights[list(GROUND_CLASSES)] = GROUND_WEIGHT
    return weights


def _class_weights() -> torch.Tensor:
    counts = np.array(SEMANTIC_KITTI_VOXELS[1:])
    weights = (counts / counts.sum() + CLASS_FLOOR) ** -CLASS_POWER
    table = torch.zeros(256)
    table[1 : 1 + len(weights)] = torch.from_numpy(weights / weights.min()).float()
    return table


_OCCUPANCY_WEIGHTS, _CLASS_WEIGHTS = _occupancy_weights(), _class_weights()


def voxel_terms(output: BevOutput, target: torch.Tensor, columns: int = 0) -> dict[str, torch.Tensor]:
    """Return occupancy cross entropy, overlap and class cross entropy of one scene; 0 without labelled voxels.

    Args:
        output: logits.
        target: target by lifted voxel, `[N, 8]`: class ids, 0, `FREE_HIDDEN` and `FREE_OUTSIDE` free, 255 unknown.
        columns: number of randomly sampled lifted columns for all terms; 0 = all.
    """
    row = torch.arange(len(target), device=target.device)
    if 0 < columns < len(output.layout):
        row = row.view(len(output.layout), -1)[
            torch.randperm(len(output.layout), device=row.device)[:columns]
        ].flatten()
    logit, target = output.occupancy.index_select(0, row), target.index_select(0, row).long()
    weight = _OCCUPANCY_WEIGHTS.to(target.device)[target]
    occupied = (target > EMPTY) & (target < FREE_HIDDEN)
    each = F.softplus(logit) - occupied * logit
    occupancy = (each * weight).sum() / weight.sum().clamp_min(1)
    return {
        "occupancy": occupancy,
        "overlap": _overlap(logit.sigmoid(), target, weight),
        "classes": _class_term(output, target, occupied, row),
    }


def _overlap(probability: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum over standing and ground voxels of one minus their soft intersection over union with the free space."""
    free = ((target == EMPTY) | (target == FREE_HIDDEN)) * weight
    total = probability.sum() * 0
    for table in (_STANDING, _GROUND):
        members = table.to(target.device)[target] >= 0
        if int(members.sum()) < MIN_VOXELS:
            continue
        both = (probability * members).sum()
        union = (probability * (members + free)).sum() + members.sum() - both
        total = total + 1 - (both + 1) / (union + 1)
    return total


def _class_term(output: BevOutput, target: torch.Tensor, occupied: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return the weighted cross entropy of the kind of every sampled voxel, and of the layout of ground voxels.

    `target` and `occupied` are those of the lifted voxels `rows`.
    """
    at = occupied.nonzero()
    if not len(at):
        return output.completed.sum() * 0
    if len(at) > SAMPLED:
        at = at[torch.randint(len(at), (SAMPLED,), device=at.device)]
    row, fine = at.T
    label = target[row, fine]
    row = rows[row]
    ground = _GROUND.to(label.device)[label]
    kind = torch.where(ground >= 0, GROUND, _STANDING.to(label.device)[label])
    entropy = F.cross_entropy(output.kinds(row), kind, reduction="none")
    layers = len(output.completed) // len(output.layout)
    layout = output.layout[torch.div(row, layers, rounding_mode="floor"), torch.div(fine, LIFT, rounding_mode="floor")]
    layout_entropy = F.cross_entropy(layout, ground.clamp_min(0), reduction="none")
    entropy = entropy + torch.where(ground >= 0, layout_entropy, 0.0)
    weight = _CLASS_WEIGHTS.to(label.device)[label]
    return (entropy * weight).sum() / weight.sum()


def pixel_term(logits: torch.Tensor, label: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Return the weighted cross entropy of pixels; a pixel may be labelled with two alternative classes.

    Args:
        logits: `[B, N_CLASSES, h, w]`.
        label: class ids, keys of `ALTERNATIVES`, or 255 = unknown, `[B, h, w]`.
        weight: weight of every pixel, `[B, h, w]`; None = 1.
    """
    log = _with_alternatives(logits)
    labelled = label < len(PIXEL_WEIGHTS)
    index = torch.where(labelled, label, 0).long()
    factor = labelled * torch.tensor(PIXEL_WEIGHTS, device=label.device)[index]
    if weight is not None:
        factor = factor * weight
    return -(log.gather(1, index[:, None])[:, 0] * factor).sum() / factor.sum().clamp_min(1)


def balanced_pixel_term(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of pixels, each weighted by the number of pixels of its label to the power `-BALANCE`.

    Arguments as in `pixel_term`.
    """
    labelled = label < len(PIXEL_WEIGHTS)
    index = torch.where(labelled, label, 0).long()
    count = torch.bincount(index[labelled], minlength=len(PIXEL_WEIGHTS)).clamp_min(BALANCED_FROM)
    factor = labelled * count.float().pow(-BALANCE)[index]
    entropy = -_with_alternatives(logits).gather(1, index[:, None])[:, 0]
    return (entropy * factor).sum() / factor.sum().clamp_min(1e-6)


def _with_alternatives(logits: torch.Tensor) -> torch.Tensor:
    """Append the log probabilities of `ALTERNATIVES` to those of the classes, `[B, N_CLASSES + 4, h, w]`."""
    log = logits.float().log_softmax(1)
    pairs = [torch.logaddexp(log[:, a], log[:, b]) for a, b in ALTERNATIVES.values()]
    return torch.cat([log, torch.stack(pairs, 1)], 1)
