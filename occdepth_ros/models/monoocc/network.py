"""MonoOcc's second stage: pictures and query proposals in, classes of all voxels out (section 3 of the paper).

Parameter names are those of published checkpoints; `published.py` brings their tensors to what is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from occdepth_ros.models.monoocc.backbones import PyramidNeck, make_backbone
from occdepth_ros.models.monoocc.config import MonoOccConfig
from occdepth_ros.models.monoocc.cross_view import CrossViewTransformer
from occdepth_ros.models.monoocc.layers import CHUNK, CrossTransformer, SelfTransformer
from occdepth_ros.models.monoocc.references import CameraView, References
from occdepth_ros.models.monoocc.semantic_decoder import SemanticDecoder
from occdepth_ros.models.monoocc.upsampled_head import UpsampledHead


class PositionTables(nn.Module):
    """Learned codes of the rows and columns of the map that the voxels are laid out on."""

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(config.rows, config.channels // 2)
        self.col_embed = nn.Embedding(config.columns, config.channels // 2)


@dataclass(frozen=True)
class Volumes:
    """The volume of working voxels on its way, flat in C order.

    Args:
        proposals: flat indices of the proposals, `[Q]`, ascending.
        cross: their queries behind the cross-transformer, `[Q, C]`.
        attended: behind the self-transformer, `[N, C]`.
        late: behind the late cross-transformer, `[N, C]`; None without one.
    """

    proposals: torch.Tensor
    cross: torch.Tensor
    attended: torch.Tensor
    late: torch.Tensor | None

    @property
    def last(self) -> torch.Tensor:
        """What the head reads, and what students imitate, `[N, C]`."""
        return self.attended if self.late is None else self.late


class MonoOccHead(nn.Module):
    """From features of the pictures to class logits.

    Args:
        config: sizes and contributions.
    """

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.config = config
        self.bev_embed = nn.Embedding(config.voxels, config.channels)
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
        """The three, or two, stacks of attention."""
        both: list[nn.Module] = [self.cross_transformer, self.self_transformer]
        return [*both, self.cross_transformer_late] if self.config.late else both

    def exchanged(self, features: torch.Tensor) -> torch.Tensor:
        """Features of the pictures, `[V, C, h, w]`, after the cross view transformer where there is one."""
        return self.cvt.exchange(features) if self.config.cross_view else features

    def cross(self, features: torch.Tensor, references: References, proposals: torch.Tensor) -> torch.Tensor:
        """Queries of the proposals, after they looked at the pictures.

        Args:
            features: `[V, C, h, w]`.
            references: where the working voxels fall in the pictures.
            proposals: flat indices, `[Q]`, ascending.

        Returns:
            `[Q, C]`.
        """
        queries = self.bev_embed(proposals)
        views = references.views(proposals)
        out: torch.Tensor = self.cross_transformer(queries, features, views, chunk_of(features))
        return out

    def attend(self, proposals: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """Attention among all voxels: the proposals' queries `[Q, C]` to `[N, C]`."""
        volume = self.mask_embed.weight.to(queries.dtype).expand(self.config.voxels, -1)
        volume = volume.index_copy(0, proposals, queries)
        tables = self.positional_encoding
        out: torch.Tensor = self.self_transformer(
            volume, tables.row_embed.weight, tables.col_embed.weight, chunk_of(queries), proposals
        )
        return out

    def look_again(self, volume: torch.Tensor, features: torch.Tensor, views: list[CameraView]) -> torch.Tensor:
        """The image-conditioned cross-attention: all voxels, `[N, C]`, look at the pictures, `[V, C, h, w]`."""
        out: torch.Tensor = self.cross_transformer_late(volume, features, views, chunk_of(features))
        return out

    def classify(self, volume: torch.Tensor) -> torch.Tensor:
        """Class logits of the fine voxels, `[n_classes, X, Y, Z]`, from working voxels `[N, C]`."""
        logits: torch.Tensor = self.header(volume.view(*self.config.working_size, -1))
        return logits


class MonoOcc(nn.Module):
    """The network for one sample at a time: an image branch and a head.

    Args:
        config: sizes and contributions.
    """

    def __init__(self, config: MonoOccConfig) -> None:
        super().__init__()
        self.config = config
        self.img_backbone = make_backbone(config.backbone)
        self.img_neck = PyramidNeck(self.img_backbone.channels, config.channels)
        self.pts_bbox_head = MonoOccHead(config)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Normalised pictures `[V, 3, H, W]` to `[V, C, h, w]`; what the auxiliary loss reads."""
        out: torch.Tensor = self.img_neck(self.img_backbone(pictures))
        return out

    def volumes(self, features: torch.Tensor, references: References, proposed: torch.Tensor) -> Volumes:
        """The volume of working voxels.

        Args:
            features: from `features`, `[V, C, h, w]`.
            references: where the working voxels fall in the V pictures.
            proposed: whether a working voxel is a proposal, `[N]`.
        """
        head = self.pts_bbox_head
        features = head.exchanged(features)
        proposals = proposed.nonzero().flatten()
        queries = head.cross(features, references, proposals)
        attended = head.attend(proposals, queries)
        late = head.look_again(attended, features, references.views()) if self.config.late else None
        return Volumes(proposals, queries, attended, late)

    def forward(self, pictures: torch.Tensor, references: References, proposed: torch.Tensor) -> torch.Tensor:
        """Class logits `[n_classes, X, Y, Z]` of one sample; arguments as of `features` and `volumes`."""
        return self.pts_bbox_head.classify(self.volumes(self.features(pictures), references, proposed).last)


def chunk_of(x: torch.Tensor) -> int:
    """Queries at a time on the tensor's device."""
    return CHUNK.get(x.device.type, CHUNK["cuda"])
