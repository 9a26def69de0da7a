"""2-D encoder: an EfficientNet whose intermediate maps feed the decoder (OccDepth, section 3.1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from occdepth_ros.errors import ModelError

BACKBONES = {variant: f"tf_efficientnet_{variant}.ns_jft_in1k" for variant in ("b3", "b4", "b5", "b7")} | {
    "lite0": "tf_efficientnet_lite0.in1k"
}
"""timm's name of every variant: the published ones, and a small one for CPUs."""

TAPPED_STAGES = {0: 2, 1: 4, 2: 8, 4: 16}
"""EfficientNet stage whose output is the map at 1/2, 1/4, 1/8, 1/16."""


class Encoder(nn.Module):
    """EfficientNet with access to its intermediate maps.

    Args:
        backbone: variant, a key of `BACKBONES`.

    Raises:
        ModelError: the variant is unknown, or timm is not installed.
    """

    original_model: Any

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ModelError(f"there is no backbone {backbone!r}", remedy=f"Choose one of {', '.join(BACKBONES)}.")
        try:
            import timm  # only the published networks need it
        except ImportError as error:
            text = "the encoder of this network needs the package timm"
            raise ModelError(text, where=backbone, remedy="Install it: pip install timm") from error
        # weights come from the checkpoint; nothing is downloaded
        model: Any = timm.create_model(BACKBONES[backbone], pretrained=False, num_classes=0, global_pool="")
        self.original_model = model
        self.skip_channels = {1: 3} | {scale: _out_channels(model.blocks[i]) for i, scale in TAPPED_STAGES.items()}
        self.out_channels: int = model.conv_head.out_channels

    def forward(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return the maps by scale.

        Args:
            images: `[B, 3, H, W]`, normalised.

        Returns:
            1: the images; 2, 4, 8, 16: `[B, C_s, ceil(H/s), ceil(W/s)]`; 32: the head convolution's raw output.
        """
        model = self.original_model
        maps = {1: images}
        x = model.bn1(model.conv_stem(images))
        for index, stage in enumerate(model.blocks):
            x = stage(x)
            if index in TAPPED_STAGES:
                maps[TAPPED_STAGES[index]] = x
        # the map is taken before the last norm and activation, which are therefore unused
        maps[32] = model.conv_head(x)
        return maps


def _out_channels(stage: Any) -> int:
    block = stage[-1]
    last: nn.Conv2d = block.conv_pwl if hasattr(block, "conv_pwl") else block.conv_pw
    return last.out_channels
