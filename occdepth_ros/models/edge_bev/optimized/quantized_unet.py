"""U-Net of the bird's-eye-view architecture in 8-bit numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.formats import array_of
from occdepth_ros.models.edge_bev.loops.quantized import add_skipped, quantize
from occdepth_ros.models.edge_bev.optimized.fused_networks import LEAST_ROWS
from occdepth_ros.models.layers.basic_block import BasicBlock
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.quantized_conv import LEVELS, Quantized, QuantizedConv, largest_of
from occdepth_ros.models.runtime.parallel import Workers

ROWS = 16
"""Rows of a map that a thread quantizes at a time."""


class QuantizedUNet(nn.Module):
    """The U-Net of bytes; its input enters in the format `dtype`.

    Ranges of activations come from the statistics of the batch norms, so that no data are needed.

    Args:
        network: the reference module, in evaluation mode.
        dtype: number format of the input.
        workers: threads of which two compute a half of the larger maps each.
    """

    def __init__(self, network: BevUNet, dtype: torch.dtype, workers: Workers) -> None:
        super().__init__()
        self.dtype, self.workers = dtype, workers
        conv, norm, _ = cast(Any, network.enter)
        self.enter = FusedConv(conv, norm, "relu", dtype)
        self.entered = largest = largest_of(norm)
        self.blocks, self.down, self.up, self.merge = (nn.ModuleList() for _ in range(4))
        skipped: list[float] = []
        for level, stage in enumerate(cast(Any, network.blocks)):
            if level:
                conv, norm, _ = cast(Any, network.down[level - 1])
                largest = largest_of(norm)
                self.down.append(QuantizedConv(conv, norm, relu=True, largest=largest))
            blocks = []
            for block in stage:
                blocks.append(_QuantizedResidual(block, largest))
                largest = blocks[-1].largest
            self.blocks.append(nn.ModuleList(blocks))
            skipped.append(largest)
        for level, (conv, block) in enumerate(zip(cast(Any, network.up), cast(Any, network.merge), strict=True)):
            self.up.append(QuantizedConv(conv))
            if isinstance(block, BasicBlock):
                self.merge.append(_QuantizedResidual(block, skipped[level]))
            else:
                conv, norm, _ = block
                self.merge.append(QuantizedConv(conv, norm, relu=True, largest=largest_of(norm)))

    def forward(self, x: torch.Tensor) -> Quantized:
        """`[1, channels, X, Y]` to `[1, stages[0], X, Y]`."""
        y = self._quantized(self.enter(x.to(self.dtype)))
        maps = []
        for level, blocks in enumerate(cast(Any, self.blocks)):
            if level:
                y = self.down[level - 1](y)
            for block in blocks:
                y = self._halved(block, y, 2)
            maps.append(y)
        y = maps.pop()
        for level in reversed(range(len(maps))):
            merge = self.merge[level]
            y = self._added(cast(QuantizedConv, self.up[level]).values(y), maps[level])
            y = self._halved(merge, y, 2 if isinstance(merge, _QuantizedResidual) else 1)
        return y

    def _quantized(self, values: torch.Tensor) -> Quantized:
        out = torch.empty(values.shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        rows = array_of(values.movedim(1, 3)[0]), out.movedim(1, 3)[0].numpy()
        factor = np.float32(LEVELS / self.entered)
        self.workers.each(lambda part: quantize(part.start, part.stop, rows[0], factor, rows[1]), out.shape[2], ROWS)
        return Quantized(out, self.entered / LEVELS)

    def _added(self, below: torch.Tensor, skipped: Quantized) -> Quantized:
        """The map of the stage below in twice its resolution, plus that of the descending path."""
        least, most = (float(value) for value in below.aminmax())
        least = min(least, 0.0)
        scale = (max(most, 0.0) + skipped.scale * int(skipped.stored.max()) - least) / LEVELS
        zero = round(-least / scale)
        out = torch.empty_like(skipped.stored)
        arrays = [array_of(t.movedim(1, 3)[0]) for t in (below, skipped.stored, out)]
        ratio, factor = np.float32(skipped.scale / scale), np.float32(1 / scale)

        def part(rows: slice) -> None:
            add_skipped(rows.start, rows.stop, arrays[0], arrays[1], factor, ratio, np.float32(zero), arrays[2])

        self.workers.each(part, out.shape[2], ROWS)
        return Quantized(out, scale, zero)

    def _halved(self, layer: Callable[[Quantized], Quantized], x: Quantized, halo: int) -> Quantized:
        """Apply a layer that keeps the size, and may overwrite its input, to both halves at once.

        Args:
            layer: the layer.
            x: `[1, C, X, Y]`.
            halo: rows that it sees beyond each one.
        """
        half = x.stored.shape[2] // 2
        if self.workers.count < 2 or half < LEAST_ROWS:
            return layer(x)
        parts = [x.stored[:, :, : half + halo], x.stored[:, :, half - halo :]]
        runs = [
            self.workers.submit(layer, Quantized(p.clone(memory_format=torch.channels_last), x.scale, x.zero))
            for p in parts
        ]
        upper, lower = (run.result() for run in runs)
        out = torch.cat([upper.stored[:, :, :half], lower.stored[:, :, halo:]], 2)
        return Quantized(out, upper.scale, upper.zero)


class _QuantizedResidual(nn.Module):
    """A residual block of bytes; `before` is the largest value of its input."""

    def __init__(self, block: BasicBlock, before: float) -> None:
        super().__init__()
        self.first = QuantizedConv(block.conv1, block.bn1, relu=True, largest=largest_of(block.bn1))
        self.largest = largest_of(block.bn2, before)
        self.second = QuantizedConv(block.conv2, block.bn2, relu=True, largest=self.largest)

    def forward(self, x: Quantized) -> Quantized:
        out: Quantized = self.second(self.first(x), x)
        return out
