"""Deformable attention from voxels to images and among voxels (MonoOcc, section 3; after Zhu et al., ICLR 2021).

The parameter names are those of published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from occdepth_ros.models.monoocc.config import MonoOccConfig
from occdepth_ros.models.monoocc.sampling import padded_map, sample_and_sum

QUEUE = 2
"""Number of copies of the volume that attention among voxels samples: published weights contain points for both."""


class PointAttention(nn.Module):
    """Base of both kinds of attention: sampling offsets, attention weights and values.

    Args:
        queries: number of channels of a query.
        config: channels, heads and points.
        copies: number of point sets.
    """

    def __init__(self, queries: int, config: MonoOccConfig, copies: int = 1) -> None:
        super().__init__()
        self.heads, self.points, self.copies = config.heads, config.points, copies
        count = config.heads * copies * config.points
        self.sampling_offsets = nn.Linear(queries, 2 * count)
        self.attention_weights = nn.Linear(queries, count)
        self.value_proj = nn.Linear(config.channels, config.channels)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(self.first_offsets(config).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        xavier_(self.value_proj)

    def first_offsets(self, config: MonoOccConfig) -> torch.Tensor:
        """Return the initial offsets, `[heads, copies, points, 2]`."""
        return ring_of_points(self.heads, self.copies, self.points)

    def table(self, features: torch.Tensor) -> torch.Tensor:
        """Return the values of a map of features, `[h, w, C]`, as `sample_and_sum` takes them."""
        values: torch.Tensor = self.value_proj(features)
        return padded_map(values.view(*values.shape[:-1], self.heads, -1))

    def split(self, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the offsets `[N, heads, copies * points, 2]`, pixels, and weights `[N, heads, copies * points]`.

        Args:
            projected: outputs of `sampling_offsets` and `attention_weights` side by side, `[N, 3 * heads * ...]`.
        """
        count = self.heads * self.copies * self.points
        offsets = projected[:, : 2 * count].float().reshape(len(projected), self.heads, -1, 2)
        scores = projected[:, 2 * count :].float().reshape(-1, self.heads, self.copies, self.points)
        # points of all copies together: the mean over the copies is a factor of the weights
        return offsets, (scores.softmax(-1) / self.copies).flatten(2)

    def joint(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight `[O, C]` and bias `[O]` of both projections of the query, concatenated."""
        a, b = self.sampling_offsets, self.attention_weights
        return torch.cat([a.weight, b.weight]), torch.cat([a.bias, b.bias])


class CrossAttention(nn.Module):
    """Attention from queries to the images in which they are visible, averaged over these images.

    For queries that are not visible in any image, the result is the bias of the output projection.
    """

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.deformable_attention = PointAttention(config.channels, config)
        self.output_proj = nn.Linear(config.channels, config.channels)
        self.dropout = nn.Dropout(config.dropout)
        xavier_(self.output_proj)

    def forward(
        self,
        queries: torch.Tensor,
        tables: Sequence[torch.Tensor],
        seen: Sequence[tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        """Attend, and add the queries.

        Args:
            queries: `[N, C]`.
            tables: table of every image, from `PointAttention.table`.
            seen: rows of the visible queries, `[M]`, and their reference points as fractions of the image, `[M, 2]`,
                for every image.

        Returns:
            `[N, C]`.
        """
        attention = self.deformable_attention
        weight, bias = attention.joint()
        total = torch.zeros(queries.shape, device=queries.device)
        counts = torch.zeros(len(queries), 1, device=queries.device)
        for table, (rows, points) in zip(tables, seen, strict=True):
            if len(rows) == 0:
                continue
            offsets, shares = attention.split(F.linear(queries[rows], weight, bias))
            size = points.new_tensor([table.shape[1] - 3, table.shape[0] - 3])
            found = sample_and_sum(table, offsets + (points * size - 0.5)[:, None, None], shares)
            total = total.index_add(0, rows, found)
            if len(tables) > 1:
                counts.index_add_(0, rows, counts.new_ones(len(rows), 1))
        if len(tables) > 1:
            total = total / counts.clamp_min(1)
        out: torch.Tensor = self.dropout(self.output_proj(total)) + queries
        return out


class SelfAttention(PointAttention):
    """Attention among voxels, arranged as a map row by row in flat order.

    Published networks concatenate the features of a voxel with the sum of features and position code; here the
    projection of the query is split into a part from the features and a part from the codes, which is the sum of a row
    table and a column table.
    """

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__(2 * config.channels, config, QUEUE)
        self.output_proj = nn.Linear(config.channels, config.channels)
        self.dropout = nn.Dropout(config.dropout)
        xavier_(self.output_proj)

    def first_offsets(self, config: MonoOccConfig) -> torch.Tensor:
        """See `PointAttention`."""
        if config.spatial:
            return nearest_neighbours(self.heads, self.copies, self.points, config.working_size[2])
        return super().first_offsets(config)

    def by_position(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the contribution of the position codes to the projected query.

        Args:
            rows, columns: codes of the map's rows and columns, `[r, C/2]` and `[c, C/2]`; the code of a voxel is the
                code of its column followed by that of its row.

        Returns:
            tables `[r, K]` and `[c, K]`, whose sum is the contribution.
        """
        weight, bias = self.joint()
        half = columns.shape[1]
        channels = 2 * half
        by_column = F.linear(columns, weight[:, channels : channels + half])
        return F.linear(rows, weight[:, channels + half :]) + bias, by_column

    def by_features(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the contribution of the features to the projected query: `[N, C]` to `[N, K]`."""
        weight, _ = self.joint()
        channels = features.shape[1]
        return F.linear(features, weight[:, :channels] + weight[:, channels:])

    def attend(
        self, features: torch.Tensor, projected: torch.Tensor, table: torch.Tensor, cells: torch.Tensor, columns: int
    ) -> torch.Tensor:
        """Attend from given cells of the map, and add their features.

        Args:
            features: features of the voxels of the cells, `[N, C]`.
            projected: their projected queries, `[N, K]`.
            table: values of the whole map, from `table`.
            cells: their flat indices, `[N]`.
            columns: number of voxels in a row of the map.

        Returns:
            `[N, C]`.
        """
        offsets, shares = self.split(projected)
        centers = torch.stack([cells % columns, cells // columns], -1).float()
        found = sample_and_sum(table, offsets + centers[:, None, None], shares)
        out: torch.Tensor = self.dropout(self.output_proj(found)) + features
        return out


def ring_of_points(heads: int, copies: int, points: int) -> torch.Tensor:
    """Return the first offsets: one direction per head, the n-th point n cells away, `[heads, copies, points, 2]`."""
    angles = torch.arange(heads) * (2 * math.pi / heads)
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    steps = torch.arange(1, points + 1).float()
    return directions[:, None, None] * steps[:, None].expand(heads, copies, points, 1)


def nearest_neighbours(heads: int, copies: int, points: int, height: int) -> torch.Tensor:
    """Return the first offsets on a map whose rows are y-z planes, `[heads, copies, points, 2]`.

    Each head has one direction: along z, y, x or a horizontal diagonal. Its points alternate between both sides at
    increasing distance, over all copies.

    Args:
        heads, copies, points: number of heads, copies and points.
        height: voxels along z.
    """
    directions = torch.tensor([[1.0, 0], [height, 0], [0, 1], [height, 1]])[torch.arange(heads) % 4]
    turn = torch.arange(copies * points)
    steps = (1 + turn // 2) * (1 - 2 * (turn % 2))
    return directions[:, None, None] * steps.view(copies, points, 1)


def xavier_(layer: nn.Linear) -> None:
    """Initialise weights Xavier-uniform and the bias with zeros, in place."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
