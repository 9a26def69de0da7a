"""2-D network of occdepth-edge-sfa: EfficientNet-Lite0 and a feature pyramid (Lin et al., CVPR 2017)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.layers.lite0 import Lite0

TAPS = (4, 8, 16, 32)
"""2-D scales of the encoder's maps that the pyramid reads."""
FINEST = 4
"""2-D scale of the lifted features, into which the pyramid merges the coarser scales."""
SMOOTHED = (4, 8, 16)
"""Scales with a 3x3 convolution after the sum."""


class ImageEncoder(nn.Module):
    """Maps images to feature maps at the lifted scales, and to class logits of the pixels for the auxiliary loss.

    Args:
        config: channels and scales.
    """

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__()
        self.encoder = Lite0()  # weights come from the checkpoint
        width = config.pyramid
        self.lateral = nn.ModuleDict(
            {str(s): nn.Conv2d(c, width, 1) for s, c in zip(TAPS, self.encoder.channels, strict=True)}
        )
        self.smooth = nn.ModuleDict({str(s): _conv(width) for s in SMOOTHED})
        self.lifted = nn.Conv2d(width, config.feature, 1)
        self.size = config.image
        self.semantic = nn.Sequential(_conv(width), nn.Conv2d(width, config.n_classes, 1))

    def forward(self, images: torch.Tensor) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
        """Compute the feature maps.

        Args:
            images: `[B, 3, H, W]`, normalised.

        Returns:
            pyramid `[B, pyramid, H/s, W/s]` by scale s, and the features that are lifted, `[B, feature, H/4, W/4]`.
        """
        maps = dict(zip(TAPS, self.encoder(images), strict=True))
        return self.decode(maps)

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise images to [-1, 1] and pad them at the right and bottom with the mean.

        Args:
            images: `[B, h, w, 3]` RGB uint8, at most the network's size.

        Returns:
            `[B, 3, H, W]` float32, channels innermost.
        """
        planes = (images.movedim(-1, 1).float() - 127.5) / 127.5
        padded = F.pad(planes, (0, self.size[1] - planes.shape[3], 0, self.size[0] - planes.shape[2]))
        return padded.contiguous(memory_format=torch.channels_last)

    def decode(self, maps: dict[int, torch.Tensor]) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
        """Return the pyramid by scale s, `[B, C, H/s, W/s]`, and lifted features, from the encoder's maps by scale."""
        pyramid: dict[int, torch.Tensor] = {}
        above: torch.Tensor | None = None
        for scale in reversed(TAPS):
            row = self.lateral[str(scale)](maps[scale])
            if above is not None:
                row = row + F.interpolate(above, size=row.shape[-2:], mode="bilinear", align_corners=False)
            if str(scale) in self.smooth:
                row = self.smooth[str(scale)](row)
            pyramid[scale] = above = row
        return pyramid, self.lifted(pyramid[FINEST])

    def semantics(self, finest: torch.Tensor) -> torch.Tensor:
        """Return the class logits of the pixels, `[B, n_classes, H/4, W/4]`, from the pyramid's finest map."""
        logits: torch.Tensor = self.semantic(finest)
        return logits


def _conv(width: int) -> nn.Sequential:
    conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
