"""The 2-D decoder: upsampled maps are not stored, and the finest block computes only pixels that voxels read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.layers.fused_conv import FusedConv, folded
from occdepth_ros.models.occdepth.decoder import Decoder, UpBlock
from occdepth_ros.models.occdepth.optimized.upsampling import TapSum, tap_weights
from occdepth_ros.models.occdepth.optimized.winograd import WinogradConv

SLOPE = 0.01
"""Negative slope of the decoder's LeakyReLU."""

WIDE = 128
"""Number of channels from which Winograd's transforms save time."""

FINE = 2
"""The coarsest scale that may have its own number format: only the lifting reads this scale and finer ones."""

ROWS = 8192
"""Pixels per chunk, whose neighbourhoods fit a core's cache."""


@dataclass(frozen=True)
class SparsePixels:
    """The P pixels of the finest map that voxels read, in all V views; rows are numbered across the views.

    Args:
        around: sorted flat indices of the A required pixels by view: the pixels that voxels read and their neighbours.
        neighbours: rows of `around` in the 3x3 neighbourhood of every pixel, `[P * 9]`; pixels outside the
            image have the row after the last one.
        patches: index of the first value of each of the three rows of the 3x3 image patch around every pixel of
            `around`, `[A * 3]`, in the padded images, flattened as `[V, H + 2, W + 2, 3]`.
    """

    around: tuple[torch.Tensor, ...]
    neighbours: torch.Tensor
    patches: torch.Tensor

    def to(self, device: torch.device | str) -> SparsePixels:
        """Return the same tables on another device."""
        around = tuple(view.to(device) for view in self.around)
        return SparsePixels(around, self.neighbours.to(device), self.patches.to(device))


def sparse_pixels_of(pixels: list[torch.Tensor], height: int, width: int) -> tuple[SparsePixels, list[torch.Tensor]]:
    """Return the pixels that the finest block computes.

    Args:
        pixels: sorted unique flat indices of the pixels that voxels read, by view.
        height, width: size of the finest map.

    Returns:
        the tables, and by view the row of every pixel of the map among the results, -1 = none.
    """
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    around, neighbours, patches, rows = [], [], [], []
    above = below = 0
    for view, chosen in enumerate(pixels):
        mask = torch.zeros(1, 1, height, width)
        mask.view(-1)[chosen] = 1
        near = F.max_pool2d(mask, 3, 1, 1).view(-1).nonzero()[:, 0]
        # one ring of -1 around the image
        row_of = torch.full((height + 2, width + 2), -1)
        inner = torch.full((height * width,), -1)
        inner[near] = torch.arange(len(near)) + above
        row_of[1:-1, 1:-1] = inner.view(height, width)
        y, x = chosen // width + 1, chosen % width + 1
        neighbours.append(torch.stack([row_of[y + dy, x + dx] for dy, dx in shifts], 1))
        y, x = near // width, near % width
        corner = ((view * (height + 2) + y) * (width + 2) + x) * 3
        patches.append(torch.stack([corner + dy * (width + 2) * 3 for dy in range(3)], 1))
        found = torch.full((height * width,), -1)
        found[chosen] = torch.arange(len(chosen)) + below
        rows.append(found)
        around.append(near)
        above, below = above + len(near), below + len(chosen)
    index = torch.cat(neighbours)
    index = torch.where(index < 0, above, index)
    return SparsePixels(tuple(around), index.flatten(), torch.cat(patches).flatten()), rows


class OptimizedUpBlock(nn.Module):
    """An up-block on whole maps.

    Args:
        block: the reference block.
        below: channels of the coarser map.
        commute: whether the taps of the first convolution are applied before the upsampling, and Winograd's transforms
            are used for the second convolution: fewer multiplications, more memory accesses.
        dtype: number format.
    """

    def __init__(self, block: UpBlock, below: int, *, commute: bool, dtype: torch.dtype) -> None:
        super().__init__()
        net = block._net
        wide = commute and cast(nn.Conv2d, net[3]).in_channels >= WIDE
        self.second: nn.Module
        if wide:
            self.second = WinogradConv(net[3], net[4], "leaky_relu")
        else:
            self.second = FusedConv(net[3], net[4], "leaky_relu", dtype)
        self.taps: torch.Tensor | None
        self.register_buffer("taps", None, persistent=False)
        if not commute:
            self.first = FusedConv(net[0], net[1], "leaky_relu", dtype)
            return
        conv = cast(nn.Conv2d, net[0])
        weight, bias = folded(conv, net[1])
        rest = nn.Conv2d(weight.shape[1] - below, weight.shape[0], 3, padding=1)
        with torch.no_grad():
            rest.weight.copy_(weight[:, below:])
            cast(torch.Tensor, rest.bias).copy_(cast(torch.Tensor, bias))
        self.first = FusedConv(rest, None, "leaky_relu", dtype)
        self.taps = tap_weights(weight[:, :below]).to(dtype)
        self._sums: dict[tuple[int, ...], TapSum] = {}

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Compute the reference block: `[V, C, h, w]` and `[V, S, H, W]` to `[V, C', H, W]`."""
        size = skip.shape[2:]
        if self.taps is None:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            out: torch.Tensor = self.second(self.first(torch.cat([x, skip], 1)))
            return out
        sums = self._sum_of((x.shape[2], x.shape[3]), (size[0], size[1]))
        rows = torch.stack([sums(products_of(view, self.taps)) for view in x])  # [V, H W, C']
        maps = rows.movedim(2, 1).view(len(x), -1, *size)
        summed_up: torch.Tensor = self.second(self.first(skip, maps))
        return summed_up

    def _sum_of(self, low: tuple[int, int], high: tuple[int, int]) -> TapSum:
        key = (*low, *high)
        if key not in self._sums:
            # one image size at a time
            self._sums = {key: TapSum(low, high)}
        return self._sums[key]


def products_of(view: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Return the nine products of every pixel, `[C, h, w]` to `[h w, 9 C']`."""
    return view.permute(1, 2, 0).flatten(0, 1) @ taps


class FinestBlock(nn.Module):
    """The up-block at the image's resolution and its projection, on the pixels that voxels read."""

    def __init__(self, block: UpBlock, below: int, project: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        net = block._net
        weight, bias = folded(net[0], net[1])
        second, second_bias = folded(net[3], net[4])
        assert bias is not None and second_bias is not None

        self.taps: torch.Tensor
        self.patch: torch.Tensor
        self.bias: torch.Tensor
        self.second: torch.Tensor
        self.second_bias: torch.Tensor
        self.project: torch.Tensor
        self.project_bias: torch.Tensor

        def keep(name: str, tensor: torch.Tensor) -> None:
            self.register_buffer(name, tensor.detach().to(dtype).contiguous(), persistent=False)

        keep("taps", tap_weights(weight[:, :below]))
        # a patch is three rows of three pixels of three colours
        keep("patch", weight[:, below:].permute(2, 3, 1, 0).flatten(0, 2))
        keep("bias", bias)
        keep("second", second.permute(2, 3, 1, 0).flatten(0, 2))
        keep("second_bias", second_bias)
        keep("project", project.weight.flatten(1).T)
        keep("project_bias", cast(torch.Tensor, project.bias))
        self._sums: list[TapSum] = []
        self._of: SparsePixels | None = None

    def forward(self, x: torch.Tensor, images: torch.Tensor, sparse_pixels: SparsePixels) -> torch.Tensor:
        """Map `[V, C, h, w]` and the images `[V, 3, H, W]` to rows of the pixels that voxels read, `[P, feature]`."""
        if self._of is not sparse_pixels:
            low, high = (x.shape[2], x.shape[3]), (images.shape[2], images.shape[3])
            self._sums, self._of = [TapSum(low, high, near) for near in sparse_pixels.around], sparse_pixels
        padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous().flatten()
        strips = padded.as_strided((padded.numel() - 8, 9), (1, 1))
        patches = strips.index_select(0, sparse_pixels.patches).view(-1, 27)
        inner = patches.new_zeros(len(patches) + 1, self.bias.numel())
        start = 0
        for view, sums in zip(x, self._sums, strict=True):
            summed = sums(products_of(view, self.taps))
            inner[start : start + len(summed)] = summed
            start += len(summed)
        inner[:-1].addmm_(patches, self.patch).add_(self.bias)
        F.leaky_relu_(inner, SLOPE)
        out = inner.new_empty(len(sparse_pixels.neighbours) // 9, self.project.shape[1])
        for start in range(0, len(out), ROWS):
            rows, chosen = out[start : start + ROWS], sparse_pixels.neighbours[9 * start : 9 * (start + ROWS)]
            near = inner.index_select(0, chosen).view(-1, self.second.shape[0])
            found = F.leaky_relu_(torch.addmm(self.second_bias, near, self.second), SLOPE)
            torch.addmm(self.project_bias, found, self.project, out=rows)
        return out


class OptimizedDecoder(nn.Module):
    """The decoder.

    Args:
        decoder: the reference module, in evaluation mode.
        requested: scales that are lifted.
        dtype: number format of the blocks coarser than scale 2.
        fine: number format of the blocks of scales 2 and 1.
        commute: whether multiplications in float32 are replaced by memory accesses, which is faster on CPUs.
    """

    def __init__(
        self, decoder: Decoder, requested: tuple[int, ...], *, dtype: torch.dtype, fine: torch.dtype, commute: bool
    ) -> None:
        super().__init__()
        self.fine = fine
        self.entry = FusedConv(decoder.conv2, None, "none", dtype)
        self.scales, self.requested = decoder.scales, requested
        self.blocks, self.projections = nn.ModuleDict(), nn.ModuleDict()
        self.finest: FinestBlock | None = None
        below = decoder.conv2.out_channels
        for scale in decoder.scales:
            block = cast(UpBlock, decoder.get_submodule(f"up{scale}"))
            project = cast(nn.Conv2d, decoder.get_submodule(f"resize_output_1_{scale}"))
            kind = fine if scale <= FINE else dtype
            commutes = commute and kind == torch.float32
            self.blocks[str(scale)] = OptimizedUpBlock(block, below, commute=commutes and scale > 1, dtype=kind)
            if scale in requested:
                self.projections[str(scale)] = FusedConv(project, None, "none", kind)
            if scale == 1:
                self.finest = FinestBlock(block, below, project, kind)
            below = cast(nn.Conv2d, block._net[0]).out_channels

    def forward(
        self, maps: Mapping[int, torch.Tensor], sparse_pixels: SparsePixels | None = None
    ) -> tuple[dict[int, torch.Tensor], torch.Tensor | None]:
        """Return feature maps `[V, feature, h, w]` by lifted scale, and the finest as rows `[P, feature]`.

        Args:
            maps: the encoder's maps by scale.
            sparse_pixels: pixels of scale 1 that voxels read; None = the whole map is computed, without rows.
        """
        x = self.entry(maps[32])
        out: dict[int, torch.Tensor] = {}
        for scale in self.scales:
            if scale == 1 and sparse_pixels is not None:
                assert self.finest is not None
                return out, self.finest(x, maps[1], sparse_pixels)
            skip = maps[scale]
            if scale <= FINE:
                x, skip = x.to(self.fine), skip.to(self.fine)
            x = self.blocks[str(scale)](x, skip)
            if scale in self.requested:
                out[scale] = self.projections[str(scale)](x)
        return out, None
