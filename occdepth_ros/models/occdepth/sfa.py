"""Stereo soft feature assignment (Stereo-SFA): lifting 2-D features to voxels (OccDepth, section 3.2).

SFA has no parameters: every voxel takes the features of the pixels of its projected centre, weighted by the cosine
similarity of the two views.
"""

from __future__ import annotations

from typing import Literal

import torch

EPSILON = 1e-8
"""Smallest divisor of the cosine similarity."""


def gather_view(features: torch.Tensor, pixels: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return the mean feature of the visible pattern pixels of every voxel.

    Args:
        features: one view's map, `[C, h, w]`.
        pixels: flat pixel index y * w + x, `[N, P]` int64; any valid index where invisible.
        visible: `[N, P]` bool.

    Returns:
        `[N, C]`, zero where no pattern pixel is visible.
    """
    # rows of C values: one contiguous read per voxel instead of C scattered ones
    rows = features.flatten(1).T.contiguous()  # [h*w, C]
    if pixels.shape[1] == 1:
        # invisible voxels read a row of zeros, which avoids a masking pass over all voxels
        rows = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
        return rows[torch.where(visible[:, 0], pixels[:, 0], len(rows) - 1)]
    total = torch.zeros(pixels.shape[0], rows.shape[1], dtype=rows.dtype, device=rows.device)
    for k in range(pixels.shape[1]):
        total += rows[pixels[:, k]] * visible[:, k : k + 1].to(rows.dtype)
    return total / visible.sum(1, keepdim=True).clamp_min(1).to(rows.dtype)


def fuse_views(views: list[torch.Tensor], visible: torch.Tensor) -> torch.Tensor:
    """Fuse the views' features by pairwise cosine similarity.

    For a voxel visible in both views of a pair the term is the sum of their features times their similarity (which may
    be negative); for a voxel visible in one view it is the feature of that view. The terms of all pairs are summed and
    divided by V (V - 1); with two views, features of a single view are thus halved, as in the published training.

    Args:
        views: V times `[N, C]`, zero where invisible.
        visible: `[V, N]` bool.

    Returns:
        `[N, C]`.
    """
    if len(views) == 1:
        return views[0]
    norms = [f.norm(dim=1).clamp_min(EPSILON) for f in views]
    scale = 1.0 / (len(views) * (len(views) - 1))
    fused = torch.zeros_like(views[0])
    for i in range(len(views)):
        for j in range(i + 1, len(views)):
            similarity = (views[i] * views[j]).sum(dim=1) / (norms[i] * norms[j])
            weight = torch.where(visible[i] & visible[j], similarity, torch.ones_like(similarity))
            fused += (views[i] + views[j]) * (weight * scale)[:, None]
    return fused


def average_views(views: list[torch.Tensor], visible: torch.Tensor) -> torch.Tensor:
    """Return the mean over the views in which a voxel is visible; arguments and result as for `fuse_views`."""
    total = views[0]
    for view in views[1:]:
        total = total + view
    return total / visible.sum(dim=0).clamp_min(1).to(total.dtype)[:, None]


def lift_views(
    features: torch.Tensor, pixels: torch.Tensor, visible: torch.Tensor, fusion: Literal["cosine", "mean"] = "cosine"
) -> torch.Tensor:
    """Lift one scale of all views.

    Args:
        features: `[V, C, h, w]`.
        pixels: flat pixel indices in this scale's map, `[V, N, P]`.
        visible: `[V, N, P]`.
        fusion: fusion of several views.

    Returns:
        `[N, C]`.
    """
    views = [gather_view(f, p, v) for f, p, v in zip(features, pixels, visible, strict=True)]
    fuse = fuse_views if fusion == "cosine" else average_views
    return fuse(views, visible.any(dim=2))
