"""Tables of one calibration: projection of the voxels of the grid into the left image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import LIFT
from occdepth_ros.models.edge_bev.image_network import STRIDE
from occdepth_ros.models.edge_bev.loops.pixels import write_pixels

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int32]

POSITION_SCALE_M = (50.0, 25.0, 3.0)
"""Divisors of the positions: forward, right, down."""
POSITION_REACH = 1.27
"""Position at which its channel saturates."""


@dataclass(frozen=True)
class BevTables:
    """Projection tables; V lifted voxels lie in view, indexed in C order of (x, y, z) of the lifted grid.

    Args:
        size: lifted voxels along x, y, z.
        rows: flat index of the lifted voxels whose centre is in the left image, `[V]` int64, ascending.
        row_of: position in `rows` of every lifted voxel, `[N]`; -1 outside the image.
        column: flat index of their lifted column, `[V]` int64.
        layer_centre: height of their centres above the grid's lower face, `[V]`, voxel edges.
        pixel: flat pixel of each of the eight voxels in the image of width `width`, `[V, 8]` int32; `width * height`
            outside the image.
        depth: z of each of the eight voxels in the left camera, `[V, 8]`, metres.
        centre: flat pixel of the centre of the lifted voxels, `[V]` int64.
        centre_depth: z of their centres in the left camera, `[V]`, metres.
        cell: flat cell of the lifted voxel in the maps of the image network, `[V]` int64.
        position: forward, right and down of the lifted voxels in the left camera over `POSITION_SCALE_M`, `[V, 3]`.
        foot: lower face of every column of the grid in the left camera, `[3, X, Y]`, metres.
        up: one voxel edge along the grid's z axis in the left camera, `[3]`, metres.
        shown: whether at least one lifted voxel of a lifted column is in the image, `[X/2, Y/2]`.
        width, height: image size, pixels.
        cells: cells along the width of the maps of the image network.
        focal: focal lengths and principal point fx, fy, cx, cy, pixels.
        focal_baseline: product of depth and disparity, pixel metres.
        resolution: voxel edge of the prediction, metres.
        face: number of pixels covered by the face of a voxel, times depth squared.
    """

    size: tuple[int, int, int]
    rows: torch.Tensor
    row_of: npt.NDArray[np.int64]
    column: torch.Tensor
    layer_centre: torch.Tensor
    pixel: torch.Tensor
    depth: torch.Tensor
    centre: torch.Tensor
    centre_depth: torch.Tensor
    cell: torch.Tensor
    position: torch.Tensor
    foot: Floats
    up: Floats
    shown: npt.NDArray[np.bool_]
    width: int
    height: int
    cells: int
    focal: tuple[float, float, float, float]
    focal_baseline: float
    resolution: float
    face: float

    @cached_property
    def lifted_foot(self) -> tuple[Floats, Floats, Floats]:
        """Forward and right position of the lifted columns' lower faces in the left camera, and their horizontal
        distance, over `POSITION_SCALE_M`, `[X/2, Y/2]` each."""
        _, x, y = self.foot.shape
        right, _, forward = self.foot.reshape(3, x // LIFT, LIFT, y // LIFT, LIFT).mean((2, 4))
        distance = np.hypot(right, forward) / POSITION_SCALE_M[0]
        return forward / POSITION_SCALE_M[0], right / POSITION_SCALE_M[1], distance

    @classmethod
    def of_rig(cls, rig: StereoRig, grid: VoxelGrid, image: tuple[int, int]) -> BevTables:
        """Compute the tables of a rig whose images fit into the network's image.

        Args:
            rig: cameras of the resized images.
            grid: voxels of the prediction.
            image: height and width of the network's image, pixels.
        """
        camera, pose = rig.left, rig.left_from_grid
        lifted = grid.coarsened(LIFT)
        centre = _camera_points(lifted, pose)
        column, row, visible = _pixels(centre, camera)
        rows = np.flatnonzero(visible)
        z = rows % lifted.size[2]
        corner = np.stack(np.meshgrid((0, 1), (0, 1), (0, 1), indexing="ij"), -1).reshape(-1, 3)
        points = centre[rows][:, None] + (corner - 0.5) * grid.resolution @ pose[:3, :3].T
        fine_column, fine_row, fine_visible = _pixels(points, camera)
        cells = image[1] // STRIDE
        k = camera.intrinsics
        row_of = np.full(lifted.count, -1)
        row_of[rows] = np.arange(len(rows))
        depth, outside = torch.from_numpy(points[..., 2].astype(np.float32)), camera.width * camera.height
        xs, ys = (grid.axis_centers(axis) for axis in range(2))
        lower = np.stack([np.broadcast_to(xs[:, None], grid.size[:2]), np.broadcast_to(ys, grid.size[:2])], 2)
        lower = np.concatenate([lower, np.full((*grid.size[:2], 1), grid.origin[2])], 2)
        return cls(
            lifted.size,
            torch.from_numpy(rows),
            row_of,
            torch.from_numpy(rows // lifted.size[2]),
            torch.from_numpy((z * LIFT + LIFT / 2).astype(np.float32)),
            torch.from_numpy(np.where(fine_visible, fine_row * camera.width + fine_column, outside)).int(),
            depth,
            torch.from_numpy(row[rows].astype(np.int64) * camera.width + column[rows]),
            torch.from_numpy(centre[rows, 2].astype(np.float32)),
            torch.from_numpy(row[rows].astype(np.int64) // STRIDE * cells + column[rows] // STRIDE),
            torch.from_numpy(
                (centre[rows][:, [2, 0, 1]] / POSITION_SCALE_M).clip(-POSITION_REACH, POSITION_REACH).astype(np.float32)
            ),
            np.moveaxis(lower @ pose[:3, :3].T + pose[:3, 3], 2, 0).astype(np.float32),
            (grid.resolution * pose[:3, 2]).astype(np.float32),
            np.asarray(visible.reshape(lifted.size).any(2), np.bool_),
            camera.width,
            camera.height,
            cells,
            (float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])),
            float(k[0, 0]) * rig.baseline,
            grid.resolution,
            float(k[0, 0] * k[1, 1]) * grid.resolution**2,
        )

    def ground_cells(self, height: Floats) -> Indices:
        """Return the cells of the image network's maps that contain the ground of each column.

        Args:
            height: height of the ground, `[X, Y]`, voxel edges above the grid's lower face.

        Returns:
            flat cell `[X, Y]`; -1 where the ground is not in the image.
        """
        fx, fy, cx, cy = self.focal
        right, down, depth = (foot + up * height for foot, up in zip(self.foot, self.up, strict=True))
        ahead = np.maximum(depth, np.float32(0.1))
        column = np.rint(right * fx / ahead + cx)
        row = np.rint(down * fy / ahead + cy)
        shown = (depth > 0.1) & (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        column, row = (np.where(shown, value, 0).astype(np.int32) for value in (column, row))
        cell: Indices = np.where(shown, row // STRIDE * self.cells + column // STRIDE, -1).astype(np.int32)
        return cell


def _camera_points(grid: VoxelGrid, camera_from_grid: Matrix) -> npt.NDArray[np.float64]:
    """Return the voxel centres in a camera's optical frame, `[N, 3]`, metres."""
    axes = [grid.axis_centers(axis)[:, None] * camera_from_grid[None, :3, axis] for axis in range(3)]
    points = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None] + camera_from_grid[:3, 3]
    return points.reshape(-1, 3)


def _pixels(
    points: npt.NDArray[np.float64], camera: PinholeCamera
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return pixel column, pixel row and visibility of points `[..., 3]`; column and row are 0 where invisible."""
    k = camera.intrinsics
    focal = np.array((k[0, 0], k[1, 1], k[0, 2], k[1, 2]), np.float64)
    flat = points.reshape(-1, 3)
    column, row = np.zeros((2, len(flat)), np.int32)
    visible = np.empty(len(flat), bool)
    write_pixels(flat, focal, camera.width, camera.height, column, row, visible)
    shape = points.shape[:-1]
    return column.reshape(shape), row.reshape(shape), visible.reshape(shape)
