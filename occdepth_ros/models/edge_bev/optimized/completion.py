"""Computation of logits from image maps and evidence on a CPU, in compiled loops and small products that fit the
cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from occdepth_ros.models.edge_bev.config import FINE, KINDS, N_GROUND
from occdepth_ros.models.edge_bev.evidence import CHANNELS
from occdepth_ros.models.edge_bev.formats import array_of
from occdepth_ros.models.edge_bev.ground_profile import COLUMNS, LOWEST, SPACING
from occdepth_ros.models.edge_bev.loops import ground, lifting, sparse_blocks
from occdepth_ros.models.edge_bev.loops.evidence import mark_close
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.optimized.fused_networks import OptimizedUNet
from occdepth_ros.models.edge_bev.optimized.quantized_unet import QuantizedUNet
from occdepth_ros.models.edge_bev.optimized.surface_block import NEAR_ROWS, OptimizedSurfaceBlock
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs
from occdepth_ros.models.edge_bev.surface import NEIGHBOURS, RESIDUAL, SATURATED
from occdepth_ros.models.layers.fused_conv import FusedConv
from occdepth_ros.models.layers.fused_linear import FusedLinear
from occdepth_ros.models.layers.quantized_conv import QuantizedConv
from occdepth_ros.models.runtime.parallel import Workers

ROWS = 4096
"""Lifted voxels per chunk, whose hidden layer fits the cache."""
COLUMNS_AT_A_TIME = 256
"""Lifted columns per chunk."""
MULTIPLE = 32
"""Divisor of input widths, to which they are padded."""


@dataclass(frozen=True)
class ImageMaps:
    """Inputs of lifting from the image, by cell.

    Args:
        mapped: class probabilities and features, `[h w, M]`.
        ground: appearance of the ground, `[h w, G]`.
        kinds: logits of the kinds, `[h w, KINDS]`.
        layout: logits of the ground classes, `[h w, N_GROUND]`.
    """

    mapped: torch.Tensor
    ground: torch.Tensor
    kinds: torch.Tensor
    layout: torch.Tensor


class OptimizedCompletion(nn.Module):
    """`EdgeBev.complete` on a CPU: the same computation up to rounding.

    Layers with the same input are merged into one product, and consecutive layers without an activation in between are
    merged: the increments of the first sparse block enter the subsequent layers as a separate product.

    Args:
        network: the reference module, in evaluation mode.
        dtype: one of `formats.FORMATS`.
        workers: threads that compute parts of a scene.
        quantized: whether the bird's-eye view is computed in 8-bit numbers.
    """

    def __init__(self, network: EdgeBev, dtype: torch.dtype, workers: Workers, *, quantized: bool = False) -> None:
        super().__init__()
        self.config, self.dtype, self.workers = network.config, dtype, workers
        self.of_cell = _linear((network.ground_appearance,), dtype)
        self.of_names = _linear((network.pixel_kinds, network.pixel_ground), dtype)
        read = CHANNELS + network.appearance.in_features
        hidden = torch.cat([network.evidence.weight, network.appearance.weight], 1)
        self.hidden = FusedLinear(_filled(hidden), network.evidence.bias, "relu", dtype)
        assert read == hidden.shape[1]
        self.read = _linear((network.column, network.voxel, network.surface_in, network.refine_in), dtype)
        after = torch.cat([layer.weight for layer in (network.column, network.voxel, network.refine_in)])
        beside = network.surface_out
        self.beside = FusedLinear(after @ beside.weight, after @ beside.bias, dtype=dtype)
        self.surface = OptimizedSurfaceBlock(network.surface, dtype, workers)
        self.refine = OptimizedSurfaceBlock(network.refine, dtype, workers)
        self.refined = _linear((network.refined,), dtype)
        self.memory = FusedLinear(network.memory.weight, network.memory.bias, "relu", dtype)
        self.memory_column = _linear((network.memory_column,), dtype)
        self.memory_voxel = _linear((network.memory_voxel,), dtype)
        self.memory_layout = _linear((network.memory_layout,), dtype)
        heads = (network.occupancy, network.kinds, network.layout, network.context, network.ground_profile.profile)
        self.unet: nn.Module
        if quantized:
            self.unet = QuantizedUNet(network.unet, dtype, workers)
            self.heads = nn.ModuleList(QuantizedConv(head, dtype=dtype) for head in heads)
        else:
            self.unet = OptimizedUNet(network.unet, dtype, workers)
            self.heads = nn.ModuleList(FusedConv(head, None, "none", dtype) for head in heads)
        self.state_columns = network.state_columns.detach().float().numpy()
        self.state_occupancy = network.state_occupancy.detach().float().numpy()

    def maps(self, logits: torch.Tensor, features: torch.Tensor) -> ImageMaps:
        """Return the inputs of lifting from one image; logits `[N_CLASSES, h, w]`, features `[n_features, h, w]`."""
        log = logits.movedim(0, -1).flatten(0, 1).float().log_softmax(1)
        mapped = torch.cat([log.exp().to(self.dtype), features.movedim(0, -1).flatten(0, 1).to(self.dtype)], 1)
        kinds, layout = self.of_names(log.to(self.dtype)).split([KINDS, N_GROUND], 1)
        return ImageMaps(mapped, self.of_cell(mapped), kinds, layout)

    def forward(self, maps: ImageMaps, scene: SceneInputs) -> BevOutput:
        """Return the logits of one scene."""
        size = (*scene.columns.shape[:2], self.config.layers)
        memory = scene.memory
        features = memory.features.to(self.dtype)
        hidden = self.memory(features)
        remembered = self.memory_voxel(torch.cat([hidden, features], 1))
        remembered_columns = memory.columns.view(-1, memory.columns.shape[2])
        lifted, near = self._lifted(maps, scene)
        voxel = scene.rows.index_select(0, near)
        neighbours = self._neighbours(voxel, size)
        surface = lifted.new_empty(len(near), self.config.surface)
        self._each_near(sparse_blocks.write_surface, near, lifted, self.config.column + FINE + KINDS + 1, surface)
        surface = self.surface(surface, neighbours)
        beside = self.beside(surface)
        columns = self._columns(size, scene, maps, lifted, near, beside, self.memory_column(hidden), remembered_columns)
        occupancy, kinds, layout, context, profile = self._heads(columns.view(1, *size[:2], -1).movedim(3, 1))
        refinement = torch.empty_like(surface)
        context = context.view(-1, self.config.surface)
        offset = self.config.column + FINE + KINDS + 1
        self._each_near(sparse_blocks.write_refinement, near, voxel, lifted, beside, offset, context, refinement)
        refined = self.refined(self.refine(refinement, neighbours))
        out = torch.empty(len(scene.state), FINE)
        direct = lifted.new_empty(len(scene.rows), KINDS + 1)
        nodes = self.config.layers, size[1], np.float32(LOWEST), np.float32(SPACING)
        ground_logits = torch.empty(len(columns), COLUMNS, N_GROUND)
        shares = self.memory_layout(remembered_columns.to(self.dtype))
        logits = (
            lifting.write_logits,
            self.config.layers,
            self.config.column,
            occupancy.view(-1, FINE),
            scene.state,
            self.state_occupancy,
            scene.rows,
            scene.evidence,
            2 * FINE,
            lifted,
            near,
            beside,
            refined,
            memory.rows,
            remembered,
            out,
            direct,
        )
        # together, so that the logits of a chunk are still in the cache when the profile is added
        self._each_column(
            len(columns),
            logits,
            (ground.add_profile, *nodes, profile, scene.ground_height, out),
            (lifting.write_layout, size[1], layout, scene.ground_cell, maps.layout, shares, ground_logits),
        )
        kinds = kinds.view(-1, KINDS)
        return BevOutput(
            out, kinds, direct, maps.kinds, scene.cell, scene.rows, remembered[:, FINE:], memory.rows, ground_logits
        )

    def _lifted(self, maps: ImageMaps, scene: SceneInputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the channels of the rows (bird's-eye view, logits, inputs of the two sparse blocks), `[R, C]`, and the
        rows close to a surface, see `close_to_surface`."""
        count = len(scene.rows)
        out = torch.empty(count, self.read.bias.shape[0], dtype=self.dtype)
        close = np.empty(count, bool)
        evidence, mapped, cell = (array_of(values) for values in (scene.evidence, maps.mapped, scene.cell))

        def part(rows: slice) -> None:
            inputs = torch.empty(rows.stop - rows.start, self.hidden.weight.shape[1], dtype=self.dtype)
            lifting.write_inputs(rows.start, rows.stop, evidence, mapped, cell, array_of(inputs))
            mark_close(evidence[rows], np.float32(SATURATED), np.float32(RESIDUAL), close[rows])
            out[rows] = self.read(self.hidden(inputs))

        self.workers.each(part, count, ROWS)
        return out, torch.from_numpy(np.flatnonzero(close))

    def _neighbours(self, voxel: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
        """See `neighbours_of`."""
        out = np.empty((len(voxel), NEIGHBOURS), np.int32)
        place = np.empty(int(np.prod([n + 2 for n in size])), np.int32)
        sparse_blocks.write_places(voxel.numpy(), size, place)
        self._each(NEAR_ROWS, len(out), (sparse_blocks.link, voxel, place, size, out))
        return torch.from_numpy(out)

    def _columns(
        self,
        size: tuple[int, int, int],
        scene: SceneInputs,
        maps: ImageMaps,
        lifted: torch.Tensor,
        near: torch.Tensor,
        beside: torch.Tensor,
        remembered: torch.Tensor,
        remembered_columns: torch.Tensor,
    ) -> torch.Tensor:
        """Return the inputs of the bird's-eye view, `[X/2 Y/2, C]`."""
        channels = self.config.layers * self.config.column + COLUMNS * (maps.ground.shape[1] + 2)
        channels += scene.columns.shape[2] + remembered_columns.shape[1]
        out = lifted.new_empty(size[0] * size[1], channels)
        write = (
            lifting.write_columns,
            size,
            scene.state,
            self.state_columns,
            scene.rows,
            lifted,
            near,
            beside,
            scene.memory.rows,
            remembered,
            scene.ground_cell,
            scene.ground_seen,
            maps.ground,
            scene.columns.view(len(out), -1),
            remembered_columns,
            out,
        )
        self._each_column(len(out), write)
        return out

    def _heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the outputs of the bird's-eye view, `[X/2 Y/2, C]` each."""
        x = self.unet(x)
        heads: list[Any] = [head.values if isinstance(head, QuantizedConv) else head for head in self.heads]
        runs = [self.workers.submit(head, x) for head in heads]
        return [run.result()[0].movedim(0, -1).flatten(0, 1) for run in runs]

    def _each_near(self, loop: Any, near: torch.Tensor, *arguments: Any) -> None:
        self._each(NEAR_ROWS, len(near), (loop, near, *arguments))

    def _each_column(self, count: int, *calls: tuple[Any, ...]) -> None:
        self._each(COLUMNS_AT_A_TIME, count, *calls)

    def _each(self, size: int, count: int, *calls: tuple[Any, ...]) -> None:
        """Call compiled loops, each followed by its arguments, with consecutive ranges of `count`, one loop after the
        other in each range."""
        loops = [
            (loop, [array_of(value) if isinstance(value, torch.Tensor) else value for value in arguments])
            for loop, *arguments in calls
        ]

        def part(range_: slice) -> None:
            for loop, arguments in loops:
                loop(range_.start, range_.stop, *arguments)

        self.workers.each(part, count, size)


def _filled(weight: torch.Tensor) -> torch.Tensor:
    """Pad a weight with columns of zeros to a multiple of `MULTIPLE`."""
    return nn.functional.pad(weight, (0, -weight.shape[1] % MULTIPLE))


def _linear(layers: tuple[nn.Linear, ...], dtype: torch.dtype) -> FusedLinear:
    """Return one layer that replaces several with the same input."""
    weight = torch.cat([layer.weight.detach() for layer in layers])
    biases: list[torch.Tensor] = [
        layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers
    ]
    return FusedLinear(weight, torch.cat(biases), dtype=dtype)
