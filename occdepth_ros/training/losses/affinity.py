"""Scene-class affinity: precision, recall and specificity of a whole scene, made soft (MonoScene, section 3.4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.classes import EMPTY, UNKNOWN

LOWEST_LOG = -100.0
"""Bound of the logarithms, as in a binary cross entropy."""


@dataclass(frozen=True)
class SoftCounts:
    """Sums over the known voxels of all scenes, `[C]` float64 each, p the probabilities and t the one-hot ground truth.

    Args:
        hit: sum of p t by class.
        predicted: sum of p by class.
        true: sum of t by class.
        known: number of known voxels, scalar.
    """

    hit: torch.Tensor
    predicted: torch.Tensor
    true: torch.Tensor
    known: torch.Tensor

    @classmethod
    def of(cls, probabilities: torch.Tensor, target: torch.Tensor) -> SoftCounts:
        """Count.

        Args:
            probabilities: float32, `[B, C, X, Y, Z]`.
            target: class ids, 255 unknown, `[B, X, Y, Z]`.
        """
        classes = probabilities.shape[1]
        known = target != UNKNOWN
        masked = probabilities * known[:, None]
        # in double: rare classes are differences of sums over millions of voxels
        predicted = masked.sum(dim=(0, 2, 3, 4), dtype=torch.float64)
        index = torch.where(known, target, torch.zeros_like(target)).long()
        own = masked.gather(1, index[:, None])[:, 0].double()
        hit = torch.zeros(classes, dtype=torch.float64, device=own.device)
        hit = hit.index_add(0, index.flatten(), own.flatten())
        true = torch.bincount(target.flatten().long(), minlength=UNKNOWN + 1)[:classes].double()
        return cls(hit, predicted, true, known.sum())


def semantic_affinity(counts: SoftCounts) -> torch.Tensor:
    """L_scal of the classes (equations 3 to 5): mean over the classes that occur, the empty one included.

    Returns:
        a scalar, float32; 0 where nothing is known.
    """
    rejected = counts.known - counts.true - counts.predicted + counts.hit
    terms = _affinity(counts.hit, counts.predicted, counts.true, rejected, counts.known - counts.true)
    present = counts.true > 0
    return (torch.where(present, terms, 0.0).sum() / present.sum().clamp_min(1)).float()


def geometric_affinity(counts: SoftCounts) -> torch.Tensor:
    """L_scal of being occupied, whatever the class; a scalar, float32; 0 where nothing is known."""
    free, free_hit, free_predicted = counts.true[EMPTY], counts.hit[EMPTY], counts.predicted[EMPTY]
    true = counts.known - free
    predicted = counts.known - free_predicted
    hit = true - (free_predicted - free_hit)
    return _affinity(hit, predicted, true, free_hit, free).float()


def _affinity(
    hit: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor, rejected: torch.Tensor, false: torch.Tensor
) -> torch.Tensor:
    """-ln precision - ln recall - ln specificity; a ratio whose divisor is zero is left out."""
    return _minus_log(hit, predicted) + _minus_log(hit, true) + _minus_log(rejected, false)


def _minus_log(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    exists = whole > 0
    ratio = part / torch.where(exists, whole, 1.0)
    # below the bound the gradient would be infinite, or NaN at zero
    bounded = ratio.clamp(min=torch.finfo(torch.float32).tiny, max=1.0)
    return torch.where(exists, -bounded.log().clamp_min(LOWEST_LOG), 0.0)
