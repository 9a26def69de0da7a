"""Computation of labels, confidence and visibility from class logits and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.visibility_loop import compare, tabulate
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.projection import project_voxels

VOXELS = 16384
"""Voxels per chunk on a CPU, which fit its cache."""


def labels_and_confidence(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the most likely class and its probability.

    Args:
        logits: `[n_classes, X, Y, Z]`.

    Returns:
        labels `[X, Y, Z]` uint8, and probability times 255, rounded, `[X, Y, Z]` uint8.
    """
    if logits.device.type == "cpu" and logits.stride(0) == 1:
        return _labels_by_chunk(logits)
    best, labels = logits.max(dim=0)
    probability = (best.float() - logits.float().logsumexp(dim=0)).exp()
    return labels.to(torch.uint8).contiguous(), (probability * 255).round().to(torch.uint8).contiguous()


def _labels_by_chunk(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute `labels_and_confidence` of logits with classes innermost, transposed in chunks that fit the cache."""
    rows = logits.movedim(0, -1).flatten(0, 2)  # [N, n_classes]
    labels, confidence = (torch.empty(len(rows), dtype=torch.uint8) for _ in range(2))
    for start in range(0, len(rows), VOXELS):
        part = slice(start, start + VOXELS)
        classes = rows[part].T.clone(memory_format=torch.contiguous_format).float()
        best, index = classes.max(dim=0)
        labels[part] = index
        confidence[part] = (255 / classes.sub_(best).exp_().sum(dim=0)).round_()
    return labels.view(logits.shape[1:]), confidence.view(logits.shape[1:])


@dataclass(frozen=True)
class VisibilityTable:
    """Projection of the predicted voxels into the left image.

    Args:
        pixel: flat pixel index y * width + x, `[X, Y, Z]` int32, 0 outside the view.
        nearest: depth of the nearest surface that does not hide the voxel: z of its centre minus half of its diagonal,
            since the surface may intersect the voxel; infinite outside the view, `[X, Y, Z]` float32, metres.
        unseen: `Visibility` of a voxel that is not seen: `HIDDEN`, or `OUTSIDE` the view, `[X, Y, Z]` uint8.
        width: width of the camera's image, pixels.
    """

    pixel: torch.Tensor
    nearest: torch.Tensor
    unseen: torch.Tensor
    width: int

    @classmethod
    def of_camera(cls, grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix) -> VisibilityTable:
        """Return the table of one camera; `camera_from_grid` is the pose of the grid's frame in it, `[4, 4]`."""
        found = project_voxels(grid, camera, camera_from_grid)
        tables = np.empty(grid.count, np.int32), np.empty(grid.count, np.float32), np.empty(grid.count, np.uint8)
        margin = grid.resolution * 3**0.5 / 2
        tabulate(found.column, found.row, found.depth, found.visible, camera.width, margin, *tables)
        pixel, nearest, unseen = (torch.from_numpy(table.reshape(grid.size)) for table in tables)
        return cls(pixel, nearest, unseen, camera.width)

    def to(self, device: torch.device | str) -> VisibilityTable:
        """Return the same table on another device."""
        return VisibilityTable(self.pixel.to(device), self.nearest.to(device), self.unseen.to(device), self.width)

    def classify(self, surface: torch.Tensor) -> torch.Tensor:
        """Compare every voxel with the surface in its pixel.

        Args:
            surface: depth of the left image, `[H, W]`, at least as large as the camera's image, metres; NaN =
                none.

        Returns:
            `[X, Y, Z]` uint8, values of `Visibility`.
        """
        surface = surface.to(self.nearest.device)[:, : self.width].flatten()
        pixel, nearest, unseen = (table.flatten() for table in (self.pixel, self.nearest, self.unseen))
        if pixel.device.type == "cpu":
            out = torch.empty_like(unseen)
            compare(*(values.numpy() for values in (surface, pixel, nearest, unseen, out)))
        else:
            seen = (nearest <= surface.index_select(0, pixel)).view(torch.uint8)
            out = torch.sub(unseen, seen, alpha=int(Visibility.HIDDEN - Visibility.SEEN))
        return out.view(self.pixel.shape)
