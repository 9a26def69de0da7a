"""From class logits and depth to labels, confidence and visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.projection import project_voxels

VOXELS = 16384
"""Voxels that are read out at a time on a CPU: they fit its cache."""


def labels_and_confidence(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Most likely class and its probability.

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
    """`labels_and_confidence` of logits with classes innermost: transposed in chunks that fit the cache."""
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
    """Where every predicted voxel lies in the left image.

    Args:
        pixel: flat pixel index y * width + x, `[X, Y, Z]` int32, -1 outside the view.
        depth: z of the voxel's centre, `[X, Y, Z]` float32, metres.
        width: width of the camera's image, pixels.
        margin: largest distance of a voxel's centre behind the surface that it belongs to, metres.
    """

    pixel: torch.Tensor
    depth: torch.Tensor
    width: int
    margin: float

    @classmethod
    def of_camera(cls, grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix) -> VisibilityTable:
        """Return the table of one camera; `camera_from_grid` is the pose of the grid's frame in it, `[4, 4]`."""
        found = project_voxels(grid, camera, camera_from_grid)
        pixel = np.where(found.visible, found.row * camera.width + found.column, -1).astype(np.int32)
        return cls(
            torch.from_numpy(pixel.reshape(grid.size)),
            torch.from_numpy(found.depth.astype(np.float32).reshape(grid.size)),
            camera.width,
            # half the voxel's diagonal: the surface cuts the voxel
            grid.resolution * 3**0.5 / 2,
        )

    def to(self, device: torch.device | str) -> VisibilityTable:
        """The same table on another device."""
        return VisibilityTable(self.pixel.to(device), self.depth.to(device), self.width, self.margin)

    def classify(self, surface: torch.Tensor) -> torch.Tensor:
        """Compare every voxel with the surface that its pixel shows.

        Args:
            surface: depth of the left image, `[H, W]`, at least as large as the camera's image, metres; NaN =
                none.

        Returns:
            `[X, Y, Z]` uint8, values of `Visibility`.
        """
        surface = surface.to(self.depth.device)[:, : self.width].flatten()
        reached = self.depth <= surface[self.pixel.clamp_min(0)] + self.margin
        seen = torch.where(reached, int(Visibility.SEEN), int(Visibility.HIDDEN))
        return torch.where(self.pixel < 0, int(Visibility.OUTSIDE), seen).to(torch.uint8)
