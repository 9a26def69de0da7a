"""Tables of occdepth-edge-sfa for one calibration: projection of the voxels into the images, computed on the device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import EdgeConfig
from occdepth_ros.models.edge.image_encoder import FINEST

LIFT = 2
"""Edge of a lifted voxel, in voxels of the prediction."""

POSITION_SCALE = (25.0, 3.0, 50.0)
"""Metres by which positions in the camera's frame are divided, by axis (right, down, ahead)."""


@dataclass(frozen=True)
class EdgeGeometry:
    """Tables of one calibration: N lifted voxels and M = 8 N voxels, both in C order of (x, y, z).

    Args:
        size: lifted voxels along x, y, z.
        pixels: flat cell of every lifted voxel in the map at 1/4 of each image, `[2, N]` int64, 0 where invisible.
        visible: whether a lifted voxel's centre is in each image, `[2, N]` bool.
        fine_pixel: flat pixel index of every voxel in the left image, `[M]` int64, 0 where invisible.
        fine_depth: depth (z) of every voxel in the left camera, `[M]` float32, metres; NaN where invisible.
        position: position of the lifted voxels in the left camera's frame, scaled, and 1 where visible there,
            `[4, X, Y, Z]`.
        depth_grid: positions of the lifted voxels in the left depth distribution for `grid_sample`, `[X, Y, Z, 3]`.
        focal_baseline: product of depth and disparity in the network's image, pixel metres.
        face: number of pixels covered by a voxel's face, times depth squared.
    """

    size: tuple[int, int, int]
    pixels: torch.Tensor
    visible: torch.Tensor
    fine_pixel: torch.Tensor
    fine_depth: torch.Tensor
    position: torch.Tensor
    depth_grid: torch.Tensor
    focal_baseline: float
    face: float

    @classmethod
    def of_rig(
        cls, config: EdgeConfig, rig: StereoRig, grid: VoxelGrid, device: torch.device | str = "cpu"
    ) -> EdgeGeometry:
        """Compute the tables of a rig with the network's image size, or a smaller one."""
        width = config.image[1]
        lifted = grid.coarsened(LIFT)
        cells, masks = [], []
        for camera, pose in ((rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)):
            column, row, _, visible = _project(lifted, camera, pose, device)
            masks.append(visible)
            cell = row // FINEST * (width // FINEST) + column // FINEST
            cells.append(torch.where(visible, cell, 0).long())
        column, row, depth, visible = _project(grid, rig.left, rig.left_from_grid, device)
        points = _camera_points(lifted, rig.left_from_grid, device)
        scale = torch.tensor(POSITION_SCALE, device=device)
        k = rig.left.projection
        return cls(
            lifted.size,
            torch.stack(cells),
            torch.stack(masks),
            torch.where(visible, row * width + column, 0).long(),
            torch.where(visible, depth, torch.nan),
            torch.cat([(points / scale).T, masks[0][None].float()]).reshape(4, *lifted.size),
            _sampling_positions(config, points, rig.left).reshape(*lifted.size, 3),
            float(k[0, 0]) * rig.baseline,
            float(k[0, 0] * k[1, 1]) * grid.resolution**2,
        )

    def to(self, device: torch.device | str) -> EdgeGeometry:
        """Return the same tables on another device."""

        def move(value: Any) -> Any:
            return value.to(device) if isinstance(value, torch.Tensor) else value

        return EdgeGeometry(**{f.name: move(getattr(self, f.name)) for f in fields(self)})


def _camera_points(grid: VoxelGrid, camera_from_grid: Matrix, device: torch.device | str) -> torch.Tensor:
    """Return the voxel centres in a camera's optical frame, `[N, 3]` float32, metres."""
    steps = [torch.from_numpy(grid.axis_centers(axis)).to(device) for axis in range(3)]
    pose = torch.from_numpy(np.ascontiguousarray(camera_from_grid)).to(device)
    # the position is linear in the indices: sums of three rows replace products for all centres
    x, y, z = (step[:, None] * pose[None, :3, axis] for axis, step in enumerate(steps))
    # the sum with the lowest layer is computed in float64, in which a far origin cancels against the pose
    plane = (x[:, None] + y[None] + z[0] + pose[:3, 3]).float()
    return (plane[:, :, None] + (z - z[0]).float()[None, None]).reshape(-1, 3)


def _project(
    grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the pixel column and row (int32), depth (metres) and visibility of all voxel centres, `[N]` each."""
    points = _camera_points(grid, camera_from_grid, device)
    k = camera.intrinsics
    depth = points[:, 2]
    inverse = depth.clamp_min(1e-3).reciprocal()
    column = (points[:, 0] * inverse * float(k[0, 0]) + float(k[0, 2])).round()
    row = (points[:, 1] * inverse * float(k[1, 1]) + float(k[1, 2])).round()
    visible = (depth > 0.1) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    column = torch.where(visible, column, 0).int()
    row = torch.where(visible, row, 0).int()
    return column, row, depth, visible


def _sampling_positions(config: EdgeConfig, points: torch.Tensor, camera: PinholeCamera) -> torch.Tensor:
    """Return the normalised position (u, v, bin) of points in the left depth distribution at scale 1/8, `[N, 3]`.

    The cells of the map are 8 pixels wide, and the centre of pixel (0, 0) lies half a pixel inside the first cell.
    """
    height, width = config.image
    k = camera.intrinsics
    depth = points[:, 2].clamp_min(0.1)
    u = (points[:, 0] / depth * float(k[0, 0]) + float(k[0, 2]) + 0.5) / width * 2 - 1
    v = (points[:, 1] / depth * float(k[1, 1]) + float(k[1, 2]) + 0.5) / height * 2 - 1
    bins = config.depth
    position = torch.from_numpy(bins.position(depth.double().cpu().numpy())).to(points.device).float()
    normalized = torch.stack([u, v, position / bins.count * 2 - 1], 1)
    # points behind the camera sample outside; the limit keeps far positions within the integer range of the sampler
    normalized[(points[:, 2] <= 0.1) | ~normalized.isfinite().all(1)] = -3.0
    return normalized.clamp(-3, 3)
