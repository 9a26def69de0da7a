"""Earlier images of a drive for networks with temporal input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.errors import GridError


@dataclass(frozen=True)
class PosedPair:
    """One earlier pair of the rig, for networks with a memory.

    Args:
        left, right: rectified pair, `[H, W, 3]` RGB uint8 each.
        world_from_grid: pose of the grid's frame in a fixed frame at the time of the pair, `[4, 4]`, metres.
    """

    left: npt.NDArray[np.uint8]
    right: npt.NDArray[np.uint8]
    world_from_grid: Matrix


@dataclass(frozen=True)
class EarlierView:
    """One earlier image of the left camera (for MonoOcc's privileged branch).

    Args:
        image: `[H, W, 3]` RGB uint8.
        camera: camera of the image, with its projection relative to the rig's reference frame.
        moved: `[4, 4]` pose of the reference frame at the time of the scene in the reference frame at the time of the
            image, metres.

    Raises:
        GridError: the image does not have the size of the camera, or the pose is not a finite `[4, 4]`.
    """

    image: npt.NDArray[np.uint8]
    camera: PinholeCamera
    moved: Matrix

    def __post_init__(self) -> None:
        expected = (self.camera.height, self.camera.width, 3)
        if self.image.shape != expected or self.image.dtype != np.uint8:
            raise GridError(
                f"an earlier image is {self.image.dtype} {self.image.shape}, not uint8 {expected}", where="earlier"
            )
        if self.moved.shape != (4, 4) or not np.isfinite(self.moved).all():
            raise GridError("the pose of an earlier image is not a finite [4, 4] matrix", where="earlier")

    def camera_from_grid(self, rig: StereoRig) -> Matrix:
        """Return the pose of the grid's frame in the camera's frame at the time of the image, `[4, 4]`.

        Args:
            rig: rig of the scene.
        """
        return self.camera.from_reference @ self.moved @ rig.reference_from_grid

    @classmethod
    def of_poses(
        cls, image: npt.NDArray[np.uint8], rig: StereoRig, world_from_now: Matrix, world_from_then: Matrix
    ) -> EarlierView:
        """Return the view of the left camera of a rig, from two poses of the grid's frame in the world.

        Args:
            image: `[H, W, 3]` RGB uint8.
            rig: rig of the scene.
            world_from_now, world_from_then: `[4, 4]` poses at the time of the scene and of the image, metres.

        Raises:
            GridError: as the constructor.
        """
        reference_from_grid = rig.reference_from_grid
        between = np.linalg.inv(world_from_then) @ world_from_now
        return cls(image, rig.left, reference_from_grid @ between @ np.linalg.inv(reference_from_grid))
