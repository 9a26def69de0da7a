"""A small MonoOcc: configuration, references and proposals."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.config import MonoOccConfig
from occdepth_ros.models.monoocc.reference_points import References

GRID = VoxelGrid((0.0, -3.2, -1.0), (32, 32, 16), 0.2)


TINY = MonoOccConfig(
    "tiny",
    "efficientnet-lite0",
    channels=16,
    heads=2,
    points=2,
    hidden=24,
    cross_layers=1,
    self_layers=2,
    late_layers=1,
    columns=32,
    grid=GRID,
)


def references(count: int = 1, size: tuple[int, int] = (64, 192)) -> References:
    height, width = size
    k = np.array([[0.5 * width, 0, width / 2, 0], [0, 0.5 * width, height / 2, 0], [0, 0, 1, 0]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    cameras = []
    for i in range(count):
        moved = pose.copy()
        moved[2, 3] = 0.5 * i
        cameras.append((PinholeCamera(k, width, height), moved))
    return References.of_cameras(TINY.working_grid(GRID), cameras)


def random_proposals(seed: int = 1) -> torch.Tensor:
    return torch.rand(TINY.voxels, generator=torch.Generator().manual_seed(seed)) < 0.1


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """Fresh offsets do not depend on the queries: add noise to every matrix."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return network


def by_grid_sample(values: torch.Tensor, locations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    h, w = values.shape[:2]
    grid = (2 * locations + 1) / torch.tensor([w, h], dtype=locations.dtype) - 1
    sampled = F.grid_sample(values.permute(2, 3, 0, 1), grid.movedim(1, 0), align_corners=False)
    return (sampled * weights.movedim(1, 0)[:, None]).sum(-1).permute(2, 0, 1).flatten(1)
