"""Tables of OccDepth for one calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import DepthBins, OccDepthConfig
from occdepth_ros.stereo.projection import pattern_pixels, project_voxels, rebased

View = tuple[PinholeCamera, Matrix]
"""A camera, and the pose of the grid's frame in its optical frame."""


@dataclass(frozen=True)
class SceneGeometry:
    """Tables of one calibration: V views, N lifted voxels in C order, P pattern pixels.

    Args:
        size: lifted voxels along x, y, z.
        pixels: flat pixel index in the map of each 2-D scale, `[V, N, P]` int64, 0 where invisible.
        visible: whether the pattern pixel is in the image and before the camera, `[V, N, P]` bool.
        camera_scalar: 1000 sqrt(1/fx² + 1/fy²), `[V]`.
        oad_grid: sampling positions of voxels in the depth distribution, `[V, X, Y, Z, 3]`; None without depth module.
        oad_inside: share of each sample that lies in bounds, summed over the views, `[X, Y, Z]`; None for one view.
    """

    size: tuple[int, int, int]
    pixels: dict[int, torch.Tensor]
    visible: torch.Tensor
    camera_scalar: torch.Tensor
    oad_grid: torch.Tensor | None = None
    oad_inside: torch.Tensor | None = None

    @classmethod
    def of_rig(cls, config: OccDepthConfig, rig: StereoRig, grid: VoxelGrid) -> SceneGeometry:
        """Return the tables of a stereo rig with the network's image size."""
        views = [(rig.left, rig.left_from_grid), (rig.right, rig.right_from_grid)][: config.views]
        return cls.of_views(config, views, grid)

    @classmethod
    def of_views(cls, config: OccDepthConfig, views: Sequence[View], grid: VoxelGrid) -> SceneGeometry:
        """Return the tables of any calibrated views.

        Args:
            config: the network.
            views: cameras (their sizes may be smaller than the network's image, never larger) and poses.
            grid: the voxels to predict, at full resolution.
        """
        height, width = config.image
        lifted = grid.coarsened(config.project_scale)
        pixels: dict[int, list[npt.NDArray[np.int64]]] = {scale: [] for scale in config.scales}
        masks = []
        for camera, pose in views:
            found = project_voxels(lifted, camera, pose)
            column, row, visible = pattern_pixels(found, camera, config.pattern)
            masks.append(visible)
            column, row = np.where(visible, column, 0), np.where(visible, row, 0)
            for scale, flat in pixels.items():
                flat.append(row // scale * -(-width // scale) + column // scale)
        scalar = [1e3 * np.hypot(1 / c.intrinsics[0, 0], 1 / c.intrinsics[1, 1]) for c, _ in views]
        oad_grid = oad_inside = None
        if config.depth is not None:
            positions = [sampling_positions(lifted, c, t, config.depth, width, height) for c, t in views]
            oad_grid = torch.from_numpy(np.stack(positions).astype(np.float32))
            if len(views) > 1:
                oad_inside = _in_bounds(oad_grid, (config.depth.count, -(-height // 8), -(-width // 8)))
        return cls(
            lifted.size,
            {scale: torch.from_numpy(np.stack(flat)) for scale, flat in pixels.items()},
            torch.from_numpy(np.stack(masks)),
            torch.tensor(scalar, dtype=torch.float32),
            oad_grid,
            oad_inside,
        )

    def to(self, device: torch.device | str) -> SceneGeometry:
        """Return the same tables on another device."""

        def move(value: object) -> object:
            if isinstance(value, torch.Tensor):
                return value.to(device)
            if isinstance(value, dict):
                return {key: move(item) for key, item in value.items()}
            return value

        return SceneGeometry(**{f.name: move(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]


def sampling_positions(
    grid: VoxelGrid, camera: PinholeCamera, camera_from_grid: Matrix, bins: DepthBins, width: int, height: int
) -> npt.NDArray[np.float64]:
    """Return the normalised position (u, v, bin) of every voxel in the depth distribution, `[X, Y, Z, 3]`.

    Args:
        grid: the lifted voxels.
        camera, camera_from_grid: the view.
        bins: the distribution's bins.
        width, height: size of the network's image, pixels.
    """
    k = camera.intrinsics
    grid, camera_from_grid = rebased(grid, camera_from_grid)
    centers = grid.centers().astype(np.float64)
    points = centers @ camera_from_grid[:3, :3].T + camera_from_grid[:3, 3]
    z = points[:, 2]
    out = np.empty((grid.count, 3))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        out[:, 0] = (points[:, 0] * k[0, 0] / z + k[0, 2]) / (width - 1) * 2 - 1
        out[:, 1] = (points[:, 1] * k[1, 1] / z + k[1, 2]) / (height - 1) * 2 - 1
        out[:, 2] = bins.position(z) / (bins.count - 1) * 2 - 1
    # points behind the camera sample outside; the limit keeps far positions within the integer range of the sampler
    out[(z <= 0) | ~np.isfinite(out).all(axis=1)] = -2.0
    return out.clip(-10.0, 10.0).reshape(*grid.size, 3)


def _in_bounds(grid: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    ones = torch.ones(1, 1, *shape)
    samples = [F.grid_sample(ones, view[None], align_corners=False)[0, 0] for view in grid]
    return torch.stack(samples).sum(dim=0)
