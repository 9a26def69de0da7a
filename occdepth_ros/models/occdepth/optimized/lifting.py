"""Stereo-SFA and the depth weight of the visible voxels, in chunks that fit the cache."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.models.occdepth.optimized.tables import OptimizedTables
from occdepth_ros.models.occdepth.sfa import EPSILON, average_views, fuse_views

CHUNK = 16384
"""Voxels per chunk on a CPU, whose features fit a core's cache."""


def lift_seen(config: OccDepthConfig, rows: Mapping[int, torch.Tensor], tables: OptimizedTables) -> torch.Tensor:
    """Return the sum of the fused features over the scales, `[S, C]` float32.

    Args:
        config: the network.
        rows: pixels of the maps of all views by scale, `[n, C]`.
        tables: tables of the calibration.
    """
    count = len(tables.seen)
    chunk = CHUNK if tables.seen.device.type == "cpu" else max(count, 1)
    channels = next(iter(rows.values())).shape[1]
    out = torch.zeros(count, channels, device=tables.seen.device)
    pair = len(tables.visible) == 2 and tables.visible.shape[2] == 1 and config.fusion == "cosine"
    # norms of pixels, which are fewer than voxels
    inverse = {s: _inverse_norm(r) for s, r in rows.items()} if pair else {}
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        total, visible = out[part], tables.visible[:, part]
        for scale in config.scales:
            index = tables.rows[scale][:, part]
            if pair:
                _add_pair(total, rows[scale], inverse[scale], index[..., 0], visible[..., 0])
                continue
            views = [_mean(rows[scale], i, v) for i, v in zip(index, visible, strict=True)]
            total += (fuse_views if config.fusion == "cosine" else average_views)(views, visible.any(2))
    return out


def _inverse_norm(rows: torch.Tensor) -> torch.Tensor:
    return 1 / torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32).clamp_min(EPSILON)


def _add_pair(
    total: torch.Tensor, rows: torch.Tensor, inverse: torch.Tensor, index: torch.Tensor, visible: torch.Tensor
) -> None:
    """Fuse two views as `sfa.fuse_views` does, with a weight per view instead of masked features."""
    left, right = rows.index_select(0, index[0]).float(), rows.index_select(0, index[1]).float()
    similarity = (left * right).sum(1) * inverse.index_select(0, index[0]) * inverse.index_select(0, index[1])
    weight = torch.where(visible[0] & visible[1], similarity, 1.0) / 2
    total.addcmul_(left, torch.where(visible[0], weight, 0.0)[:, None])
    total.addcmul_(right, torch.where(visible[1], weight, 0.0)[:, None])


def _mean(rows: torch.Tensor, index: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return the mean feature of one view's visible pattern pixels, `[S, P]` to `[S, C]`."""
    total = rows.index_select(0, index[:, 0]).float() * visible[:, :1]
    for k in range(1, index.shape[1]):
        total += rows.index_select(0, index[:, k]).float() * visible[:, k : k + 1]
    return total / visible.sum(1, keepdim=True).clamp_min(1)


def seen_weight(depth: torch.Tensor, tables: OptimizedTables) -> torch.Tensor:
    """Return the depth distributions `[1, V, D, h, w]` read at the seen voxels, `[S]`."""
    assert tables.corners is not None and tables.corner_weights is not None
    flat = depth.contiguous().flatten()
    count = tables.corners.shape[1]
    chunk = CHUNK if depth.device.type == "cpu" else max(count, 1)
    out = torch.empty(count, device=depth.device)
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        out[part] = (flat.take(tables.corners[:, part]) * tables.corner_weights[:, part]).sum(0)
    return out
