"""Approximate classes from the height above the ground and the pixel colour, by fixed rules.

The rules, which were chosen on frames of KITTI, are:

* green ground is terrain, other ground is road;
* green or dark obstacles are vegetation;
* grey obstacles are cars if nothing within two columns is taller than a car, else buildings.

In grey images, ground is road and obstacles are vegetation.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import ImageArray

ROAD, TERRAIN, VEGETATION, CAR, BUILDING = (
    np.uint8(SEMANTIC_KITTI.id_of(name)) for name in ("road", "terrain", "vegetation", "car", "building")
)

GREEN_GROUND = 0.03
"""Excess green, (2 G - R - B) / (R + G + B), from which ground is terrain."""
GREEN_OBSTACLE = 0.05
"""Excess green from which an obstacle is vegetation."""
DARK = 20
"""Mean of the channels below which the hue is unreliable; such obstacles are labelled as vegetation."""
CAR_M = 2.0
"""Largest height of a car above the ground, metres."""


class SurfaceLabels:
    """Labels surface voxels of one calibration.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid) -> None:
        self._grid = grid
        self._camera = rig.left
        self._pose = rig.left_from_grid

    def label(
        self,
        ground: npt.NDArray[np.intp],
        obstacles: npt.NDArray[np.intp],
        above: npt.NDArray[np.floating],
        left: ImageArray,
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Classify surface voxels.

        Args:
            ground: flat indices of ground voxels, `[N]`.
            obstacles: flat indices of the other surface voxels, ascending, `[M]`.
            above: height of the obstacles' centres above the ground, voxel edges, `[M]`.
            left: `[H, W, 3]` RGB uint8.

        Returns:
            class ids of `ground` and of `obstacles`, uint8.
        """
        if np.array_equal(left[::8, ::8, 0], left[::8, ::8, 1]):
            return np.full(len(ground), ROAD), np.full(len(obstacles), VEGETATION)
        smooth = cv2.blur(left, (15, 15))
        green, _ = self._colors(ground, smooth)
        of_ground = np.where(green > GREEN_GROUND, TERRAIN, ROAD)
        green, bright = self._colors(obstacles, smooth)
        grey = np.where(self._tallest(obstacles, above) < CAR_M, CAR, BUILDING)
        return of_ground, np.where((green > GREEN_OBSTACLE) | (bright < DARK), VEGETATION, grey)

    def _tallest(self, voxels: npt.NDArray[np.intp], above: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the height of the tallest obstacle within two columns of each voxel, metres above ground, `[M]`."""
        nx, ny, nz = self._grid.size
        column = voxels // nz
        top = np.zeros(nx * ny, np.float32)
        highest = np.diff(column, append=-1) != 0
        top[column[highest]] = above[highest]
        around = cv2.dilate(top.reshape(nx, ny), np.ones((5, 5), np.uint8)).ravel()
        return np.asarray(around[column] * self._grid.resolution, np.float32)

    def _colors(
        self, voxels: npt.NDArray[np.intp], smooth: cv2.typing.MatLike
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return excess green and brightness of each voxel's pixel in a smoothed image, `[N]` each."""
        index = np.stack(np.unravel_index(voxels, self._grid.size), 1)
        points = self._grid.centers_of(index) @ self._pose[:3, :3].T + self._pose[:3, 3]
        k = self._camera.projection
        depth = np.maximum(points[:, 2], self._grid.resolution)
        column = np.rint(points[:, 0] * k[0, 0] / depth + k[0, 2]).clip(0, self._camera.width - 1).astype(np.intp)
        row = np.rint(points[:, 1] * k[1, 1] / depth + k[1, 2]).clip(0, self._camera.height - 1).astype(np.intp)
        color = smooth[row, column].astype(np.float32)
        total = color.sum(1) + np.float32(1)
        return (3 * color[:, 1] - total) / total, total / 3
