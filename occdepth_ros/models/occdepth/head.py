"""Heads at full resolution: classes, with or without a preceding occupancy prediction."""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.models.layers.aspp import DilatedBranches


class OccludedHead(DilatedBranches):
    """Predicts which voxels are occluded.

    Args:
        channels: channels of the volume.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv0 = nn.Conv3d(channels, channels, 3, padding=1)
        self.occ_classes = nn.Conv3d(channels, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, X, Y, Z]` to logits of visible and occluded, `[B, 2, X, Y, Z]`."""
        out: torch.Tensor = self.occ_classes(self.pyramid(torch.relu(self.conv0(x))))
        return out


class SegmentationHead(DilatedBranches):
    """Convolution, pyramid, class logits; cascaded, the occupancy probabilities join the features first.

    Args:
        channels: channels of the volume.
        n_classes: semantic classes, empty space included.
        cascade: whether occupancy is predicted first.
    """

    def __init__(self, channels: int, n_classes: int, *, cascade: bool) -> None:
        super().__init__(channels)
        self.conv0 = nn.Conv3d(channels, channels, 3, padding=1)
        self.occ_classes = nn.Conv3d(channels, 2, 3, padding=1) if cascade else None
        self.conv_classes = nn.Conv3d(channels + 2 * cascade, n_classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Map `[B, C, X, Y, Z]` to class logits `[B, n_classes, X, Y, Z]` and occupancy logits `[B, 2, X, Y, Z]`."""
        y = self.pyramid(torch.relu(self.conv0(x)))
        if self.occ_classes is None:
            return self.conv_classes(y), None
        occupancy = self.occ_classes(y)
        return self.conv_classes(torch.cat([y, occupancy.softmax(dim=1)], dim=1)), occupancy
