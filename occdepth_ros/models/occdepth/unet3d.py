"""3-D network: encoder with two levels, context relation prior at the coarsest level, decoder, head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.layers.bottleneck import Downsample, Process
from occdepth_ros.models.layers.upsample import Upsample3d
from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.models.occdepth.crp import ContextPrior
from occdepth_ros.models.occdepth.head import OccludedHead, SegmentationHead


@dataclass(frozen=True)
class StageNames:
    """Names of the stages of the 3-D network in published checkpoints."""

    down1: str
    down2: str
    up2: str
    up1: str
    up_full: str | None
    head: str


STAGE_NAMES = {
    "kitti": StageNames("process_l1", "process_l2", "up_13_l2", "up_12_l1", "up_l1_lfull", "ssc_head"),
    "nyu": StageNames("process_1_4", "process_1_8", "up_1_16_1_8", "up_1_8_1_4", None, "ssc_head_1_4"),
}


@dataclass(frozen=True)
class Completion:
    """Output of the 3-D network for B scenes.

    Args:
        logits: class logits, `[B, n_classes, X, Y, Z]`.
        occupancy_logits: free and occupied, `[B, 2, X, Y, Z]`; None without cascade.
        relation_logits: relations of super-voxels (M) and voxels (N), `[B, R, M, N]`; None without context prior.
        occluded_logits: visible and occluded, `[B, 2, X, Y, Z]`; None without that head.
    """

    logits: torch.Tensor
    occupancy_logits: torch.Tensor | None = None
    relation_logits: torch.Tensor | None = None
    occluded_logits: torch.Tensor | None = None


class UNet3d(nn.Module):
    """The 3-D U-Net of one configuration; module names are those of published checkpoints."""

    CP_mega_voxels: ContextPrior | None

    def __init__(self, config: OccDepthConfig) -> None:
        super().__init__()
        c = config.feature
        self.project_scale = config.project_scale
        self.names = names = STAGE_NAMES[config.layout]
        self.add_module(names.down1, nn.Sequential(Process(c), Downsample(c)))
        self.add_module(names.down2, nn.Sequential(Process(2 * c), Downsample(2 * c)))
        self.add_module(names.up2, Upsample3d(4 * c, 2 * c))
        self.add_module(names.up1, Upsample3d(2 * c, c))
        head_channels = c
        if names.up_full is not None:
            head_channels = c // 2
            self.add_module(names.up_full, Upsample3d(c, head_channels, stride=config.project_scale))
        self.add_module(names.head, SegmentationHead(head_channels, config.n_classes, cascade=config.cascade))
        self.occluded_head = OccludedHead(head_channels) if config.occluded else None
        self.CP_mega_voxels = None
        if config.crp:
            self.CP_mega_voxels = ContextPrior(4 * c, config.bottom_size, config.n_relations)

    def forward(self, x: torch.Tensor, window: ColumnWindow | None = None) -> Completion:
        """Complete the scene.

        Args:
            x: the lifted volume, `[B, C, X/p, Y/p, Z/p]` with p the projection scale.
            window: the columns that are predicted (KITTI layout only); None = all. Context is always gathered from all
                columns.
        """
        full, relations = self.volume(x, window)
        logits, occupancy = self.head(full)
        occluded = None if self.occluded_head is None else self.occluded_head(full)
        return Completion(logits, occupancy, relations, occluded)

    def volume(self, x: torch.Tensor, window: ColumnWindow | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute the volume that the head reads, `[B, C/2, X, Y, Z]` (NYU: `[B, C, X, Y, Z]`), and relation logits."""
        names = self.names
        half = self.get_submodule(names.down1)(x)  # [B, 2C, X/2p, Y/2p, Z/2p]
        bottom = self.get_submodule(names.down2)(half)  # [B, 4C, X/4p, Y/4p, Z/4p]
        relations = None
        if self.CP_mega_voxels is not None:
            bottom, relations = self.CP_mega_voxels(bottom)
        half = self.get_submodule(names.up2)(bottom) + half
        full = self.get_submodule(names.up1)(half) + x  # [B, C, X/p, Y/p, Z/p]
        if window is not None:
            full = window.crop(full, self.project_scale)
        if names.up_full is not None:
            full = self.get_submodule(names.up_full)(full)
        return full, relations

    def head(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the class logits `[B, n_classes, X, Y, Z]` and the occupancy logits `[B, 2, X, Y, Z]` or None."""
        out: tuple[torch.Tensor, torch.Tensor | None] = self.get_submodule(self.names.head)(volume)
        return out
