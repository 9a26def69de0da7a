"""Computes query proposals from a stereo pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.errors import ModelError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.monoocc.proposals.pseudo_lidar import PseudoLidar, SweepBuffer, voxelize_points
from occdepth_ros.models.monoocc.proposals.semi_global import SemiGlobalDepth
from occdepth_ros.models.monoocc.proposals.source import DepthSource, Proposals, Volume
from occdepth_ros.models.predictor import ImageArray

Refiner = Callable[[Volume, VoxelGrid], Proposals]
"""Occupied voxels `[X, Y, Z]` to proposals `[X/2, Y/2, Z/2]`, such as `models.qpn.refiner.QpnRefiner`."""


class StereoProposals:
    """Proposals from depth, points, earlier pairs and voxels; a `ProposalSource`.

    Args:
        depth: depth source; None = semi-global matching.
        refine: computes proposals from occupied voxels; None = proposals that contain an occupied voxel, dilated by
            `dilation` steps.
        history: number of earlier pairs that are merged with the present pair if `set_pose` set their poses; 9 in the
            published networks.
        min_points: number of points from which a voxel is occupied; 1 in the published networks.
        dilation: without `refine`, number of steps by which proposals are dilated.

    Raises:
        ModelError: a number is negative, or `min_points` is not positive.
    """

    def __init__(
        self,
        depth: DepthSource | None = None,
        refine: Refiner | None = None,
        *,
        history: int = 0,
        min_points: int = 1,
        dilation: int = 0,
    ) -> None:
        for name, value, least in (("history", history, 0), ("min_points", min_points, 1), ("dilation", dilation, 0)):
            if value < least:
                raise ModelError(f"{value} is less than {least}", where=name, remedy=f"Give {least} or more.")
        self._depth: DepthSource = depth or SemiGlobalDepth()
        self._refine = refine
        self._min_points = min_points
        self._dilation = dilation
        self._sweeps = SweepBuffer(history)
        self._rays: tuple[str, PseudoLidar] | None = None
        self._pose: Matrix | None = None

    def set_pose(self, world_from_grid: Matrix | None) -> None:
        """See `ProposalSource`."""
        self._pose = world_from_grid
        if world_from_grid is None:
            self._sweeps.clear()

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Proposals:
        """See `ProposalSource`.

        Raises:
            CalibrationError, GridError, ModelError: the rig or the grid cannot be used.
        """
        occupied = self.measure(left, right, rig, grid)
        if self._refine is not None:
            return self._refine(occupied, grid)
        return dilated(halved(occupied), self._dilation)

    def measure(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Volume:
        """Return the voxels with points of the pair and of stored pairs, `[X, Y, Z]`, and store the pair.

        Raises:
            CalibrationError, GridError, ModelError: as `__call__`.
        """
        depth = self._depth(left, right, rig, grid)
        lidar = self._lidar(rig, (depth.shape[0], depth.shape[1]))
        pose, self._pose = self._pose, None
        return voxelize_points(self._sweeps.merge(lidar.points(depth), pose), grid, min_points=self._min_points)

    def _lidar(self, rig: StereoRig, size: tuple[int, int]) -> PseudoLidar:
        if self._rays is None or self._rays[0] != rig.fingerprint or self._rays[1].size != size:
            self._rays = rig.fingerprint, PseudoLidar(rig, size)
        return self._rays[1]


def halved(volume: Volume) -> Proposals:
    """Return whether any of the eight voxels is set: `[X, Y, Z]` to `[X/2, Y/2, Z/2]`."""
    x, y, z = volume.shape
    return np.asarray(volume.reshape(x // 2, 2, y // 2, 2, z // 2, 2).any(axis=(1, 3, 5)))


def dilated(volume: Proposals, steps: int) -> Proposals:
    """Dilate a volume `[X, Y, Z]` by a cube that reaches `steps` voxels to each side."""
    # a box filter is separable
    for axis in range(3 if steps else 0):
        padded = np.pad(np.moveaxis(volume, axis, 0), ((steps, steps), (0, 0), (0, 0)))
        count = padded.shape[0] - 2 * steps
        along = np.logical_or.reduce([padded[step : step + count] for step in range(2 * steps + 1)])
        volume = np.moveaxis(along, 0, axis)
    return volume
