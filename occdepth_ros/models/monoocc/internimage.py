"""InternImage with deformable convolution v3 (Wang et al., CVPR 2023), with the published parameter names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.monoocc.sampling import padded_map, sample_and_sum

EPSILON = 1e-6
"""Epsilon of all layer norms."""
TAPS = 9
"""Number of sampling points of a group: a 3x3 neighbourhood."""


@dataclass(frozen=True)
class InternImageConfig:
    """Configuration of the network; the defaults are InternImage-XL.

    Args:
        channels: channels of the first stage; each stage doubles them.
        depths: number of blocks of each stage.
        group_width: channels per group of the deformable convolutions.
        expansion: ratio of hidden to input channels of the feed-forward blocks.
        offset_scale: factor of all offsets, including those of the 3x3 neighbourhood.
    """

    channels: int = 192
    depths: tuple[int, ...] = (5, 5, 24)
    group_width: int = 16
    expansion: int = 4
    offset_scale: float = 2.0


class DeformableConvolution(nn.Module):
    """DCNv3: the weighted sum of nine samples per group and pixel, with predicted offsets and weights.

    Args:
        channels: channels of input and output.
        config: group width and scale of the offsets.
    """

    base: torch.Tensor

    def __init__(self, channels: int, config: InternImageConfig) -> None:
        super().__init__()
        self.groups, self.offset_scale = channels // config.group_width, config.offset_scale
        self.dw_conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            # in published names the norm has index 1, after a permutation of the axes
            nn.Sequential(nn.Identity(), nn.LayerNorm(channels, EPSILON)),
        )
        self.offset = nn.Linear(channels, self.groups * TAPS * 2)
        self.mask = nn.Linear(channels, self.groups * TAPS)
        self.input_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        for layer in (self.offset, self.mask):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.input_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        steps = torch.tensor([-1.0, 0.0, 1.0])
        # x varies more slowly than y
        base = torch.stack([steps.repeat_interleave(3), steps.repeat(3)], -1)
        self.register_buffer("base", base, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, h, w, C]` to the same shape."""
        batch, height, width, _ = x.shape
        values = self.input_proj(x).unflatten(-1, (self.groups, -1))
        near = self.dw_conv[0](x.movedim(-1, 1)).movedim(1, -1)
        chosen = F.gelu(self.dw_conv[1](near))
        offsets = self.offset(chosen).float().view(batch, height * width, self.groups, TAPS, 2)
        weights = self.mask(chosen).float().view(batch, height * width, self.groups, TAPS).softmax(-1)
        cell = torch.arange(height * width, device=x.device)
        centers = torch.stack([cell % width, cell // width], -1).float()[:, None, None]
        found = [
            sample_and_sum(padded_map(values[b]), centers + self.offset_scale * (self.base + offsets[b]), weights[b])
            for b in range(batch)
        ]
        out: torch.Tensor = self.output_proj(torch.stack(found).view(batch, height, width, -1))
        return out


class FeedForward(nn.Module):
    """Two linear layers."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, expansion * channels)
        self.fc2 = nn.Linear(expansion * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[..., C]` to the same shape."""
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Deformable convolution and feed-forward block, each normalised and scaled before the residual addition."""

    def __init__(self, channels: int, config: InternImageConfig) -> None:
        super().__init__()
        self.dcn = DeformableConvolution(channels, config)
        self.norm1 = nn.Sequential(nn.LayerNorm(channels, EPSILON))
        self.mlp = FeedForward(channels, config.expansion)
        self.norm2 = nn.Sequential(nn.LayerNorm(channels, EPSILON))
        self.gamma1 = nn.Parameter(torch.ones(channels))
        self.gamma2 = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, h, w, C]` to the same shape."""
        x = x + self.gamma1 * self.norm1(self.dcn(x))
        out: torch.Tensor = x + self.gamma2 * self.norm2(self.mlp(x))
        return out


class Halving(nn.Module):
    """Convolution of stride 2 and norm, channels last."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.norm = nn.Sequential(nn.Identity(), nn.LayerNorm(after, EPSILON))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, h, w, C]` to `[B, h/2, w/2, C']`, rounded up."""
        out: torch.Tensor = self.norm(self.conv(x.movedim(-1, 1)).movedim(1, -1))
        return out


class Stem(nn.Module):
    """Image to a quarter of its size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels // 2, 3, stride=2, padding=1)
        self.norm1 = nn.Sequential(nn.Identity(), nn.LayerNorm(channels // 2, EPSILON))
        self.conv2 = nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1)
        self.norm2 = nn.Sequential(nn.Identity(), nn.LayerNorm(channels, EPSILON))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, 3, H, W]` to `[B, H/4, W/4, C]`, rounded up."""
        x = F.gelu(self.norm1(self.conv1(x).movedim(1, -1)))
        out: torch.Tensor = self.norm2(self.conv2(x.movedim(-1, 1)).movedim(1, -1))
        return out


class Stage(nn.Module):
    """Blocks of one resolution, and the downsampling to the next stage, if any."""

    def __init__(self, channels: int, depth: int, config: InternImageConfig, *, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, config) for _ in range(depth))
        self.downsample: Halving | None = None if last else Halving(channels, 2 * channels)


class InternImage(nn.Module):
    """The stages that `config.depths` lists; MonoOcc takes three of InternImage-XL's four.

    Args:
        config: configuration of the network.
    """

    def __init__(self, config: InternImageConfig | None = None) -> None:
        super().__init__()
        config = config or InternImageConfig()
        self.patch_embed = Stem(config.channels)
        count = len(config.depths)
        self.levels = nn.ModuleList(
            Stage(config.channels << i, depth, config, last=i == count - 1) for i, depth in enumerate(config.depths)
        )
        self.channels = (config.channels << (count - 1),)

    def stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of every stage, `[B, C, h, w]`, from normalised images `[B, 3, H, W]`."""
        x, out = self.patch_embed(images), []
        for stage in self.levels:
            assert isinstance(stage, Stage)
            for block in stage.blocks:
                x = block(x)
            out.append(x.movedim(-1, 1))
            if stage.downsample is not None:
                x = stage.downsample(x)
        return out

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return a list with the output of the last stage, `[B, C, H/16, W/16]` for three stages."""
        return self.stages(images)[-1:]
