"""Reference points of deformable cross-attention: projections of the working voxels into the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.grid import VoxelGrid

NEAREST = 1e-5
"""Minimum depth of a voxel in front of the camera, metres."""


@dataclass(frozen=True)
class References:
    """Reference points of all working voxels in every image.

    Args:
        points: u and v as fractions of the image's width and height, `[V, N, 2]` float32.
        visible: whether a voxel is in front of the camera and strictly inside the image, `[V, N]`.
    """

    points: torch.Tensor
    visible: torch.Tensor

    @classmethod
    def of_matrices(cls, grid: VoxelGrid, matrices: Sequence[Matrix], size: tuple[int, int]) -> References:
        """Project the centres of voxels, in float32 as published networks were trained.

        Args:
            grid: the working voxels.
            matrices: for each image, from the grid's frame to homogeneous pixels, `[4, 4]` or `[3, 4]`.
            size: height and width of the images, pixels.
        """
        centers = torch.from_numpy(grid.centers())
        homogeneous = torch.cat([centers, torch.ones(len(centers), 1)], 1)
        stacked = torch.from_numpy(np.stack([m[:3] for m in matrices]).astype(np.float32))  # [V, 3, 4]
        u, v, depth = torch.einsum("vij,nj->ivn", stacked, homogeneous)
        height, width = size
        scale = torch.tensor([width, height], dtype=torch.float32)
        points = torch.stack([u, v], -1) / depth.clamp_min(NEAREST)[..., None] / scale
        visible = (depth > NEAREST) & ((points > 0) & (points < 1)).all(-1)
        return cls(points, visible)

    @classmethod
    def of_cameras(cls, grid: VoxelGrid, cameras: Sequence[tuple[PinholeCamera, Matrix]]) -> References:
        """Return the references of cameras, each with the pose of the grid's frame in the camera, `[4, 4]`."""
        first = cameras[0][0]
        matrices = [camera.intrinsics @ pose[:3] for camera, pose in cameras]
        return cls.of_matrices(grid, matrices, (first.height, first.width))

    def to(self, device: torch.device | str) -> References:
        """Return a copy on another device."""
        return References(self.points.to(device), self.visible.to(device))

    def views(self, index: torch.Tensor | None = None) -> list[CameraView]:
        """Return the queries that are visible in each image.

        Args:
            index: the queries, flat indices of working voxels, `[Q]`; None = all of them.
        """
        out = []
        for points, visible in zip(self.points, self.visible, strict=True):
            if index is not None:
                points, visible = points[index], visible[index]
            rows = visible.nonzero().flatten()
            out.append(CameraView(rows, points[rows], len(visible)))
        return out


@dataclass(frozen=True)
class CameraView:
    """The queries that are visible in one image.

    Args:
        rows: indices of the visible queries, ascending, `[M]` int64.
        points: reference points as fractions of the image, `[M, 2]`.
        queries: number of all queries.
    """

    rows: torch.Tensor
    points: torch.Tensor
    queries: int

    def chunks(self, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return rows, relative to the first query of a chunk, and points, for each chunk of `size` queries."""
        starts = torch.arange(0, self.queries, size, device=self.rows.device)
        bounds = [*torch.searchsorted(self.rows, starts).tolist(), len(self.rows)]
        return [(self.rows[a:b] - k * size, self.points[a:b]) for k, (a, b) in enumerate(pairwise(bounds))]
