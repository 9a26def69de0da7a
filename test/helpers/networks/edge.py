"""A small occdepth-edge-sfa: rig, grid, configuration and matched pairs."""

from __future__ import annotations

import numpy as np
import torch

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.edge.evidence import (
    FINE,
    FINE_KINDS,
    Measurement,
)
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.edge.network import OccDepthEdge
from occdepth_ros.models.occdepth.config import DepthBins

GRID = VoxelGrid((0.0, -6.4, -1.6), (64, 64, 16), 0.2)


HEIGHT, WIDTH = 64, 192


BINS = DepthBins(near=2.0, far=20.0, count=16, supervised="lid", sampling="lid")


CONFIG = EdgeConfig(
    image=(HEIGHT, WIDTH), feature=8, pyramid=16, stages=(8, 8, 8), depths=(0, 1, 1), depth=BINS, hidden=8, grid=GRID
)


BEHIND, HITS, HEIGHT_ABOVE, COARSE = 0, FINE, 2 * FINE, FINE_KINDS * FINE


RESIDUAL, VALID, COARSE_ABOVE, SHOWN, POSITION = (COARSE + i for i in range(1, 6))


"""First channels of the kinds of evidence."""


def rig_of(focal: float = 97.3, baseline: float = 0.5, height: int = HEIGHT, width: int = WIDTH) -> StereoRig:
    """A level rig at the grid's origin whose left image is symmetric about the optical axis."""
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    right = np.hstack([k, k @ np.array([[-baseline], [0], [0]])])
    return StereoRig(
        PinholeCamera(np.hstack([k, np.zeros((3, 1))]), width, height), PinholeCamera(right, width, height), pose
    )


RIG = rig_of()


def geometry_of(rig: StereoRig = RIG, grid: VoxelGrid = GRID) -> EdgeGeometry:
    return EdgeGeometry.of_rig(CONFIG, rig, grid)


def measurement(
    disparity: torch.Tensor, hit_voxels: torch.Tensor | None = None, hits: torch.Tensor | None = None
) -> Measurement:
    """Over level ground 3.5 voxels above the grid's lower face, which is nowhere seen."""
    return Measurement(
        disparity,
        torch.empty(0, dtype=torch.int64) if hit_voxels is None else hit_voxels,
        torch.empty(0) if hits is None else hits,
        torch.full(GRID.size[:2], 3.5),
        torch.zeros(GRID.size[:2], dtype=torch.bool),
    )


def plane(depth: float, rig: StereoRig = RIG) -> Measurement:
    """A wall across the whole view, matched at every pixel."""
    disparity = torch.full((HEIGHT, WIDTH), float(rig.left.projection[0, 0]) * rig.baseline / depth)
    return measurement(disparity)


def no_match() -> Measurement:
    return measurement(torch.zeros(HEIGHT, WIDTH))


def random_measurement(seed: int = 0) -> Measurement:
    rng = torch.Generator().manual_seed(seed)
    disparity = 2 + 14 * torch.rand(HEIGHT, WIDTH, generator=rng)
    disparity[torch.rand(HEIGHT, WIDTH, generator=rng) < 0.3] = 0
    hit_voxels = torch.randperm(GRID.count, generator=rng)[:500].sort().values
    ground = 3 + 2 * torch.rand(GRID.size[:2], generator=rng)
    seen = torch.rand(GRID.size[:2], generator=rng) < 0.2
    return Measurement(disparity, hit_voxels, 1 + 9 * torch.rand(500, generator=rng), ground, seen)


def raw_images(depth: float = 5.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall as both cameras see it."""
    shift = round(float(RIG.left.projection[0, 0]) * RIG.baseline / depth)
    texture = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH + shift, 3), dtype=np.uint8)
    return np.ascontiguousarray(texture[:, :WIDTH]), np.ascontiguousarray(texture[:, shift:])


def network() -> OccDepthEdge:
    torch.manual_seed(0)
    return OccDepthEdge(CONFIG)
