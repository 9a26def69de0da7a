"""A 3x3 convolution of an upsampled map, computed on the map before upsampling.

Mixing of channels and interpolation of pixels commute: the nine taps are products at the low resolution, a quarter of
the multiplications, and every output pixel is a weighted sum of at most 36 rows, with weights independent of the image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

TAPS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


class TapSum(nn.Module):
    """Weighted sum of the rows of the nine products for every requested pixel.

    Args:
        low, high: height and width before and after the upsampling (bilinear, corners aligned).
        requested: flat indices of the requested output pixels; None = all.
    """

    def __init__(self, low: tuple[int, int], high: tuple[int, int], requested: torch.Tensor | None = None) -> None:
        super().__init__()
        pixels = torch.arange(high[0] * high[1]) if requested is None else requested
        row, column = pixels // high[1], pixels % high[1]
        rows = torch.stack([_corner_weights(row + d, low[0], high[0]) for d in (-1, 0, 1)])  # [3, P, 2 (index, ..)]
        columns = torch.stack([_corner_weights(column + d, low[1], high[1]) for d in (-1, 0, 1)])
        indices, weights = [], []
        for tap in range(len(TAPS)):
            y, x = rows[tap // 3], columns[tap % 3]
            for a in (0, 1):
                for b in (0, 1):
                    cell = y[:, a, 0].long() * low[1] + x[:, b, 0].long()
                    indices.append(cell * len(TAPS) + tap)
                    weights.append(y[:, a, 1] * x[:, b, 1])
        index, weight = torch.stack(indices, 1), torch.stack(weights, 1)  # [P, 36]
        kept = weight > 0
        counts = kept.sum(1)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])
        self.index: torch.Tensor
        self.weight: torch.Tensor
        self.starts: torch.Tensor
        self.register_buffer("index", index[kept].to(torch.int32), persistent=False)
        self.register_buffer("weight", weight[kept].float(), persistent=False)
        self.register_buffer("starts", starts.to(torch.int32), persistent=False)

    def forward(self, products: torch.Tensor) -> torch.Tensor:
        """Map `[h w, 9 C]` of one view to `[P, C]`."""
        rows = products.view(-1, products.shape[1] // len(TAPS))
        weight = self.weight.to(rows.dtype)
        return F.embedding_bag(self.index, rows, self.starts, mode="sum", per_sample_weights=weight)


def _corner_weights(position: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Return the two low cells that a high position lies between and their weights, `[P, 2, 2]`; zero outside."""
    inside = (position >= 0) & (position < high)
    exact = position.double() * ((low - 1) / max(high - 1, 1))
    # rounding must not move a position out of its cell
    nearest = exact.round()
    exact = torch.where((exact - nearest).abs() < 1e-9, nearest, exact).clamp(0, low - 1)
    first = exact.floor()
    fraction = exact - first
    second = (first + 1).clamp(max=low - 1)
    out = torch.stack([torch.stack([first, 1 - fraction], 1), torch.stack([second, fraction], 1)], 1)
    out[~inside] = 0
    return out


def tap_weights(weight: torch.Tensor) -> torch.Tensor:
    """Return the weights of a 3x3 convolution, `[C', C, 3, 3]`, as a matrix of nine taps, `[C, 9 C']`."""
    return weight.permute(1, 2, 3, 0).reshape(weight.shape[1], -1).contiguous()
