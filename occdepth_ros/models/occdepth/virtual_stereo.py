"""Virtual stereo from RGB-D: the right view's features, warped from the left ones by measured depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def warp_to_right(features: torch.Tensor, depth: torch.Tensor, bf: float) -> torch.Tensor:
    """Warp a feature map to the view of a camera to the right.

    Args:
        features: the left map, `[B, C, h, w]`.
        depth: depth of the left image, `[B, H, W]`, metres, 0 = none; pixels without depth do not move.
        bf: baseline times focal length, metres times pixels of the feature map.

    Returns:
        `[B, C, h, w]`.
    """
    b, _, h, w = features.shape
    resized = F.interpolate(depth[:, None], size=(h, w), mode="bilinear", align_corners=False)[:, 0]
    disparity = torch.where(resized > 0, bf / resized, torch.zeros_like(resized))  # [B, h, w]
    # positions are pixel edges, half a map pixel to the left and above the centres, as in published weights
    x = -1 + 2 * torch.arange(w, device=depth.device, dtype=depth.dtype) / w
    y = -1 + 2 * torch.arange(h, device=depth.device, dtype=depth.dtype) / h
    positions = torch.stack([x + disparity * 2 / w, y[:, None].expand(b, h, w)], dim=-1)
    return F.grid_sample(features, positions.to(features.dtype), padding_mode="border", align_corners=False)
