"""Voxel features without training: position, stereo matching at the voxel, and colour of its pixel."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.stereo.matching import STEPS, SemiGlobalMatcher
from occdepth_ros.stereo.projection import project_voxels
from occdepth_ros.stereo.surface import SurfaceBinning

Features = npt.NDArray[np.float32]

BOXES = (3, 7, 15)
"""Edges of the boxes in which surface points are counted, voxels."""
NEAREST_M = 3.0
MAX_DIFFERENCE_PX = 64.0
"""Bound of the disparity difference, pixels."""

NAMES = (
    "x",
    "y",
    "z",
    "depth_error",
    "disparity_error",
    *(f"surface_{box}" for box in BOXES),
    "red",
    "green",
    "blue",
)


class VoxelFeatures:
    """Features of all voxels of a grid for one rig; NaN for voxels that are out of view or have an unmatched pixel.

    The features are: position in metres; depth of semi-global matching at the voxel's pixel minus the voxel's depth, in
    metres and as disparity; logarithm of 1 + the number of surface points in boxes around the voxel; mean colour of 5x5
    pixels.

    Args:
        rig: the calibrated cameras.
        grid: the voxels.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid) -> None:
        self._grid = grid
        self._matcher = SemiGlobalMatcher(rig, nearest_m=NEAREST_M)
        self._binning = SurfaceBinning(rig, grid, self._matcher.focal_baseline)
        pixels = project_voxels(grid, rig.left, rig.left_from_grid)
        self._visible = np.flatnonzero(pixels.visible)
        self._pixel = (pixels.row * rig.left.width + pixels.column)[self._visible]
        self._depth = pixels.depth[self._visible].astype(np.float32)

    def of(self, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> Features:
        """Return the features of one rectified pair `[H, W, 3]` RGB, `[X*Y*Z, len(NAMES)]`."""
        disparity = self._binning.without_near_speckles(self._matcher.match(left, right))
        out = np.full((self._grid.count, len(NAMES)), np.nan, np.float32)
        out[:, :3] = self._grid.centers()
        matched_depth = self._matcher.depth(disparity).ravel()[self._pixel]
        out[self._visible, 3] = matched_depth - self._depth
        product = np.float32(self._matcher.focal_baseline)
        error = product / self._depth - np.maximum(disparity.ravel()[self._pixel], 0) / np.float32(STEPS)
        error[np.isnan(matched_depth)] = np.nan
        out[self._visible, 4] = np.clip(error, -MAX_DIFFERENCE_PX, MAX_DIFFERENCE_PX)
        points = self._binning.points(disparity).voxel
        hits = np.bincount(points, minlength=self._grid.count).astype(np.float32).reshape(self._grid.size)
        for place, box in enumerate(BOXES, 5):
            total = uniform_filter(hits, box, mode="constant") * np.float32(box**3)
            out[:, place] = np.log1p(np.maximum(total, 0)).ravel()
        colors = np.asarray(cv2.blur(left, (5, 5))).reshape(-1, 3)
        out[self._visible, 5 + len(BOXES) :] = colors[self._pixel]
        return out
