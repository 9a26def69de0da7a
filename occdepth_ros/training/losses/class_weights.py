"""Class weights of the cross entropies; rare classes have larger weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from occdepth_ros.errors import ModelError

SEMANTIC_KITTI_VOXELS = (
    *(5.41773033e9, 1.57835390e7, 1.25136e5, 1.18809e5, 6.46799e5, 8.21951e5, 2.62978e5, 2.83696e5, 2.04750e5),
    *(6.16887030e7, 4.50296100e6, 4.48836500e7, 2.26992300e6, 5.68402180e7, 1.57196520e7, 1.58442623e8, 2.06162300e6),
    *(3.69705220e7, 1.15198800e6, 3.34146e5),
)
"""Voxels of every class in the training sequences of SemanticKITTI, the empty class first (MonoScene's count)."""

EMPTY_WEIGHT = 0.05
"""Weight of the empty class indoors, where every occupied class has weight 1 (3DSketch, MonoScene)."""
INDOOR_OCCUPIED_WEIGHT = 2.0
"""Weight of occupied voxels in the occupancy loss indoors."""


def weights_of_counts(voxels: Sequence[float]) -> torch.Tensor:
    """Return 1 / ln(voxels + 0.001) of every class, `[classes]` float32; every count must exceed 1."""
    return torch.from_numpy((1 / np.log(np.asarray(voxels, np.float64) + 1e-3)).astype(np.float32))


def class_weights(n_classes: int) -> torch.Tensor:
    """Return the class weights, empty class first, `[n_classes]`: SemanticKITTI's for 20 classes, else indoor weights.

    Raises:
        ModelError: less than two classes.
    """
    _check(n_classes)
    if n_classes == len(SEMANTIC_KITTI_VOXELS):
        return weights_of_counts(SEMANTIC_KITTI_VOXELS)
    return torch.tensor([EMPTY_WEIGHT] + [1.0] * (n_classes - 1))


def class_logits(n_classes: int) -> torch.Tensor:
    """Return the logits of the class frequencies, `[n_classes]`, the best constant prediction of a head.

    The frequencies are SemanticKITTI's for 20 classes and equal otherwise. Raises as `class_weights`.
    """
    _check(n_classes)
    if n_classes == len(SEMANTIC_KITTI_VOXELS):
        return torch.tensor(SEMANTIC_KITTI_VOXELS).log()
    return torch.zeros(n_classes)


def initialize_with_frequencies(head: nn.Conv3d, n_classes: int) -> None:
    """Set the biases of a classifying convolution to `class_logits` minus their mean.

    With equal initial logits, training needs hundreds of steps until the network predicts that most space is empty.

    Args:
        head: convolution whose channels are classes, or classes times fine voxels per output, classes outermost.
        n_classes: number of classes; 2 = free and occupied.
    """
    assert head.bias is not None
    logits = class_logits(len(SEMANTIC_KITTI_VOXELS) if n_classes == 2 else n_classes)
    if n_classes == 2:
        logits = torch.stack([logits[0], logits[1:].logsumexp(0)])
    with torch.no_grad():
        head.bias.copy_((logits - logits.mean()).repeat_interleave(head.out_channels // n_classes))


def occupancy_weights(n_classes: int) -> torch.Tensor:
    """Return the weights of free and occupied voxels, `[2]`, for `n_classes`; raises as `class_weights`."""
    _check(n_classes)
    if n_classes == len(SEMANTIC_KITTI_VOXELS):
        return weights_of_counts([SEMANTIC_KITTI_VOXELS[0], sum(SEMANTIC_KITTI_VOXELS[1:])])
    return torch.tensor([EMPTY_WEIGHT, INDOOR_OCCUPIED_WEIGHT])


def _check(n_classes: int) -> None:
    if n_classes < 2:
        raise ModelError(f"{n_classes} classes cannot be distinguished", where="n_classes", remedy="Give at least two.")
