"""Occupancy by height above the ground of a column."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge_bev.config import LIFT

COLUMNS = LIFT**2
"""Number of columns of the prediction in one lifted column."""
LOWEST, HIGHEST, SPACING = -4.0, 8.0, 0.5
"""Heights of the profile's nodes above the ground, voxel edges."""
NODES = int((HIGHEST - LOWEST) / SPACING) + 1
_WINDOW = int(HIGHEST - LOWEST + 2 * SPACING) + 1
"""Number of layers that can have logits in one column."""


class GroundProfile(nn.Module):
    """Adds logits that depend on the height above the ground of every column to the occupancy.

    The bird's-eye view stacks the layers of the grid as channels, so it can represent a surface between two layers only
    by a combination of channels of fixed layers. A profile relative to the ground represents it exactly, on level roads
    and on slopes. It is initialised with zero.

    Args:
        channels: channels of the bird's-eye view.
        layers: lifted voxels along z.
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.layers = layers
        self.profile = nn.Conv2d(channels, COLUMNS * NODES, 1)
        nn.init.zeros_(self.profile.weight)
        assert self.profile.bias is not None
        nn.init.zeros_(self.profile.bias)

    def forward(self, profile: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
        """Return the occupancy logits of one scene.

        Args:
            profile: output of `self.profile`, `[X/2, Y/2, COLUMNS * NODES]`.
            height: height of the ground in every column, `[X, Y]`, voxel edges above the grid's lower face.

        Returns:
            `[X/2 Y/2 layers, 8]`, as `BevOutput.occupancy`: linear between the nodes, 0 beyond a spacing outside them.
        """
        x, y, _ = profile.shape
        layers = self.layers * LIFT
        nodes = F.pad(profile.float().reshape(-1, NODES), (1, 2))
        height = height.view(x, LIFT, y, LIFT).transpose(1, 2).reshape(-1, 1).float()
        # only the layers of the window are computed; layers beyond the grid fall into the margin
        first = (height + (LOWEST - SPACING - 0.5)).ceil().clamp(-_WINDOW, layers)
        layer = first + torch.arange(_WINDOW, device=height.device)
        at = ((layer + 0.5 - height - LOWEST) / SPACING + 1).clamp(0, NODES + 1)
        lower = at.floor()
        share = at - lower
        index = lower.long()
        logits = nodes.gather(1, index) * (1 - share) + nodes.gather(1, index + 1) * share
        padded = logits.new_zeros(len(logits), layers + 2 * _WINDOW)
        padded = padded.scatter(1, layer.long() + _WINDOW, logits)[:, _WINDOW : _WINDOW + layers]
        padded = padded.reshape(x * y, COLUMNS, self.layers, LIFT).transpose(1, 2)
        return padded.reshape(x * y * self.layers, COLUMNS * LIFT)
