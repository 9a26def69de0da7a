"""Query proposal network: a 2-D U-Net over the bird's-eye view of an occupancy volume, small 3-D heads (after LMSCNet).

The voxels of a column are channels. Parameters have the published names, so that checkpoints load strictly.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from occdepth_ros.models.layers.aspp import DilatedBranches
from occdepth_ros.models.qpn.config import QpnConfig

HEAD_CHANNELS = 8
OCCUPIED = 1
"""Channel of the logits of occupied space; the other one is that of free space."""


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def _encoder(in_channels: int, out_channels: int, *, pools: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.MaxPool2d(2)] if pools else []
    layers += [_conv(in_channels, out_channels), nn.ReLU(), _conv(out_channels, out_channels), nn.ReLU()]
    return nn.Sequential(*layers)


class OccupancyHead(DilatedBranches):
    """Free or occupied by voxel: convolution, dilated pyramid, convolution.

    The output has a ReLU, as published: if both logits are zero, the voxel counts as free.
    """

    def __init__(self) -> None:
        super().__init__(HEAD_CHANNELS)
        self.conv0 = nn.Conv3d(1, HEAD_CHANNELS, 3, padding=1)
        self.conv_classes = nn.Conv3d(HEAD_CHANNELS, 2, 3, padding=1)

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Map `[B, Z, X, Y]` to logits `[B, 2, X, Y, Z]`, at least 0."""
        volume = torch.relu(self.conv0(columns[:, None]))  # [B, 8, Z, X, Y]
        return torch.relu(self.conv_classes(self.pyramid(volume))).permute(0, 1, 3, 4, 2)


class QueryProposalNetwork(nn.Module):
    """The network.

    Args:
        config: configuration of the network.
    """

    def __init__(self, config: QpnConfig | None = None) -> None:
        super().__init__()
        self.config = config or QpnConfig()
        column = self.config.grid.size[2]
        half, quarter, eighth = column // 2, column // 4, column // 8
        w1, w2, w4, w8 = self.config.widths
        self.Encoder_block1 = _encoder(column, w1, pools=False)
        self.Encoder_block2 = _encoder(w1, w2, pools=True)
        self.Encoder_block3 = _encoder(w2, w4, pools=True)
        self.Encoder_block4 = _encoder(w4, w8, pools=True)
        self.conv_out_scale_1_8 = _conv(w8, eighth)
        self.deconv_1_8__1_2 = nn.ConvTranspose2d(eighth, eighth, 4, 4)
        self.deconv1_8 = nn.ConvTranspose2d(eighth, eighth, 6, 2, padding=2)
        self.conv1_4 = _conv(w4 + eighth, w4)
        self.conv_out_scale_1_4 = _conv(w4, quarter)
        self.deconv1_4 = nn.ConvTranspose2d(quarter, quarter, 6, 2, padding=2)
        self.conv1_2 = _conv(w2 + quarter + eighth, w2)
        self.conv_out_scale_1_2 = _conv(w2, half)
        # unused layers of published checkpoints
        self.deconv_1_8__1_1 = nn.ConvTranspose2d(eighth, eighth, 8, 8)
        self.deconv_1_4__1_1 = nn.ConvTranspose2d(quarter, quarter, 4, 4)
        for unused in (self.deconv_1_8__1_1, self.deconv_1_4__1_1):
            unused.requires_grad_(False)
        for scale in self.config.heads:
            self.add_module(f"seg_head_1_{scale}", OccupancyHead())

    def forward(self, occupancy: torch.Tensor, scales: tuple[int, ...] | None = None) -> dict[int, torch.Tensor]:
        """Classify voxels as free or occupied.

        Args:
            occupancy: 1 where a surface was matched, else 0, `[B, X, Y, Z]`.
            scales: scales of the heads to predict; None = all.

        Returns:
            logits of free and occupied by scale s, `[B, 2, X/s, Y/s, Z/s]`.
        """
        columns = self.columns(occupancy)
        requested = self.config.heads if scales is None else scales
        return {scale: self.get_submodule(f"seg_head_1_{scale}")(columns[scale]) for scale in requested}

    def proposals(self, occupancy: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
        """Return the voxels of twice the edge that are occupied with a probability above a threshold.

        Args:
            occupancy: as in `forward`.
            threshold: 0.5 as published: the larger logit decides, and ties are free.

        Returns:
            `[B, X/2, Y/2, Z/2]` bool.
        """
        logits = self(occupancy, (2,))[2].float()
        # the difference of two logits is the logit of the probability; exact for ties
        return logits[:, OCCUPIED] - logits[:, 1 - OCCUPIED] > math.log(threshold / (1 - threshold))

    def columns(self, occupancy: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return the maps that the heads unfold, `[B, Z/s, X/s, Y/s]` by scale s."""
        full = self.Encoder_block1(occupancy.movedim(-1, 1))
        half = self.Encoder_block2(full)
        quarter = self.Encoder_block3(half)
        out8 = self.conv_out_scale_1_8(self.Encoder_block4(quarter))
        joined = torch.cat([self.deconv1_8(out8), quarter], dim=1)
        out4 = self.conv_out_scale_1_4(torch.relu(self.conv1_4(joined)))
        joined = torch.cat([self.deconv1_4(out4), half, self.deconv_1_8__1_2(out8)], dim=1)
        out2 = self.conv_out_scale_1_2(torch.relu(self.conv1_2(joined)))
        return {2: out2, 4: out4, 8: out8}
