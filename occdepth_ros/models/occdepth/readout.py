"""From the network's outputs to what a user reads: labels, confidence, depth, visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from occdepth_ros.camera import Matrix, PinholeCamera
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import OccDepthConfig
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.projection import project_voxels

VOXELS = 16384
"""Voxels that are read out at a time on a CPU."""


def labels_and_confidence(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Most likely class and its probability.

    Args:
        logits: `[n_classes, X, Y, Z]`.

    Returns:
        labels `[X, Y, Z]` uint8, and probability times 255, rounded, `[X, Y, Z]` uint8.
    """
    if logits.device.type == "cpu" and logits.stride(0) == 1:
        return _by_the_cacheful(logits)
    best, labels = logits.max(dim=0)
    probability = (best.float() - logits.float().logsumexp(dim=0)).exp()
    return labels.to(torch.uint8).contiguous(), (probability * 255).round().to(torch.uint8).contiguous()


def _by_the_cacheful(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`labels_and_confidence` of logits with classes innermost: turned around in parts that stay in the cache."""
    rows = logits.movedim(0, -1).flatten(0, 2)  # [N, n_classes]
    labels, confidence = (torch.empty(len(rows), dtype=torch.uint8) for _ in range(2))
    for start in range(0, len(rows), VOXELS):
        part = slice(start, start + VOXELS)
        classes = rows[part].T.clone(memory_format=torch.contiguous_format).float()
        best, index = classes.max(dim=0)
        labels[part] = index
        confidence[part] = (255 / classes.sub_(best).exp_().sum(dim=0)).round_()
    return labels.view(logits.shape[1:]), confidence.view(logits.shape[1:])


def expected_depth(depth: torch.Tensor | None, config: OccDepthConfig) -> torch.Tensor:
    """Expectation of the first view's depth distribution over its supervised bins.

    Args:
        depth: `[B, V, D, h, w]` at 1/8 of the image; None without depth module.
        config: bins and image size.

    Returns:
        `[H, W]` float32, metres; NaN without depth module.
    """
    height, width = config.image
    if depth is None or config.depth is None:
        return torch.full((height, width), float("nan"))
    bins = config.depth
    centers = torch.from_numpy(bins.centers().astype(np.float32)).to(depth.device)
    coarse = torch.einsum("dhw,d->hw", depth[0, 0].float(), centers)
    full = F.interpolate(coarse[None, None], scale_factor=8.0, mode="bilinear", align_corners=False)[0, 0]
    return full[:height, :width].contiguous()


@dataclass(frozen=True)
class VisibilityTable:
    """Where every predicted voxel lies in the left image.

    Args:
        pixel: flat pixel index y * width + x, `[X, Y, Z]` int32, -1 outside the view.
        depth: z of the voxel's centre, `[X, Y, Z]` float32, metres.
        width: width of the camera's image, pixels.
        margin: by how much a voxel's centre may lie behind the surface that it still belongs to, metres.
    """

    pixel: torch.Tensor
    depth: torch.Tensor
    width: int
    margin: float

    @classmethod
    def of_camera(cls, grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix) -> VisibilityTable:
        """The table of one camera."""
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
