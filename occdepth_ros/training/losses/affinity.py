"""Scene-class affinity: soft precision, recall and specificity of a whole scene (MonoScene, section 3.4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.classes import EMPTY, UNKNOWN

LOWEST_LOG = -100.0
"""Bound of the logarithms, as in a binary cross entropy."""


@dataclass(frozen=True)
class SoftCounts:
    """Sums over the labelled voxels of all scenes, `[C]` float64, with probabilities p and one-hot ground truth t.

    Args:
        hit: sum of p t by class.
        predicted: sum of p by class.
        true: sum of t by class.
        labelled: number of labelled voxels, scalar.
    """

    hit: torch.Tensor
    predicted: torch.Tensor
    true: torch.Tensor
    labelled: torch.Tensor

    @classmethod
    def of(cls, probabilities: torch.Tensor, target: torch.Tensor) -> SoftCounts:
        """Accumulate the sums of a batch.

        Args:
            probabilities: float32, `[B, C, X, Y, Z]`.
            target: class ids, 255 unknown, `[B, X, Y, Z]`.
        """
        classes = probabilities.shape[1]
        labelled = target != UNKNOWN
        masked = probabilities * labelled[:, None]
        # float64, because the terms of rare classes are differences of sums over millions of voxels
        predicted = masked.sum(dim=(0, 2, 3, 4), dtype=torch.float64)
        index = torch.where(labelled, target, torch.zeros_like(target)).long()
        own = masked.gather(1, index[:, None])[:, 0].double()
        hit = torch.zeros(classes, dtype=torch.float64, device=own.device)
        hit = hit.index_add(0, index.flatten(), own.flatten())
        true = torch.bincount(target.flatten().long(), minlength=UNKNOWN + 1)[:classes].double()
        return cls(hit, predicted, true, labelled.sum())


def semantic_affinity(counts: SoftCounts) -> torch.Tensor:
    """Return L_scal of the classes (equations 3 to 5): mean over the classes that occur, including the empty class.

    Returns:
        a scalar, float32; 0 if every voxel is unknown.
    """
    rejected = counts.labelled - counts.true - counts.predicted + counts.hit
    terms = _affinity(counts.hit, counts.predicted, counts.true, rejected, counts.labelled - counts.true)
    present = counts.true > 0
    return (torch.where(present, terms, 0.0).sum() / present.sum().clamp_min(1)).float()


def geometric_affinity(counts: SoftCounts) -> torch.Tensor:
    """Return L_scal of occupancy (MonoScene, equations 3 to 5): a scalar, float32, 0 if every voxel is unknown."""
    free, free_hit, free_predicted = counts.true[EMPTY], counts.hit[EMPTY], counts.predicted[EMPTY]
    true = counts.labelled - free
    predicted = counts.labelled - free_predicted
    hit = true - (free_predicted - free_hit)
    return _affinity(hit, predicted, true, free_hit, free).float()


def _affinity(
    hit: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor, rejected: torch.Tensor, false: torch.Tensor
) -> torch.Tensor:
    """Return -ln precision - ln recall - ln specificity, without ratios whose divisor is zero."""
    return _minus_log(hit, predicted) + _minus_log(hit, true) + _minus_log(rejected, false)


def _minus_log(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    exists = whole > 0
    ratio = part / torch.where(exists, whole, 1.0)
    # the bound avoids infinite gradients near zero and NaN at zero
    bounded = ratio.clamp(min=torch.finfo(torch.float32).tiny, max=1.0)
    return torch.where(exists, -bounded.log().clamp_min(LOWEST_LOG), 0.0)
