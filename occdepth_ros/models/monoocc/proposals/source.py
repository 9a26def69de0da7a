"""Types of depth and proposals, and the protocols of their sources."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import ImageArray

Depth = npt.NDArray[np.float32]
Proposals = npt.NDArray[np.bool_]
Volume = npt.NDArray[np.bool_]


class DepthSource(Protocol):
    """Computes metric depth from a rectified pair."""

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Depth:
        """Return the depth of the left image.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            rig: the calibrated cameras.
            grid: grid for which the depth is computed.

        Returns:
            `[h, w]` float32 metres along the optical axis, NaN = no depth; the whole image at full or reduced size.

        Raises:
            CalibrationError, GridError, ModelError: the rig or the grid cannot be used.
        """


@runtime_checkable
class ProposalSource(Protocol):
    """Proposes the voxels, with twice the edge of the grid's voxels, that the network queries."""

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Proposals:
        """Return the proposals from one rectified pair, and from earlier pairs if the source is stateful.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            rig: the calibrated cameras.
            grid: grid of the prediction, with even sizes.

        Returns:
            `[X/2, Y/2, Z/2]` bool.

        Raises:
            CalibrationError, GridError, ModelError: the rig or the grid cannot be used.
        """

    def set_pose(self, world_from_grid: Matrix | None) -> None:
        """Set the pose of the grid's frame at the time of the next pair.

        Args:
            world_from_grid: pose in a fixed frame, `[4, 4]`; None = unknown, the earlier pairs are dropped.
        """
