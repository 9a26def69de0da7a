"""Distillation of a teacher's feature volume (MonoOcc, section 3, distillation)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.classes import EMPTY, UNKNOWN


def channel_divergence(student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of the channel distributions, averaged over the occupied voxels.

    Args:
        student, teacher: features, `[N, C]`; gradients flow to the student only.
        target: class ids of the same voxels, 255 unknown, `[N]`.

    Returns:
        a scalar, float32, at least 0; 0 if no voxel is occupied.
    """
    chosen = (target != EMPTY) & (target != UNKNOWN)
    if not bool(chosen.any()):
        return student.new_zeros((), dtype=torch.float32)
    ours = student[chosen].float().log_softmax(1)
    theirs = teacher[chosen].detach().float().log_softmax(1)
    return F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


def published_divergence(student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss of the published code: the mean of exp(t) (t - s) over all channels of the occupied voxels.

    This is not a divergence, since neither input is normalized: it is unbounded below, and its gradient does not depend
    on the student. Arguments as for `channel_divergence`.
    """
    chosen = (target != EMPTY) & (target != UNKNOWN)
    if not bool(chosen.any()):
        return student.new_zeros((), dtype=torch.float32)
    theirs = teacher[chosen].detach().float()
    return (theirs.exp() * (theirs - student[chosen].float())).mean()
