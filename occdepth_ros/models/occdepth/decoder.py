"""2-D decoder: maps the encoder's maps to feature maps with equal channels at every scale."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

SCALES = (16, 8, 4, 2, 1)


class UpBlock(nn.Module):
    """Resize to the skip map, concatenate, two 3x3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self._net = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(),
        )

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Map `[B, C, h, w]` and `[B, S, H, W]` to `[B, C', H, W]`."""
        x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
        out: torch.Tensor = self._net(torch.cat([x, skip], dim=1))
        return out


class Decoder(nn.Module):
    """Five up-blocks, each with a 1x1 projection to `feature` channels.

    Args:
        in_channels: channels of the map at 1/32.
        skip_channels: channels of the encoder's map by scale.
        feature: channels of every output map.
        finest_scale: the finest scale that is built.
        width: channels inside the decoder, as a share of the published ones (those of the map at 1/32, halved at
            every up-block).
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: Mapping[int, int],
        feature: int,
        *,
        finest_scale: int = 1,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        channels = below = int(in_channels * width)
        # a 1x1 convolution with padding adds a ring of bias values around the map, which published weights require
        self.conv2 = nn.Conv2d(in_channels, channels, 1, padding=1)
        self.scales = tuple(s for s in SCALES if s >= finest_scale)
        for level, scale in enumerate(self.scales, start=1):
            out = channels // 2**level
            self.add_module(f"up{scale}", UpBlock(below + skip_channels[scale], out))
            self.add_module(f"resize_output_1_{scale}", nn.Conv2d(out, feature, 1))
            below = out

    def forward(
        self, maps: Mapping[int, torch.Tensor], requested: tuple[int, ...] | None = None
    ) -> dict[int, torch.Tensor]:
        """Return feature maps by scale.

        Args:
            maps: the encoder's maps by scale, `[B, C_s, h_s, w_s]`.
            requested: scales to return; None = all that are built.

        Returns:
            `[B, feature, h_s, w_s]` by scale.
        """
        x = self.conv2(maps[32])
        out = {}
        for scale in self.scales:
            x = self.get_submodule(f"up{scale}")(x, maps[scale])
            if requested is None or scale in requested:
                out[scale] = self.get_submodule(f"resize_output_1_{scale}")(x)
        return out
