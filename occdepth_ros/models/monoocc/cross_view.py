"""Cross view transformer of the privileged branch: attention between the features of two images.

As in GMFlow (Xu et al., CVPR 2022): self- and cross-attention inside the windows of a 2x2 split, every other block
with windows shifted by half their size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

SPLIT = 2
"""Number of windows along each axis."""
APART = -100.0
"""Value added to the scores between parts of a shifted window that are not adjacent."""


class Sublayer(nn.Module):
    """Attention inside windows; with `ffn`, followed by a feed-forward block on the input and the result.

    Args:
        channels: channels of the features.
        ffn: whether the feed-forward block follows.
    """

    def __init__(self, channels: int, *, ffn: bool) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.merge = (
            nn.Linear(channels, channels, bias=False) for _ in range(4)
        )
        self.norm1 = nn.LayerNorm(channels)
        if ffn:
            self.mlp = nn.Sequential(
                nn.Linear(2 * channels, 8 * channels, bias=False),
                nn.GELU(),
                nn.Linear(8 * channels, channels, bias=False),
            )
            self.norm2 = nn.LayerNorm(channels)
        self.ffn = ffn
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(self, source: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Attend from `source` to `target`, `[B, h, w, C]` both, and add the result to `source`.

        Args:
            source, target: feature maps.
            mask: values added to the scores of shifted windows, `[4, L, L]`; None = windows are not shifted.
        """
        height, width = source.shape[1:3]
        shift = (height // (2 * SPLIT), width // (2 * SPLIT)) if mask is not None else (0, 0)
        q, k, v = (
            windows(layer(x), shift)
            for layer, x in ((self.q_proj, source), (self.k_proj, target), (self.v_proj, target))
        )  # [B, 4, L, C]
        bias = None if mask is None else mask.to(q.dtype)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        message = self.norm1(self.merge(unwindowed(found, (height, width), shift)))
        if self.ffn:
            message = self.norm2(self.mlp(torch.cat([source, message], -1)))
        out: torch.Tensor = source + message
        return out


class Block(nn.Module):
    """Self-attention, then cross-attention with a feed-forward block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.self_attn = Sublayer(channels, ffn=False)
        self.cross_attn_ffn = Sublayer(channels, ffn=True)

    def forward(self, source: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the updated source; `source` and `target` are `[B, h, w, C]`."""
        source = self.self_attn(source, source, mask)
        out: torch.Tensor = self.cross_attn_ffn(source, target, mask)
        return out


class CrossViewTransformer(nn.Module):
    """Blocks of alternating windows over a pair of feature maps.

    Args:
        channels: channels of the features.
        blocks: number of blocks.
    """

    def __init__(self, channels: int = 128, blocks: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(channels) for _ in range(blocks))

    def exchange(self, features: torch.Tensor) -> torch.Tensor:
        """Exchange features between the images of one sample, each with the next: `[V, C, h, w]` to the same shape.

        Maps with an odd side are returned unchanged, as in published networks.
        """
        if features.shape[-1] % SPLIT or features.shape[-2] % SPLIT:
            return features
        maps = list(features)
        for j in range(len(maps) - 1):
            maps[j], maps[j + 1] = self(with_position(maps[j]), with_position(maps[j + 1]))
        return torch.stack(maps)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Exchange features between two maps `[C, h, w]` with position codes."""
        both = torch.stack([a, b]).movedim(1, -1)
        other = both.flip(0)
        mask = shifted_mask(both.shape[1], both.shape[2]).to(both.device)
        for number, block in enumerate(self.layers):
            both = block(both, other, mask if number % 2 else None)
            other = both.flip(0)
        first, second = both.movedim(-1, 1)
        return first, second


def windows(x: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """Map `[B, h, w, C]`, rolled back by `shift`, to windows `[B, 4, h/2 * w/2, C]`."""
    if any(shift):
        x = x.roll((-shift[0], -shift[1]), (1, 2))
    b, h, w, c = x.shape
    x = x.view(b, SPLIT, h // SPLIT, SPLIT, w // SPLIT, c)
    return x.transpose(2, 3).reshape(b, SPLIT * SPLIT, -1, c)


def unwindowed(x: torch.Tensor, size: tuple[int, int], shift: tuple[int, int]) -> torch.Tensor:
    """Return the inverse of `windows`."""
    b, _, _, c = x.shape
    h, w = size
    x = x.view(b, SPLIT, SPLIT, h // SPLIT, w // SPLIT, c).transpose(2, 3).reshape(b, h, w, c)
    return x.roll(shift, (1, 2)) if any(shift) else x


def shifted_mask(height: int, width: int) -> torch.Tensor:
    """Return the attention mask of shifted windows, `[4, L, L]` (Liu et al., ICCV 2021)."""

    def bands(size: int) -> torch.Tensor:
        window, shift = size // SPLIT, size // (2 * SPLIT)
        position = torch.arange(size)
        return (position >= size - window).long() + (position >= size - shift).long()

    region = 3 * bands(height)[:, None] + bands(width)
    cells = windows(region[None, :, :, None], (0, 0))[0, :, :, 0]  # [4, L]
    return torch.where(cells[:, :, None] == cells[:, None], 0.0, APART)


def with_position(features: torch.Tensor) -> torch.Tensor:
    """Add a sine encoding to each quarter of the map, each with its own coordinates: `[C, h, w]` to the same shape."""
    channels, height, width = features.shape
    along_y, along_x = (sine_code(n // SPLIT, channels // 2, features).repeat(SPLIT, 1) for n in (height, width))
    code = torch.cat([along_y.T[:, :, None].expand(-1, -1, width), along_x.T[:, None].expand(-1, height, -1)])
    return features + code


def sine_code(length: int, channels: int, like: torch.Tensor) -> torch.Tensor:
    """Return the sine and cosine encoding of positions 1 to length, as in DETR, `[length, channels]`."""
    position = torch.arange(1, length + 1, dtype=torch.float32) / (length + 1e-6) * (2 * math.pi)
    period = 10000 ** (2 * torch.arange(channels // 2, dtype=torch.float32) / channels)
    angle = position[:, None] / period
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(like)
