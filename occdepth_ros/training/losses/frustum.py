"""Frustum proportion: class shares of the space behind each tile of an image (MonoScene, section 3.4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid

TILES = 8
"""Tiles along each side of an image."""

MIN_SHARE = 1e-12
"""Bound of a predicted share within the logarithm."""


def frustum_tiles(grid: VoxelGrid, views: Sequence[tuple[PinholeCamera, Matrix]], tiles: int = TILES) -> torch.Tensor:
    """Return the image tile of each voxel centre in each view, `[V, X, Y, Z]` int16.

    Tiles are numbered row by row. `tiles²` means no tile: the centre is outside the image, behind the camera, or in a
    tile with the same number as in an earlier view, since a frustum counts a voxel once.

    Args:
        grid: the voxels.
        views: cameras and the pose of the grid's frame in each.
        tiles: tiles along each side.
    """
    none = tiles * tiles
    found = [_tiles_of_view(grid, camera, pose, tiles) for camera, pose in views]
    for i, later in enumerate(found):
        for earlier in found[:i]:
            later[later == earlier] = none
    return torch.from_numpy(np.stack(found))


def _tiles_of_view(grid: VoxelGrid, camera: PinholeCamera, pose: Matrix, tiles: int) -> np.typing.NDArray[np.int16]:
    x, y, z = (grid.axis_centers(axis) for axis in range(3))
    rows = camera.intrinsics @ pose[:3]

    def affine(row: Matrix) -> np.typing.NDArray[np.float32]:
        # in parts, so that the whole volume is read only twice; float32 is precise enough for tiles
        plane = (row[0] * x[:, None] + row[1] * y[None, :] + row[3]).astype(np.float32)
        return plane[:, :, None] + (row[2] * z).astype(np.float32)

    depth = affine(rows[2])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        column = np.rint(affine(rows[0]) / depth)
        line = np.rint(affine(rows[1]) / depth)
    inside = (depth > 0) & (column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height)
    column, line = np.where(inside, column, 0), np.where(inside, line, 0)
    tile = np.floor(line * tiles / camera.height) * tiles + np.floor(column * tiles / camera.width)
    return np.where(inside, tile, tiles * tiles).astype(np.int16)


def frustum_loss(
    probabilities: torch.Tensor, target: torch.Tensor, tiles: torch.Tensor, n_tiles: int = TILES * TILES
) -> torch.Tensor:
    """Return the divergence of predicted from true class shares, averaged over the tiles (equation 6).

    Args:
        probabilities: float32, `[B, C, X, Y, Z]`.
        target: class ids, 255 unknown, `[B, X, Y, Z]`.
        tiles: as `frustum_tiles` returns them, per scene, `[B, V, X, Y, Z]`.
        n_tiles: number of tiles; larger numbers belong to none.

    Returns:
        a scalar, float32; 0 if no tile contains a labelled voxel.
    """
    classes = probabilities.shape[1]
    labelled = target != UNKNOWN
    predicted = torch.zeros(classes, n_tiles + 1, device=probabilities.device)
    true = torch.zeros((n_tiles + 1) * (UNKNOWN + 1), device=probabilities.device)
    for scene in range(len(probabilities)):
        rows, labels = probabilities[scene].flatten(1), target[scene].flatten().long()
        for view in tiles[scene]:
            tile = torch.where(labelled[scene], view, n_tiles).flatten().long()
            predicted = predicted.index_add(1, tile, rows)
            true += torch.bincount(tile * (UNKNOWN + 1) + labels, minlength=len(true))
    shares = predicted[:, :-1].T  # [tiles, C]
    counts = true.reshape(n_tiles + 1, UNKNOWN + 1)[:-1, :classes]
    mass, number = shares.sum(dim=1, keepdim=True), counts.sum(dim=1, keepdim=True)
    used = ((mass > 0) & (number > 0))[:, 0]
    divergence = share_divergence(shares / mass.clamp_min(MIN_SHARE), counts / number.clamp_min(1))
    return torch.where(used, divergence, 0.0).sum() / used.sum().clamp_min(1)


def share_divergence(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return KL(true || predicted) of shares `[..., classes]`, `[...]`; classes with a true share of 0 add 0."""
    logs = true.clamp_min(MIN_SHARE).log() - predicted.clamp_min(MIN_SHARE).log()
    return (true * logs).sum(dim=-1)
