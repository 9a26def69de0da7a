"""Tables of one calibration: the rows of each map that the visible voxels read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.optimized.decoder import SparsePixels, sparse_pixels_of


@dataclass(frozen=True)
class OptimizedTables:
    """Tables for N lifted voxels, S of them visible in at least one of V views, with P pattern pixels.

    Args:
        geometry: the tables of the reference network.
        seen: indices of the visible voxels in C order, `[S]`.
        rows: row of the map of each scale that a visible voxel reads, numbered across the views, `[V, S, P]`; 0 where
            invisible.
        visible: whether the pattern pixel is visible in a view, `[V, S, P]`.
        sparse_pixels: the pixels that the finest block computes; None = whole maps.
        corners: flat indices into the depth distributions `[V, D, h, w]`, `[K, S]`; None without depth module.
        corner_weights: their weights, normalised over the views, `[K, S]`.
    """

    geometry: SceneGeometry
    seen: torch.Tensor
    rows: dict[int, torch.Tensor]
    visible: torch.Tensor
    sparse_pixels: SparsePixels | None = None
    corners: torch.Tensor | None = None
    corner_weights: torch.Tensor | None = None

    @classmethod
    def of(cls, config: OccDepthConfig, geometry: SceneGeometry, *, sparse: bool) -> OptimizedTables:
        """Compute the tables of a calibration, on the CPU.

        Args:
            config: the network.
            geometry: its projection.
            sparse: whether only those pixels of scale 1 are computed that voxels read.
        """
        seen = geometry.visible.any(2).any(0).nonzero()[:, 0]
        visible = geometry.visible[:, seen]
        height, width = config.image
        views = len(visible)
        rows, sparse_pixels = {}, None
        for scale, all_pixels in geometry.pixels.items():
            pixels = all_pixels[:, seen]
            if scale == 1 and sparse:
                chosen = [torch.unique(pixels[v][visible[v]]) for v in range(views)]
                sparse_pixels, row_of = sparse_pixels_of(chosen, height, width)
                found = torch.stack([row_of[v][pixels[v]] for v in range(views)])
            else:
                size = -(-height // scale) * -(-width // scale)
                found = pixels + size * torch.arange(views)[:, None, None]
            rows[scale] = torch.where(visible, found, 0)
        corners = corner_weights = None
        if geometry.oad_grid is not None and config.depth is not None:
            shape = (config.depth.count, -(-height // 8), -(-width // 8))
            inside = None if geometry.oad_inside is None else geometry.oad_inside.flatten()[seen]
            corners, corner_weights = _corners(geometry.oad_grid.flatten(1, 3)[:, seen], inside, shape)
        return cls(geometry, seen, rows, visible, sparse_pixels, corners, corner_weights)

    def to(self, device: torch.device | str) -> OptimizedTables:
        """Return the same tables on another device."""

        def moved(value: torch.Tensor | None) -> torch.Tensor | None:
            return None if value is None else value.to(device)

        return OptimizedTables(
            self.geometry.to(device),
            self.seen.to(device),
            {scale: value.to(device) for scale, value in self.rows.items()},
            self.visible.to(device),
            None if self.sparse_pixels is None else self.sparse_pixels.to(device),
            moved(self.corners),
            moved(self.corner_weights),
        )


def _corners(
    positions: torch.Tensor, inside: torch.Tensor | None, shape: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cells and weights of trilinear samples at normalised (u, v, bin), `[V, S, 3]`, corners not aligned."""
    views, bins, height, width = len(positions), *shape
    cells = [
        ((positions[..., axis].double() + 1) * n - 1) / 2 for axis, n in enumerate((width, height, bins))
    ]  # each [V, S]
    index, weight = [], []
    offset = (torch.arange(views) * bins * height * width)[:, None]
    for corner in range(8):
        flat, share = offset, torch.ones((), dtype=torch.float64)
        for cell, n, stride, high in zip(
            cells,
            (width, height, bins),
            (1, width, height * width),
            (corner & 1, corner >> 1 & 1, corner >> 2),
            strict=True,
        ):
            low = cell.floor()
            index_on_axis = low.long() + high
            part = cell - low if high else 1 - (cell - low)
            share = share * torch.where((index_on_axis >= 0) & (index_on_axis < n), part, 0.0)
            flat = flat + index_on_axis.clamp(0, n - 1) * stride
        index.append(flat)
        weight.append(share)
    weights = torch.stack(weight).flatten(0, 1)
    if inside is not None:
        weights = torch.where(inside > 0, weights / inside.double().clamp_min(1e-30), 0.0)
    return torch.stack(index).flatten(0, 1), weights.float()
