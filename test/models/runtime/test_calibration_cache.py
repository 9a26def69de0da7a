"""Tables of calibrations are computed once; the oldest are dropped first."""

from __future__ import annotations

import numpy as np

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.runtime.calibration_cache import CalibrationCache

GRID = VoxelGrid((0.0, 0.0, 0.0), (16, 16, 16), 0.2)


def rig(focal: float) -> StereoRig:
    left = np.array([[focal, 0, 32, 0], [0, focal, 16, 0], [0, 0, 1, 0]], float)
    right = left.copy()
    right[0, 3] = -0.5 * focal
    return StereoRig(PinholeCamera(left, 64, 32), PinholeCamera(right, 64, 32), np.eye(4))


def test_dropped_tables_are_computed_again() -> None:
    recent: CalibrationCache[float] = CalibrationCache(2)
    made: list[float] = []

    def tables_of(focal: float) -> float:
        def make() -> float:
            made.append(focal)
            return focal

        return recent.get(rig(focal), GRID, make)

    assert [tables_of(f) for f in (50.0, 60.0, 50.0, 60.0)] == [50.0, 60.0, 50.0, 60.0]
    assert made == [50.0, 60.0]
    assert [tables_of(f) for f in (70.0, 60.0, 50.0)] == [70.0, 60.0, 50.0]
    assert made == [50.0, 60.0, 70.0, 50.0]
