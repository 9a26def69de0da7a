"""Layers of the transformers, computed in chunks of queries to bound memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from occdepth_ros.models.monoocc.attention import CrossAttention, SelfAttention
from occdepth_ros.models.monoocc.config import MonoOccConfig
from occdepth_ros.models.monoocc.reference_points import CameraView
from occdepth_ros.models.monoocc.sampling import padded_map

LEVELS = 4
"""Number of feature levels with an embedding in published weights; the first is used."""
CHUNK = {"cpu": 4096, "cuda": 65536}
"""Queries per chunk: they fit into the second-level cache of a CPU, or occupy a GPU fully."""
LEARNING_CHUNK = 65536
"""Queries per chunk in training, in which each chunk has gradients with the size of a whole table."""


class FeedForward(nn.Module):
    """Two linear layers and a shortcut."""

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        first = nn.Sequential(
            nn.Linear(config.channels, config.hidden), nn.ReLU(inplace=True), nn.Dropout(config.dropout)
        )
        self.layers = nn.Sequential(first, nn.Linear(config.hidden, config.channels), nn.Dropout(config.dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[N, C]` to the same shape."""
        out: torch.Tensor = x + self.layers(x)
        return out


class Layer(nn.Module):
    """Attention, norm, feed-forward, norm.

    Args:
        attention: the attention.
        config: channels.
    """

    def __init__(self, attention: nn.Module, config: MonoOccConfig) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention])
        self.ffns = nn.ModuleList([FeedForward(config)])
        self.norms = nn.ModuleList(nn.LayerNorm(config.channels) for _ in range(2))

    def rest(self, attended: torch.Tensor) -> torch.Tensor:
        """Apply the norms and the feed-forward block after the attention: `[N, C]` to the same shape."""
        out: torch.Tensor = self.norms[1](self.ffns[0](self.norms[0](attended)))
        return out


class Encoder(nn.Module):
    """Layers in sequence, with the parameter names of checkpoints."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class CrossTransformer(nn.Module):
    """Deformable cross-attention from voxels to the images.

    Args:
        config: channels and cameras.
        layers: number of layers.
    """

    def __init__(self, config: MonoOccConfig, layers: int) -> None:
        super().__init__()
        self.level_embeds = nn.Parameter(torch.zeros(LEVELS, config.channels))
        self.cams_embeds = nn.Parameter(torch.randn(config.cameras, config.channels))
        self.encoder = Encoder([Layer(CrossAttention(config), config) for _ in range(layers)])

    def forward(
        self, queries: torch.Tensor, features: torch.Tensor, views: Sequence[CameraView], chunk: int
    ) -> torch.Tensor:
        """Apply attention from queries to the images.

        Args:
            queries: `[N, C]`.
            features: `[V, C, h, w]`.
            views: queries visible in each image, and their reference points.
            chunk: number of queries per chunk.

        Returns:
            `[N, C]`.
        """
        tokens = features.movedim(1, -1) + self.cams_embeds[: len(features), None, None] + self.level_embeds[0]
        seen = list(zip(*(view.chunks(chunk) for view in views), strict=True))
        for layer in self.encoder.layers:
            assert isinstance(layer, Layer)
            queries = self._layer(layer, queries, tokens, seen, chunk)
        return queries

    @staticmethod
    def _layer(
        layer: Layer,
        queries: torch.Tensor,
        tokens: torch.Tensor,
        seen: Sequence[Sequence[tuple[torch.Tensor, torch.Tensor]]],
        chunk: int,
    ) -> torch.Tensor:
        attention = layer.attentions[0]
        assert isinstance(attention, CrossAttention)
        tables = [attention.deformable_attention.table(view) for view in tokens]

        def part(index: int) -> torch.Tensor:
            rows = queries[index * chunk : (index + 1) * chunk]
            return layer.rest(attention(rows, tables, seen[index]))

        return joined(part, len(seen), queries)


class SelfTransformer(nn.Module):
    """Deformable self-attention among all working voxels."""

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.columns = config.columns
        self.encoder = Encoder([Layer(SelfAttention(config), config) for _ in range(config.self_layers)])

    def forward(
        self,
        volume: torch.Tensor,
        rows: torch.Tensor,
        columns: torch.Tensor,
        chunk: int,
        distinct: torch.Tensor | None = None,
        requested: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply attention among the voxels.

        Args:
            volume: `[N, C]`.
            rows, columns: position codes, `[r, C/2]` and `[c, C/2]`.
            chunk: approximate number of voxels per chunk.
            distinct: flat indices of the voxels that differ from the others, ascending, if all others are equal: the
                first layer then computes the others once.
            requested: flat indices of the requested voxels, `[W]`, ascending: the last layer attends from these only;
                None = all.

        Returns:
            `[N, C]`, or `[W, C]`.
        """
        *before, last = self.encoder.layers
        for layer in before:
            assert isinstance(layer, Layer)
            volume = self._layer(layer, volume, rows, columns, chunk, distinct)
            distinct = None
        assert isinstance(last, Layer)
        if requested is not None:
            return self._part_of_layer(last, volume, rows, columns, chunk, requested)
        return self._layer(last, volume, rows, columns, chunk, distinct)

    def _part_of_layer(
        self,
        layer: Layer,
        volume: torch.Tensor,
        rows: torch.Tensor,
        columns: torch.Tensor,
        chunk: int,
        requested: torch.Tensor,
    ) -> torch.Tensor:
        attention = layer.attentions[0]
        assert isinstance(attention, SelfAttention)
        table = attention.table(volume.view(len(rows), self.columns, -1))
        by_row, by_column = attention.by_position(rows, columns)

        def part(index: int) -> torch.Tensor:
            cells = requested[index * chunk : (index + 1) * chunk]
            features = volume[cells]
            by_place = by_row[cells // self.columns] + by_column[cells % self.columns]
            projected = attention.by_features(features) + by_place
            return layer.rest(attention.attend(features, projected, table, cells, self.columns))

        return joined(part, -(-len(requested) // chunk), volume[: len(requested)])

    def _layer(
        self,
        layer: Layer,
        volume: torch.Tensor,
        rows: torch.Tensor,
        columns: torch.Tensor,
        chunk: int,
        distinct: torch.Tensor | None,
    ) -> torch.Tensor:
        attention = layer.attentions[0]
        assert isinstance(attention, SelfAttention)
        step = max(1, chunk // self.columns)
        common = None if distinct is None else first_other(distinct, len(volume))
        if distinct is None or common is None:
            table = attention.table(volume.view(len(rows), self.columns, -1))
        else:
            values = spread(attention.value_proj, volume, distinct, common)
            table = padded_map(values.view(len(rows), self.columns, attention.heads, -1))
        by_row, by_column = attention.by_position(rows, columns)
        bounds: list[int] = []
        if distinct is not None:
            starts = torch.arange(0, len(volume), step * self.columns, device=volume.device)
            bounds = [*torch.searchsorted(distinct, starts).tolist(), len(distinct)]

        def part(index: int) -> torch.Tensor:
            first = index * step
            start, stop = first * self.columns, min((first + step) * self.columns, len(volume))
            features = volume[start:stop]
            by_place = (by_row[first : first + step, None] + by_column).flatten(0, 1)
            if distinct is None or common is None:
                projected = attention.by_features(features) + by_place
            else:
                mine = distinct[bounds[index] : bounds[index + 1]]
                extra = attention.by_features(torch.cat([volume[common : common + 1], volume[mine]]))
                projected = (by_place + extra[0]).index_add(0, mine - start, (extra[1:] - extra[0]).to(by_place.dtype))
            cells = torch.arange(start, stop, device=volume.device)
            return layer.rest(attention.attend(features, projected, table, cells, self.columns))

        return joined(part, -(-len(rows) // step), volume)


def first_other(distinct: torch.Tensor, count: int) -> int | None:
    """Return the smallest number below `count` that is not among the ascending ones, None if all are."""
    gaps = (distinct != torch.arange(len(distinct), device=distinct.device)).nonzero()
    first = int(gaps[0]) if len(gaps) else len(distinct)
    return first if first < count else None


def spread(
    linear: Callable[[torch.Tensor], torch.Tensor], volume: torch.Tensor, distinct: torch.Tensor, common: int
) -> torch.Tensor:
    """Apply a layer to rows `[N, C]` that equal row `common` except for the distinct ones."""
    few = linear(torch.cat([volume[common : common + 1], volume[distinct]]))
    return few[:1].expand(len(volume), -1).index_copy(0, distinct, few[1:])


def joined(part: Callable[[int], torch.Tensor], count: int, like: torch.Tensor) -> torch.Tensor:
    """Concatenate parts 0 to count - 1, `[N, C]`; with gradients, parts are recomputed in the backward pass."""
    if torch.is_grad_enabled():
        if count == 1:
            return part(0)
        return torch.cat([checkpoint(part, index, use_reentrant=False) for index in range(count)])
    out = torch.empty(like.shape, device=like.device)
    done = 0
    for index in range(count):
        rows = part(index)
        out[done : done + len(rows)] = rows
        done += len(rows)
    return out
