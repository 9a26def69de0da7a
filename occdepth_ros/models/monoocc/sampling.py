"""Bilinear samples of a feature map, weighted and summed: the core of deformable attention and of DCNv3.

Every sample consists of four weighted rows of a table, so the result of a head is one weighted sum of rows: an
embedding bag. On a CPU this takes a tenth of the time of `grid_sample`, whose layout needs a separate memory access for
each channel, and the single samples are not stored.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

EXACT = 1 << 24
"""Integers below it are exact in float32."""


def padded_map(values: torch.Tensor) -> torch.Tensor:
    """Add a margin of zeros to a map, so that samples outside need no special case.

    Args:
        values: `[h, w, heads, d]`.

    Returns:
        `[h + 3, w + 3, heads, d]` float32, with one row and column before the first and two after the last.
    """
    return F.pad(values.float(), (0, 0, 0, 0, 1, 2, 1, 2))


def sample_and_sum(table: torch.Tensor, locations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sample each head's channels at its points, and sum them up by weight; zero outside.

    Args:
        table: result of `padded_map`, `[h + 3, w + 3, heads, d]`.
        locations: x and y, `[N, heads, points, 2]` float32, pixels of the map without margin, centres at integers.
        weights: `[N, heads, points]`.

    Returns:
        `[N, heads * d]` float32.
    """
    height, width, heads, depth = table.shape
    if table.shape[:3].numel() >= EXACT:
        raise ValueError(f"a map of {height}x{width} cells with {heads} heads is too large to be indexed in float32")
    # differentiable, unlike unbind followed by in-place operations, and cheap
    x = locations[..., 0].clamp(-1, width - 3)
    y = locations[..., 1].clamp(-1, height - 3)
    column, row = x.detach().floor(), y.detach().floor()
    right, below = x - column, y - row
    head = torch.arange(heads, device=table.device, dtype=torch.float32)[:, None]
    first = ((row + 1) * width + (column + 1)) * heads + head
    # NaN locations of diverged weights must give NaN, not an invalid index
    first = first.nan_to_num(0.0).to(torch.int32)
    steps = torch.tensor([0, heads, width * heads, (width + 1) * heads], device=table.device, dtype=torch.int32)
    index = first[..., None] + steps  # [N, heads, points, 4]
    lower = below * weights
    upper = weights - lower
    to_right, lower_right = upper * right, lower * right
    shares = torch.stack([upper - to_right, to_right, lower - lower_right, lower_right], -1)
    count = locations.shape[0]
    bags = F.embedding_bag(
        index.view(count * heads, -1),
        table.view(-1, depth),
        mode="sum",
        per_sample_weights=shares.view(count * heads, -1),
    )
    return bags.view(count, heads * depth)
