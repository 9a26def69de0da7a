"""Output of the network: logits of one scene."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from occdepth_ros.models.edge_bev.config import KINDS


@dataclass(frozen=True)
class BevOutput:
    """Logits of one scene; N lifted voxels in C order of (x, y, z).

    Args:
        occupancy: logits of the eight voxels of each lifted voxel, `[N, 8]`.
        completed: logits of the standing classes and of "ground" from the bird's-eye view, `[N, KINDS]`.
        direct: logits of the kinds from evidence, followed by a gate, of the R lifted voxels of `rows`, `[R, KINDS +
            1]`.
        named: logits of the kinds from the class probabilities of the cells of the image, `[h w, KINDS]`.
        cell: flat image cell of each lifted voxel of `rows`, `[R]`.
        rows: flat indices of the lifted voxels near a surface or without a match, `[R]`.
        remembered: logits of the kinds from memory, of the lifted voxels of `remembered_rows`, `[K, KINDS]`.
        remembered_rows: flat indices of the lifted voxels that were visible in earlier pairs only, `[K]`.
        layout: logits of the ground classes by column, `[N / layers, 4, N_GROUND]`.
    """

    occupancy: torch.Tensor
    completed: torch.Tensor
    direct: torch.Tensor
    named: torch.Tensor
    cell: torch.Tensor
    rows: torch.Tensor
    remembered: torch.Tensor
    remembered_rows: torch.Tensor
    layout: torch.Tensor

    def kinds(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the logits of the kinds, `[R, KINDS]` float32, of lifted voxels with flat indices `[R]`."""
        shown, at = _found(rows, self.rows, len(self.completed))
        direct = self.direct.index_select(0, at).float()
        named = direct[:, KINDS:].sigmoid() * self.named.float().index_select(0, self.cell[at])
        out = self.completed.index_select(0, rows).float().index_add(0, shown, direct[:, :KINDS] + named)
        if len(self.remembered_rows):
            known, at = _found(rows, self.remembered_rows, len(self.completed))
            out = out.index_add(0, known, self.remembered.index_select(0, at).float())
        return out


def _found(rows: torch.Tensor, among: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the positions of common elements in `rows` and in `among`; elements are below `count`."""
    place = among.new_full((count,), -1)
    place[among] = torch.arange(len(among), device=among.device)
    at = place[rows]
    shown = (at >= 0).nonzero()[:, 0]
    return shown, at[shown]
