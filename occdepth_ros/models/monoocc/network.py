"""MonoOcc's second stage: maps images and query proposals to classes of all voxels (section 3 of the paper).

Parameter names are those of published checkpoints; `published.py` selects their tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from occdepth_ros.models.column_window import ColumnWindow
from occdepth_ros.models.monoocc.backbones import PyramidNeck, make_backbone
from occdepth_ros.models.monoocc.config import MonoOccConfig
from occdepth_ros.models.monoocc.cross_view import CrossViewTransformer
from occdepth_ros.models.monoocc.layers import CHUNK, LEARNING_CHUNK, CrossTransformer, SelfTransformer
from occdepth_ros.models.monoocc.reference_points import CameraView, References
from occdepth_ros.models.monoocc.semantic_decoder import SemanticDecoder
from occdepth_ros.models.monoocc.upsampled_head import UpsampledHead, coarse_range
from occdepth_ros.models.readout import labels_and_confidence

NARROW = 64
"""Number of channels below which attention is always computed in float32."""


class PositionTables(nn.Module):
    """Learned codes of the rows and columns of the map on which the voxels are arranged."""

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(config.rows, config.channels // 2)
        self.col_embed = nn.Embedding(config.columns, config.channels // 2)
        if config.placed and config.spatial:
            # sines and cosines encode distance initially; random codes would have to learn it
            x, y, z = config.working_size
            half = config.channels // 4
            across, up = waves(y, config.channels // 2 - half), waves(z, half)
            with torch.no_grad():
                self.row_embed.weight.copy_(waves(x, config.channels // 2))
                self.col_embed.weight.copy_(torch.cat([up.repeat(y, 1), across.repeat_interleave(z, 0)], 1))

    def all(self) -> torch.Tensor:
        """Return the codes of all voxels in flat order, their column's and then their row's, `[N, C]`."""
        rows, columns = self.row_embed.weight, self.col_embed.weight
        shape = len(rows), len(columns), -1
        return torch.cat([columns.expand(shape), rows[:, None].expand(shape)], -1).flatten(0, 1)

    def of(self, voxels: torch.Tensor) -> torch.Tensor:
        """Return the codes of voxels with given flat indices, `[Q, C]`."""
        columns = self.col_embed.num_embeddings
        return torch.cat([self.col_embed(voxels % columns), self.row_embed(voxels // columns)], -1)


def waves(count: int, channels: int) -> torch.Tensor:
    """Return cosines and sines of multiples of half a turn for the positions along an axis, `[count, channels]`."""
    angle = torch.pi * (torch.arange(count) + 0.5)[:, None] / count
    turns = 1 + torch.arange(channels) // 2
    return torch.where(torch.arange(channels) % 2 == 0, (turns * angle).cos(), (turns * angle).sin())


@dataclass(frozen=True)
class Volumes:
    """Volume of working voxels after each step, flat in C order.

    Args:
        proposals: flat indices of the proposals, `[Q]`, ascending.
        cross: queries of the proposals after the cross-transformer, `[Q, C]`.
        attended: features after the self-transformer, `[N, C]`, or `[W, C]` if W voxels were requested.
        late: features after the late cross-transformer; None without one.
    """

    proposals: torch.Tensor
    cross: torch.Tensor
    attended: torch.Tensor
    late: torch.Tensor | None

    @property
    def last(self) -> torch.Tensor:
        """The input of the head and of distillation, `[N, C]` or `[W, C]`."""
        return self.attended if self.late is None else self.late


class MonoOccHead(nn.Module):
    """Maps features of the images to class logits.

    Args:
        config: configuration of the network.
    """

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.config = config
        self.bev_embed = nn.Embedding(1 if config.placed else config.voxels, config.channels)
        self.mask_embed = nn.Embedding(1, config.channels)
        self.positional_encoding = PositionTables(config)
        self.cross_transformer = CrossTransformer(config, config.cross_layers)
        self.self_transformer = SelfTransformer(config)
        if config.late:
            self.cross_transformer_late = CrossTransformer(config, config.late_layers)
        if config.cross_view:
            self.cvt = CrossViewTransformer(config.channels)
        if config.semantic:
            self.sem_decoder = SemanticDecoder(config.channels, config.n_classes, config.dropout)
        self.header = UpsampledHead(config.channels, config.n_classes)

    def transformers(self) -> list[nn.Module]:
        """Return the two or three stacks of attention."""
        both: list[nn.Module] = [self.cross_transformer, self.self_transformer]
        return [*both, self.cross_transformer_late] if self.config.late else both

    def exchanged(self, features: torch.Tensor) -> torch.Tensor:
        """Apply the cross view transformer, if the network has one, to the features of the images, `[V, C, h, w]`."""
        return self.cvt.exchange(features) if self.config.cross_view else features

    def queries(self, proposals: torch.Tensor) -> torch.Tensor:
        """Return the initial queries of proposals with flat indices `[Q]`, `[Q, C]`."""
        if self.config.placed:
            return self.bev_embed.weight + self.positional_encoding.of(proposals)
        out: torch.Tensor = self.bev_embed(proposals)
        return out

    def assembled(self, proposals: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """Assemble the volume `[N, C]`: queries `[Q, C]` at the proposals, initial features elsewhere."""
        token = self.mask_embed.weight
        if self.config.placed:
            token = token + self.positional_encoding.all()
        return token.to(queries.dtype).expand(self.config.voxels, -1).index_copy(0, proposals, queries)

    def cross(self, features: torch.Tensor, references: References, proposals: torch.Tensor) -> torch.Tensor:
        """Apply cross-attention from the queries of the proposals to the images.

        Args:
            features: `[V, C, h, w]`.
            references: projections of the working voxels into the images.
            proposals: flat indices, `[Q]`, ascending.

        Returns:
            `[Q, C]`.
        """
        views = references.views(proposals)
        out: torch.Tensor = self.cross_transformer(self.queries(proposals), features, views, chunk_of(features))
        return out

    def attend(
        self, proposals: torch.Tensor, queries: torch.Tensor, requested: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Apply attention among all voxels: queries of the proposals `[Q, C]` to features `[N, C]`.

        Args:
            proposals: flat indices, `[Q]`, ascending.
            queries: queries of the proposals, `[Q, C]`.
            requested: flat indices of the requested voxels, `[W]`, ascending: the result is `[W, C]`; None = all.
        """
        tables = self.positional_encoding
        out: torch.Tensor = self.self_transformer(
            self.assembled(proposals, queries),
            tables.row_embed.weight,
            tables.col_embed.weight,
            chunk_of(queries),
            None if self.config.placed else proposals,
            requested,
        )
        return out

    def attend_late(self, volume: torch.Tensor, features: torch.Tensor, views: list[CameraView]) -> torch.Tensor:
        """Apply image-conditioned cross-attention from all voxels, `[N, C]`, to the images, `[V, C, h, w]`."""
        out: torch.Tensor = self.cross_transformer_late(volume, features, views, chunk_of(features))
        return out

    def classify_window(self, volume: torch.Tensor, window: ColumnWindow) -> torch.Tensor:
        """Return the class logits of a window, `[n_classes, size, size, Z]`, from the working voxels of `needed`."""
        fine, coarse = self._ranges(window)
        return self.header.part(volume.view(*map(len, coarse), -1), fine, self.config.working_size)

    def needed(self, window: ColumnWindow) -> torch.Tensor:
        """Return the flat indices of the working voxels that a window of the prediction depends on, ascending."""
        x, y, z = (torch.tensor(r) for r in self._ranges(window)[1])
        size = self.config.working_size
        return ((x[:, None, None] * size[1] + y[:, None]) * size[2] + z).flatten()

    def _ranges(self, window: ColumnWindow) -> tuple[list[range], list[range]]:
        fine = [range(s.start, s.stop) for s in window.slices()] + [range(self.config.grid.size[2])]
        return fine, [coarse_range(r, n) for r, n in zip(fine, self.config.working_size, strict=True)]

    def read_out(self, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return labels and their probability times 255, `[X, Y, Z]` uint8 each, from working voxels `[N, C]`."""
        volume = volume.view(*self.config.working_size, -1)
        if volume.device.type == "cpu":
            return self.header.read_out(volume)
        return labels_and_confidence(self.header(volume))

    def classify(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the class logits of the fine voxels, `[n_classes, X, Y, Z]`, from working voxels `[N, C]`."""
        logits: torch.Tensor = self.header(volume.view(*self.config.working_size, -1))
        return logits


class MonoOcc(nn.Module):
    """The network for one sample: an image branch and a head.

    Args:
        config: configuration of the network.
    """

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.config = config
        self.img_backbone = make_backbone(config.backbone)
        self.img_neck = PyramidNeck(self.img_backbone.channels, config.channels)
        self.pts_bbox_head = MonoOccHead(config)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images `[V, 3, H, W]` to features `[V, C, h, w]`, which the auxiliary loss also reads."""
        out: torch.Tensor = self.img_neck(self.img_backbone(images))
        return out

    def volumes(
        self,
        features: torch.Tensor,
        references: References,
        proposed: torch.Tensor,
        requested: torch.Tensor | None = None,
    ) -> Volumes:
        """Compute the volume of working voxels.

        Args:
            features: result of `features`, `[V, C, h, w]`.
            references: projections of the working voxels into the V images.
            proposed: whether a working voxel is a proposal, `[N]`.
            requested: flat indices of the requested voxels, `[W]`, ascending; None = all. Their features do not depend
                on the selection.
        """
        head = self.pts_bbox_head
        proposals = proposed.nonzero().flatten()
        features = head.exchanged(features)
        with attention_format(self.config, features) as features:
            queries = head.cross(features, references, proposals)
            attended = head.attend(proposals, queries, requested)
            late = head.attend_late(attended, features, references.views(requested)) if self.config.late else None
        return Volumes(proposals, queries, attended, late)

    def forward(self, images: torch.Tensor, references: References, proposed: torch.Tensor) -> torch.Tensor:
        """Return the class logits `[n_classes, X, Y, Z]` of one sample; arguments as in `features` and `volumes`."""
        return self.pts_bbox_head.classify(self.volumes(self.features(images), references, proposed).last)


@contextmanager
def attention_format(config: MonoOccConfig, features: torch.Tensor) -> Iterator[torch.Tensor]:
    """Return a context manager in which attention is computed in its number format; yields the features in this format.

    In narrow layers the conversion to bfloat16 takes longer than it saves.
    """
    if config.channels >= NARROW:
        yield features
        return
    with torch.autocast(features.device.type, enabled=False):
        yield features.float()


def chunk_of(x: torch.Tensor) -> int:
    """Return the number of queries per chunk on the tensor's device."""
    if torch.is_grad_enabled():
        return LEARNING_CHUNK
    return CHUNK.get(x.device.type, CHUNK["cuda"])
