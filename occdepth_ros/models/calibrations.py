"""Tables of calibrations, computed once and kept for the most recent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from occdepth_ros.camera import StereoRig
from occdepth_ros.grid import VoxelGrid

Tables = TypeVar("Tables")


class RecentCalibrations(Generic[Tables]):
    """What was computed for the last calibrations, by rig and grid.

    Args:
        kept: so many of them, those computed last.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._tables: dict[tuple[str, VoxelGrid], Tables] = {}

    def of(self, rig: StereoRig, grid: VoxelGrid, make: Callable[[], Tables]) -> Tables:
        """The tables of this calibration: those of an earlier, equal one, or what `make` computes."""
        key = rig.fingerprint, grid
        if key not in self._tables:
            tables = make()
            self._tables = dict(list(self._tables.items())[max(0, len(self._tables) + 1 - self._kept) :])
            self._tables[key] = tables
        return self._tables[key]
