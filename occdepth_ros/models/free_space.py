"""Limits the free space of any predictor to space that unambiguous stereo matches support."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import FreeSpace, ImageArray, Occupancy
from occdepth_ros.stereo.free_space.guard import FreeSpaceGuard
from occdepth_ros.stereo.free_space.periodic_texture import PeriodicTexture
from occdepth_ros.stereo.occupancy import StereoOccupancy

NOTHING_M = np.float32(1e-3)
"""Depth up to which a ray without any measurement may be free, metres."""


class FreeSpaceSupport:
    """Limits predictions of one calibration.

    Args:
        rig: the calibrated cameras.
        grid: the voxels of the prediction.
        kind: limits that the predictor applies itself.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, kind: FreeSpace) -> None:
        self._rig, self._grid, self._kind = rig, grid, kind
        self._periodic = PeriodicTexture(rig, grid)
        self._stereo = StereoOccupancy(rig, grid) if kind is FreeSpace.UNSUPPORTED else None

    @cached_property
    def _guard(self) -> FreeSpaceGuard:
        # projects all voxels; a predictor that limits itself needs it for periodic texture only
        return FreeSpaceGuard(self._rig, self._grid)

    def apply(
        self, result: Occupancy, left: ImageArray, right: ImageArray, blind: npt.NDArray[np.bool_] | None = None
    ) -> float:
        """Limit one prediction in place.

        Free voxels without matches around their pixel become unknown, as do free voxels behind the nearest surface that
        is consistent with an ambiguous match. Ambiguous pixels lose their depth.

        Args:
            result: the prediction.
            left, right: its images, `[H, W, 3]` RGB uint8, of the rig's size.
            blind: pixels of the left image that do not show the scene, `[h, w]`; nothing is free behind them.

        Returns:
            share of the left image whose match is ambiguous.
        """
        volumes = result.labels, result.confidence, result.visibility
        if self._kind is not FreeSpace.SUPPORTED:
            matched: npt.NDArray[np.bool_] = np.isfinite(result.depth)
            if self._stereo is not None:
                small = (self._stereo.resized(image) for image in (left, right))
                matched = self._stereo.match(*small)[0] >= 0
            volumes = self._guard.applied(*volumes, matched)
        ambiguity = self._periodic.find(left, right, result.depth)
        limits = [ambiguity.nearest_m] if ambiguity.share > 0 else []
        if blind is not None:
            limits.append(np.where(blind, NOTHING_M, np.float32(np.inf)).astype(np.float32))
        for nearest_m in limits:
            volumes = self._guard.limited(*volumes, nearest_m)
            is_ambiguous = np.isfinite(nearest_m).astype(np.uint8)
            height, width = result.depth.shape
            wide = cv2.resize(is_ambiguous, (width, height), interpolation=cv2.INTER_NEAREST)
            result.depth = np.where(wide > 0, np.float32(np.nan), result.depth)
        result.labels, result.confidence, result.visibility = volumes
        return ambiguity.share
