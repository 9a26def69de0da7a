"""Approximate classes from the height above the ground and the pixel colour, by fixed rules.

The rules, which were chosen on frames of KITTI, are:

* green ground is terrain, other ground is road;
* green or dark obstacles are vegetation;
* grey obstacles are cars if nothing within two columns is taller than a car, else buildings.

In grey images, ground is road and obstacles are vegetation.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.compiled import compiled
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
NEAREST_M = 0.1
"""Smallest depth of a voxel's centre, metres."""
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
        grid_from_index = np.eye(4)
        grid_from_index[:3, :3] *= grid.resolution
        grid_from_index[:3, 3] = np.asarray(grid.origin) + grid.resolution / 2
        self._pixel_from_index = rig.left.intrinsics @ (rig.left_from_grid @ grid_from_index)[:3]
        self._size = np.asarray(grid.size)
        self._image = np.array([rig.left.height, rig.left.width])
        # compiles the loop, or loads it, which takes up to seconds
        write_pixels(np.zeros(1, np.intp), self._size, self._pixel_from_index, self._image, np.empty(1, np.int32))

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
        pixel = np.empty(len(voxels), np.int32)
        write_pixels(voxels, self._size, self._pixel_from_index, self._image, pixel)
        color = np.asarray(smooth).reshape(-1, 3)[pixel].astype(np.float32)
        total = color.sum(1) + np.float32(1)
        return (3 * color[:, 1] - total) / total, total / 3


@compiled
def write_pixels(voxels: Any, size: Any, pixel_from_index: Any, image: Any, out: Any) -> None:
    """Write the flat index of the pixel at each voxel's centre, or of the nearest one if it is outside the image.

    Args:
        voxels: flat indices, `[N]`.
        size: of the grid, `[3]`.
        pixel_from_index: homogeneous pixel coordinates by voxel index, `[3, 4]`; the last one is the depth, metres.
        image: height and width, pixels.
        out: `[N]` int32.
    """
    m = pixel_from_index
    for i in range(len(voxels)):
        column, z = divmod(voxels[i], size[2])
        x, y = divmod(column, size[1])
        depth = max(m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3], NEAREST_M)
        u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / depth
        v = (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / depth
        row = min(max(np.rint(v), 0), image[0] - 1)
        out[i] = int(row) * image[1] + int(min(max(np.rint(u), 0), image[1] - 1))
