"""A small prediction and its rig, for the tests of the visualization."""

from __future__ import annotations

import numpy as np

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction, Visibility

SMALL = VoxelGrid((0.0, -3.0, -1.0), (24, 24, 8), 0.25)
# optical axes (right, down, forward) in the grid's (forward, left, up)
OPTICAL_FROM_GRID = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def make_rig(width: int = 320, height: int = 96) -> StereoRig:
    focal = 180.0
    left = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -focal * 0.5
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), OPTICAL_FROM_GRID)


def make_prediction(grid: VoxelGrid = SMALL) -> OccupancyPrediction:
    labels = np.zeros(grid.size, np.uint8)
    labels[:, :, :2] = 9
    labels[grid.size[0] // 2 :, : grid.size[1] // 3, 2:5] = 1
    labels[:, -2:, :] = 255
    visibility = np.full(grid.size, Visibility.SEEN, np.uint8)
    visibility[grid.size[0] // 2 :] = Visibility.HIDDEN
    depth = np.full((96, 320), 8.0, np.float32)
    depth[:, :40] = np.nan
    return OccupancyPrediction(grid, labels, np.full(grid.size, 255, np.uint8), visibility, depth, model="test-model")
