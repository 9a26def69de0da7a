"""Free space from stereo matches: voxels in front of the surfaces that matched pixels show.

Voxels and surfaces are compared by disparity instead of depth. The error of a match is about constant in pixels, so one
margin is valid at all ranges; in metres it is d^2 / (fx * baseline) * sigma (Gallup et al., 2008, eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import SIGMA_PX, STEPS
from occdepth_ros.stereo.projection import rebased

_UNMATCHED = np.iinfo(np.int16).max


@dataclass(frozen=True)
class CarvedSpace:
    """Result of casting the rays of one disparity image through the N voxels in view.

    Args:
        free: rays pass through the voxel, `[N]`.
        unmatched: less than half of the pixels around the voxel's centre are matched, so that its ray has no
            measurement, `[N]`. Disjoint from `free`.
    """

    free: npt.NDArray[np.bool_]
    unmatched: npt.NDArray[np.bool_]


class RayCarver:
    """Carves free space of one calibration.

    A voxel is free if all matches in the window that it covers in the left image lie behind it by at least two
    standard deviations, and at least half of the window is matched. Pixels without a match do not carve. Windows are
    cells of an image pyramid that contain the largest disparity (nearest surface) of their pixels, so that one outlier
    cannot free a voxel and each voxel needs one look-up.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
        focal_baseline: product of depth and disparity, pixel metres.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid, focal_baseline: float) -> None:
        camera = rig.left
        self.grid = grid
        fx, fy = camera.projection[0, 0], camera.projection[1, 1]
        cx, cy = camera.projection[0, 2], camera.projection[1, 2]
        near, exact = rebased(grid, rig.left_from_grid)
        pose = exact.astype(np.float32)
        points = near.centers() @ pose[:3, :3].T + pose[:3, 3]
        z = points[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            column, row = np.rint(points[:, 0] * fx / z + cx), np.rint(points[:, 1] * fy / z + cy)
        in_view = (z > grid.resolution) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        self.in_view = np.flatnonzero(in_view)
        """Flat indices of the voxels whose centre is in the left image, ascending, `[N]`."""
        z = z[in_view]
        footprint = fx * grid.resolution / z
        level = np.clip(np.floor(np.log2(np.maximum(footprint / 3, 1))), 0, 6).astype(np.int64)
        self._shapes, starts = [], []
        height, width, start = camera.height, camera.width, 0
        for _ in range(int(level.max(initial=0)) + 1):
            self._shapes.append((height, width))
            starts.append(start)
            start += height * width
            height, width = (height + 1) // 2, (width + 1) // 2
        self._cells = start
        row_at, column_at = row[in_view].astype(np.int64) >> level, column[in_view].astype(np.int64) >> level
        widths = np.array([shape[1] for shape in self._shapes])
        self._look_up = (np.array(starts)[level] + row_at * widths[level] + column_at).astype(np.intp)
        limit = focal_baseline * STEPS / (z + grid.resolution / 2) - 2 * SIGMA_PX * STEPS
        self._free_below = np.clip(limit, -1, _UNMATCHED - 1).astype(np.int16)

    def carve(self, disparity: npt.NDArray[np.int16]) -> CarvedSpace:
        """Carve along the rays of a disparity image, `[H, W]`, see `SemiGlobalMatcher.match`."""
        nearest = np.empty(self._cells, np.int16)
        matched: cv2.typing.MatLike = 255 * (disparity >= 0).astype(np.uint8)
        start = 0
        for level, (height, width) in enumerate(self._shapes):
            if level:
                disparity = _halved_max(disparity)
                matched = cv2.resize(matched, (width, height), interpolation=cv2.INTER_AREA)
            window = cv2.dilate(disparity, np.ones((3, 3), np.uint8))
            window[cv2.blur(matched, (3, 3)) < 128] = _UNMATCHED
            nearest[start : start + height * width] = window.ravel()
            start += height * width
        found = nearest.take(self._look_up, mode="clip")
        return CarvedSpace(found < self._free_below, found == _UNMATCHED)


def _halved_max(image: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Return the maximum of each 2x2 block; the last row or column of odd sizes is repeated."""
    height, width = image.shape
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    rows = np.maximum(even[0::2], even[1::2])
    return np.maximum(rows[:, 0::2], rows[:, 1::2])
