"""Small predictions and poses for the tests of the map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.mapping import MapConfig
from occdepth_ros.prediction import OccupancyPrediction, Visibility
from occdepth_ros.rotation import from_roll_pitch_yaw

GRID = VoxelGrid((0.0, -1.6, -0.8), (16, 16, 8), 0.2)
SMALL = MapConfig(size=(48, 48, 32), max_bytes=2 << 20)
CAR, ROAD, SIDEWALK, BUILDING = 1, 9, 11, 13
SEEN, HIDDEN = int(Visibility.SEEN), int(Visibility.HIDDEN)


def predict(
    labels: npt.NDArray[np.uint8] | int, visibility: int = SEEN, *, at_s: float = 0.0, grid: VoxelGrid = GRID
) -> OccupancyPrediction:
    array = np.full(grid.size, labels, np.uint8) if isinstance(labels, int) else labels
    return OccupancyPrediction(
        grid,
        array,
        np.where(array == UNKNOWN, 0, 250).astype(np.uint8),
        np.full(grid.size, visibility, np.uint8),
        np.full((1, 1), np.nan, np.float32),
        stamp_ns=round(at_s * 1e9),
    )


def pose(
    x: float = 0.0, y: float = 0.0, z: float = 0.0, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0
) -> npt.NDArray[np.float64]:
    out = np.eye(4)
    out[:3, :3] = from_roll_pitch_yaw(roll, pitch, yaw)
    out[:3, 3] = x, y, z
    return out


def street(seed: int) -> npt.NDArray[np.uint8]:
    """A road between walls, and random unknown voxels."""
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :, :2] = ROAD
    labels[:, :2, 2:] = BUILDING
    labels[np.random.default_rng(seed).random(GRID.size) < 0.2] = UNKNOWN
    return labels
