"""Outputs of the bird's-eye-view network for tests: logits by voxel without any lifted evidence."""

from __future__ import annotations

import torch

from occdepth_ros.models.edge_bev.config import KINDS
from occdepth_ros.models.edge_bev.output import BevOutput


def output_without_evidence(occupancy: torch.Tensor, kinds: torch.Tensor, layout: torch.Tensor) -> BevOutput:
    """Output of a scene whose lifted voxels have neither evidence nor memory; arguments as in `BevOutput`."""
    nothing = torch.zeros(0, dtype=torch.long)
    return BevOutput(
        occupancy,
        kinds,
        torch.zeros(0, KINDS + 1),
        torch.zeros(1, KINDS),
        nothing,
        nothing,
        torch.zeros(0, KINDS),
        nothing,
        layout,
    )
