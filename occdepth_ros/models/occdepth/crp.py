"""Context relation prior (CRP): relations of voxels and super-voxels (MonoScene, section 3.3)."""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.models.layers.aspp import Aspp3d
from occdepth_ros.models.layers.bottleneck import Process


class ContextPrior(nn.Module):
    """Predicts relations between voxels and super-voxels, and gathers context by them.

    Args:
        channels: channels of the volume.
        size: voxels of the volume along its three axes; the weights are tied to it.
        n_relations: number of relations.
    """

    def __init__(self, channels: int, size: tuple[int, int, int], n_relations: int = 4) -> None:
        super().__init__()
        x, y, z = size
        # padded on even axes only: n/2 super-voxels there, (n - 1)/2 on odd ones
        padding = (1 - x % 2, 1 - y % 2, 1 - z % 2)
        self.n_super = (x // 2) * (y // 2) * (z // 2)
        self.mega_context = nn.Sequential(nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=padding))
        self.context_prior_logits = nn.ModuleList(
            nn.Sequential(nn.Conv3d(channels, self.n_super, 1)) for _ in range(n_relations)
        )
        self.aspp = Aspp3d(channels)
        self.resize = nn.Sequential(
            nn.Conv3d(channels * (1 + 2 * n_relations), channels, 1, bias=False), Process(channels, dilations=(1,))
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Refine a volume.

        Args:
            x: `[B, C, X, Y, Z]` with N = X·Y·Z.

        Returns:
            the volume `[B, C, X, Y, Z]`, and relation logits `[B, R, M, N]`.
        """
        spread = self.aspp(x)
        context = self.mega_context(spread).flatten(2)  # [B, 2C, M]
        parts, logits = [x], []
        for prior in self.context_prior_logits:
            relation = prior(spread).flatten(2)  # [B, M, N]
            # a sum without normalisation over the super-voxels, as in published weights
            gathered = context @ torch.sigmoid(relation)  # [B, 2C, N]
            parts.append(gathered.unflatten(2, x.shape[2:]))
            logits.append(relation)
        return self.resize(torch.cat(parts, dim=1)), torch.stack(logits, dim=1)
