"""What proposals are, and what they are made of: the joints that depth and networks plug into."""

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
    """Makes metric depth from a rectified pair."""

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Depth:
        """Depth of the left image.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            rig: the calibrated cameras.
            grid: the voxels that the depth is for.

        Returns:
            `[h, w]` float32 metres along the optical axis, NaN where there is none; the whole image at its own size
            or a smaller one.

        Raises:
            CalibrationError, GridError, ModelError: the rig or the grid cannot be used.
        """


@runtime_checkable
class ProposalSource(Protocol):
    """Says which voxels of twice the grid's edge are worth a query."""

    def __call__(self, left: ImageArray, right: ImageArray, rig: StereoRig, grid: VoxelGrid) -> Proposals:
        """Proposals from one rectified pair, and from earlier ones where the source remembers them.

        Args:
            left, right: `[H, W, 3]` RGB uint8, of the rig's size.
            rig: the calibrated cameras.
            grid: the voxels of the prediction, even numbers of them.

        Returns:
            `[X/2, Y/2, Z/2]` bool.

        Raises:
            CalibrationError, GridError, ModelError: the rig or the grid cannot be used.
        """

    def place(self, world_from_grid: Matrix | None) -> None:
        """Say where the grid's frame is when the next pair is taken.

        Args:
            world_from_grid: its pose in a frame that does not move, `[4, 4]`; None = not known, which ends the memory.
        """
