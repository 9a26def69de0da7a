"""LMSCNet: a 2-D U-Net over the bird's-eye view with 3-D heads (Roldão et al., 3DV 2020, section 3).

The voxels of a column are channels, so 2-D convolutions gather context. At each output scale a map is unfolded into a
volume of one channel, and a small head of dilated 3-D convolutions predicts classes.
"""

from __future__ import annotations

import torch
from torch import nn

from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.comparison.lmscnet.config import SCALES, LmscNetConfig
from occdepth_ros.models.layers.aspp import DilatedBranches


class ColumnBlock(nn.Sequential):
    """Two 3x3 convolutions over the bird's-eye view: `[B, C, X, Y]` to `[B, C', X, Y]`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class VolumeHead(DilatedBranches):
    """Classes of a volume of one channel: convolution, dilated pyramid, convolution (section 3.2).

    Args:
        channels: channels inside.
        n_classes: semantic classes, empty space included.
    """

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__(channels)
        self.lift = nn.Conv3d(1, channels, 3, padding=1)
        self.classes = nn.Conv3d(channels, n_classes, 3, padding=1)

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Map `[B, Z, X, Y]` to logits `[B, n_classes, X, Y, Z]`."""
        volume = columns.movedim(1, -1)[:, None]  # [B, 1, X, Y, Z]
        logits: torch.Tensor = self.classes(self.pyramid(torch.relu(self.lift(volume))))
        return logits


class LmscNet(nn.Module):
    """LMSCNet: encoder down to 1/8, decoder with skips from every coarser scale, a head at each scale."""

    def __init__(self, config: LmscNetConfig) -> None:
        super().__init__()
        self.config = config
        column, widths = config.grid.size[2], config.widths
        fine_first = tuple(reversed(SCALES))
        inputs = dict(zip(fine_first, (column, *(widths[s] for s in fine_first)), strict=False))
        self.encoder = nn.ModuleDict({str(s): ColumnBlock(inputs[s], widths[s]) for s in fine_first})
        self.pool = nn.MaxPool2d(2)
        self.decoder = nn.ModuleDict()
        self.to_column = nn.ModuleDict()
        self.raise_to = nn.ModuleDict()
        for level, scale in enumerate(SCALES):
            coarser = SCALES[:level]
            for other in coarser:
                factor, height = other // scale, column // other
                self.raise_to[f"{other}_{scale}"] = nn.ConvTranspose2d(height, height, factor, factor)
            width = widths[scale] + sum(column // other for other in coarser)
            self.decoder[str(scale)] = ColumnBlock(width, widths[scale])
            self.to_column[str(scale)] = nn.Conv2d(widths[scale], column // scale, 3, padding=1)
        self.heads = nn.ModuleDict({str(s): VolumeHead(config.head, config.n_classes) for s in SCALES})

    def forward(
        self, occupancy: torch.Tensor, scales: tuple[int, ...] = SCALES, window: ColumnWindow | None = None
    ) -> dict[int, torch.Tensor]:
        """Complete the scene.

        Args:
            occupancy: 1 where a surface was matched, else 0, `[B, X, Y, Z]`.
            scales: scales to predict.
            window: the columns that the heads work on; None = all. Context is always gathered from all columns.

        Returns:
            class logits by scale s, `[B, n_classes, X/s, Y/s, Z/s]` (of the window's columns).
        """
        columns = self.columns(occupancy)
        out = {}
        for scale in scales:
            part = columns[scale]
            if window is not None:
                x, y = window.slices(scale)
                part = part[:, :, x, y]
            out[scale] = self.heads[str(scale)](part)
        return out

    def columns(self, occupancy: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return the maps that the heads unfold, `[B, Z/s, X/s, Y/s]` by scale s."""
        x = occupancy.movedim(-1, 1)
        skips = {}
        for scale in reversed(SCALES):
            x = self.encoder[str(scale)](x if scale == 1 else self.pool(x))
            skips[scale] = x
        out: dict[int, torch.Tensor] = {}
        for scale in SCALES:
            shifted = [self.raise_to[f"{other}_{scale}"](columns) for other, columns in out.items()]
            decoded = self.decoder[str(scale)](torch.cat([skips[scale], *shifted], dim=1))
            out[scale] = self.to_column[str(scale)](decoded)
        return out
