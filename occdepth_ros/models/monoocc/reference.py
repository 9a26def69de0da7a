"""Reference formulation of MonoOcc in float32, for comparison with the optimized path.

It samples by `grid_sample`, computes attention among voxels as two passes over two copies of the volume with
concatenated queries, and upsamples all channels before the norm of the head. Queries are processed in chunks, since a
pass over all of them needs several gigabytes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.models.monoocc.attention import QUEUE, CrossAttention, PointAttention, SelfAttention
from occdepth_ros.models.monoocc.layers import CrossTransformer, Layer
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.reference_points import References

CHUNK = 32768
"""Queries per chunk."""


def reference_logits(
    network: MonoOcc, images: torch.Tensor, references: References, proposed: torch.Tensor
) -> torch.Tensor:
    """Return the class logits of one sample of one image, `[n_classes, X, Y, Z]`; arguments as for the network.

    For evaluation only: no gradients, no dropout, no exchange between images.
    """
    head, config = network.pts_bbox_head, network.config
    features = network.features(images)
    proposals = proposed.nonzero().flatten()
    points, visible = references.points[0], references.visible[0]
    queries = reference_cross(
        head.cross_transformer, head.queries(proposals), features, points[proposals], visible[proposals]
    )
    volume = head.assembled(proposals, queries)
    rows, columns = head.positional_encoding.row_embed.weight, head.positional_encoding.col_embed.weight
    position = torch.cat([columns.repeat(len(rows), 1), rows.repeat_interleave(len(columns), 0)], 1)
    for layer in head.self_transformer.encoder.layers:
        assert isinstance(layer, Layer)
        volume = _self_layer(layer, volume, position, config.columns)
    if config.late:
        volume = reference_cross(head.cross_transformer_late, volume, features, points, visible)
    coarse = volume.view(*config.working_size, -1).movedim(-1, 0)[None]
    fine = F.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=True)[0]
    logits: torch.Tensor = head.header.mlp_head(fine.movedim(0, -1)).movedim(-1, 0)
    return logits


def reference_cross(
    transformer: CrossTransformer,
    queries: torch.Tensor,
    features: torch.Tensor,
    points: torch.Tensor,
    visible: torch.Tensor,
) -> torch.Tensor:
    """Apply a cross-transformer over one image: queries `[N, C]`, their points `[N, 2]` and visibility `[N]`."""
    tokens = features[0].movedim(0, -1) + transformer.cams_embeds[0] + transformer.level_embeds[0]
    for layer in transformer.encoder.layers:
        assert isinstance(layer, Layer)
        attention = layer.attentions[0]
        assert isinstance(attention, CrossAttention)
        core, out = attention.deformable_attention, []
        values = core.value_proj(tokens)
        for start in range(0, len(queries), CHUNK):
            part = slice(start, start + CHUNK)
            query = queries[part]
            offsets = core.sampling_offsets(query).view(len(query), core.heads, core.points, 2)
            weights = core.attention_weights(query).view(len(query), core.heads, core.points).softmax(-1)
            found = _sampled(core, values, points[part, None, None], offsets, weights)
            out.append(layer.rest(attention.output_proj(found * visible[part, None]) + query))
        queries = torch.cat(out) if out else queries
    return queries


def _self_layer(layer: Layer, volume: torch.Tensor, position: torch.Tensor, columns: int) -> torch.Tensor:
    attention = layer.attentions[0]
    assert isinstance(attention, SelfAttention)
    rows = len(volume) // columns
    values, out = attention.value_proj(volume.view(rows, columns, -1)), []
    cell = torch.arange(len(volume), device=volume.device)
    size = volume.new_tensor([columns, rows])
    centers = (torch.stack([cell % columns, cell // columns], -1) + 0.5) / size
    for start in range(0, len(volume), CHUNK):
        part = slice(start, start + CHUNK)
        x = volume[part]
        query = torch.cat([x, x + position[part]], 1)
        shape = len(x), attention.heads, QUEUE, attention.points
        offsets = attention.sampling_offsets(query).view(*shape, 2)
        weights = attention.attention_weights(query).view(shape).softmax(-1)
        passes = [
            _sampled(attention, values, centers[part, None, None], offsets[:, :, i], weights[:, :, i])
            for i in range(QUEUE)
        ]
        out.append(layer.rest(attention.output_proj(torch.stack(passes).mean(0)) + x))
    return torch.cat(out)


def _sampled(
    attention: PointAttention, values: torch.Tensor, points: torch.Tensor, offsets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return weighted samples of a map `[h, w, C]`, `[N, C]`, at points (fractions of the map) plus offsets (cells)."""
    height, width, channels = values.shape
    locations = points + offsets / offsets.new_tensor([width, height])
    maps = values.view(height, width, attention.heads, -1).permute(2, 3, 0, 1)
    found = F.grid_sample(maps, (2 * locations - 1).movedim(1, 0), align_corners=False)  # [heads, d, N, points]
    summed = (found * weights.movedim(1, 0)[:, None]).sum(-1)
    return summed.permute(2, 0, 1).reshape(-1, channels)
