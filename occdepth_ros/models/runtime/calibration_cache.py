"""Tables of calibrations, kept for the most recent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid

Tables = TypeVar("Tables")


class CalibrationCache(Generic[Tables]):
    """Tables by rig and grid.

    Args:
        size: number of calibrations whose tables are kept; the oldest is dropped first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tables: dict[tuple[str, VoxelGrid], Tables] = {}

    def get(self, rig: StereoRig, grid: VoxelGrid, make: Callable[[], Tables]) -> Tables:
        """Return the tables of an equal earlier calibration, or compute them with `make`."""
        key = rig.fingerprint, grid
        if key not in self._tables:
            tables = make()
            self._tables = dict(list(self._tables.items())[max(0, len(self._tables) + 1 - self._size) :])
            self._tables[key] = tables
        return self._tables[key]
