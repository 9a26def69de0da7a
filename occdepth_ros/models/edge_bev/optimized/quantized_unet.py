"""U-Net of the bird's-eye-view architecture in 8-bit numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from occdepth_ros.models.edge_bev.completion import BevUNet
from occdepth_ros.models.edge_bev.formats import array_of
from occdepth_ros.models.edge_bev.loops.quantized import add_skipped, quantize
from occdepth_ros.models.edge_bev.optimized.fused_networks import MIN_ROWS
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
        self.channels = conv.out_channels
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
        y = self._entered(x.to(self.dtype))
        maps = []
        for level, blocks in enumerate(cast(Any, self.blocks)):
            # all layers of a stage at once: each change of threads takes longer than the rows that both compute
            halo = 2 * len(blocks)
            if level:
                y = self._halved([self.down[level - 1], *blocks], y, 2 * (halo + 1), stride=2)
            else:
                y = self._halved(blocks, y, halo)
            maps.append(y)
        y = maps.pop()
        for level in reversed(range(len(maps))):
            merge = self.merge[level]
            y = self._added(cast(QuantizedConv, self.up[level]), y, maps[level])
            y = self._halved([merge], y, 2 if isinstance(merge, _QuantizedResidual) else 1)
        return y

    def _entered(self, x: torch.Tensor) -> Quantized:
        """The map after `enter`."""
        out = _empty(self.channels, x.shape[2:])
        rows_out = _rows(out)
        factor = np.float32(LEVELS / self.entered)

        def part(rows: slice) -> None:
            values = _rows(self.enter(x[:, :, rows]))
            quantize(0, len(values), values, factor, rows_out[rows])

        self.workers.each(part, out.shape[2], ROWS)
        return Quantized(out, self.entered / LEVELS)

    def _added(self, up: QuantizedConv, y: Quantized, skipped: Quantized) -> Quantized:
        """The map of the stage below, after `up` and in twice its resolution, plus that of the descending path."""
        halves = self._halves(y.stored.shape[2])
        double = [slice(2 * rows.start, 2 * rows.stop) for rows in halves]

        def measured(below: slice, rows: slice) -> tuple[torch.Tensor, float, float, int]:
            values = up.values(Quantized(y.stored[:, :, below], y.scale, y.zero))
            # numpy's reductions take a tenth of the time of torch's
            array = _rows(values)
            return values, float(array.min()), float(array.max()), int(_rows(skipped.stored[:, :, rows]).max())

        measuring = [self.workers.submit(measured, *rows) for rows in zip(halves, double, strict=True)]
        found = [run.result() for run in measuring]
        least = min(0.0, *(part[1] for part in found))
        most = max(0.0, *(part[2] for part in found))
        scale = (most + skipped.scale * max(part[3] for part in found) - least) / LEVELS
        zero = round(-least / scale)
        out = torch.empty_like(skipped.stored)
        numbers = np.float32(1 / scale), np.float32(skipped.scale / scale), np.float32(zero)
        arrays = [
            (_rows(part[0]), _rows(skipped.stored[:, :, rows]), _rows(out[:, :, rows]))
            for part, rows in zip(found, double, strict=True)
        ]
        runs = [self.workers.submit(add_skipped, 0, len(to), below, at, *numbers, to) for below, at, to in arrays]
        for run in runs:
            run.result()
        return Quantized(out, scale, zero)

    def _halved(self, layers: Iterable[Any], x: Quantized, halo: int, stride: int = 1) -> Quantized:
        """Apply consecutive layers, which may overwrite their input, to both halves at once.

        Args:
            layers: the layers; only the first one may have a stride.
            x: `[1, C, X, Y]`.
            halo: rows that they see beyond each one, a multiple of the stride.
            stride: stride of the first one.
        """
        height, width = x.stored.shape[2:]
        halves = self._halves(height)
        if len(halves) == 1:
            return _applied(layers, x)
        *_, last = layers
        out = _empty(last.channels, (height // stride, width // stride))

        def half(rows: slice) -> Quantized:
            first = max(rows.start - halo, 0)
            part = x.stored[:, :, first : rows.stop + halo].clone(memory_format=torch.channels_last)
            y = _applied(layers, Quantized(part, x.scale, x.zero))
            start, stop, beyond = rows.start // stride, rows.stop // stride, first // stride
            out[:, :, start:stop] = y.stored[:, :, start - beyond : stop - beyond]
            return y

        runs = [self.workers.submit(half, rows) for rows in halves]
        upper, _ = (run.result() for run in runs)
        return Quantized(out, upper.scale, upper.zero)

    def _halves(self, height: int) -> list[slice]:
        """Return the rows that threads compute in parallel: both halves of a map, or all of a small one."""
        half = height // 2
        whole = self.workers.count < 2 or half < MIN_ROWS or half % 2
        return [slice(0, height)] if whole else [slice(0, half), slice(half, height)]


class _QuantizedResidual(nn.Module):
    """A residual block of bytes; `before` is the largest value of its input."""

    def __init__(self, block: BasicBlock, before: float) -> None:
        super().__init__()
        self.first = QuantizedConv(block.conv1, block.bn1, relu=True, largest=largest_of(block.bn1))
        self.largest = largest_of(block.bn2, before)
        self.second = QuantizedConv(block.conv2, block.bn2, relu=True, largest=self.largest)
        self.channels = self.second.channels

    def forward(self, x: Quantized) -> Quantized:
        out: Quantized = self.second(self.first(x), x)
        return out


def _applied(layers: Iterable[Any], x: Quantized) -> Quantized:
    for layer in layers:
        x = layer(x)
    return x


def _empty(channels: int, size: Sequence[int]) -> torch.Tensor:
    """Return a map of bytes with channels innermost in memory, `[1, C, X, Y]`."""
    return torch.empty(1, *size, channels, dtype=torch.uint8).movedim(3, 1)


def _rows(values: torch.Tensor) -> Any:
    """View a map `[1, C, X, Y]` as an array `[X, Y, C]`."""
    return array_of(values.movedim(1, 3)[0])
