"""Projection of voxel centres into a camera (OccDepth, section 3.2, first step of Stereo-SFA)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.grid import VoxelGrid


@dataclass(frozen=True)
class VoxelPixels:
    """Where the voxels of a grid fall in one picture; arrays are in C order of the grid's (x, y, z).

    Args:
        column, row: pixel of the voxel centre, `[N]` int64, rounded half to even; may lie outside the picture.
        depth: z of the centre in the camera frame, `[N]` float64, metres.
        visible: inside the picture and in front of the camera, `[N]`.
    """

    column: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    depth: npt.NDArray[np.float64]
    visible: npt.NDArray[np.bool_]


def project_voxels(grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix) -> VoxelPixels:
    """Project all voxel centres of `grid` into `camera`.

    Args:
        grid: the voxels.
        camera: intrinsics and picture size; only fx, fy, cx, cy are used, rounded to float32 as published
            networks were trained with.
        camera_from_grid: pose of the grid's frame in the camera's optical frame, `[4, 4]`.
    """
    k = camera.intrinsics.astype(np.float32).astype(np.float64)
    centers = grid.centers().astype(np.float64)
    points = centers @ camera_from_grid[:3, :3].T + camera_from_grid[:3, 3]
    depth = points[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.rint(points[:, 0] * k[0, 0] / depth + k[0, 2])
        v = np.rint(points[:, 1] * k[1, 1] / depth + k[1, 2])
    visible = (depth > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    limit = float(2**31)
    column = np.nan_to_num(u, nan=-1.0, posinf=limit, neginf=-limit).clip(-limit, limit).astype(np.int64)
    row = np.nan_to_num(v, nan=-1.0, posinf=limit, neginf=-limit).clip(-limit, limit).astype(np.int64)
    return VoxelPixels(column, row, depth, visible)
