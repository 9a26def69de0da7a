"""PX4's collision prevention on the sectors: it neither overlooks an obstacle nor flies where nothing was seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from helpers.predictions import predict
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.obstacle_distance import UNKNOWN_CM, sector_distances
from occdepth_ros.prediction import Visibility

GRID = VoxelGrid((-12.8, -12.8, -1.6), (128, 128, 16), 0.2, "base_link")
POLE = 18
MAX_CM = 1200
Distances = npt.NDArray[np.uint16]


def sampled(distances: Distances, degrees: float) -> int:
    """Read the distance of a direction as CollisionPrevention at 001d722: `_addObstacleSensorData` copies sector
    ceil(10 i / 5) to direction i, and `_transformSetpoint` takes direction floor(degrees / 10).
    """
    return int(distances[2 * int(degrees // 10)])


def overlapping(width: float) -> Callable[[Distances, float], int]:
    """Return the reader of later releases: directions of `width` degrees are centred, and take the sectors that overlap
    with them in the order of the message.

    `_enterData`: with one sensor, every known distance replaces the one before.
    """

    def read(distances: Distances, degrees: float) -> int:
        center = round(degrees / width) * width
        found = UNKNOWN_CM
        for sector, distance in enumerate(distances.tolist()):
            apart = abs((5 * sector - center + 180) % 360 - 180)
            if apart < (width + 5) / 2 - 1e-6 and distance != UNKNOWN_CM:
                found = distance
        return found

    return read


READERS = pytest.mark.parametrize("read", [sampled, overlapping(10), overlapping(5)])


def sectors(labels: npt.NDArray[np.uint8], visibility: npt.NDArray[np.uint8]) -> Distances:
    return sector_distances(predict(labels, grid=GRID, visibility=visibility))


@READERS
@given(degrees=st.floats(0, 359.9), metres=st.floats(2, 11))
def test_a_pole_is_found_in_its_direction(
    read: Callable[[Distances, float], int], degrees: float, metres: float
) -> None:
    x, y = metres * np.cos(np.radians(degrees)), -metres * np.sin(np.radians(degrees))
    index, _ = GRID.index_of(np.array([[x, y, 0.0]]))
    labels = np.zeros(GRID.size, np.uint8)
    labels[index[0, 0], index[0, 1]] = POLE
    distances = sectors(labels, np.full(GRID.size, int(Visibility.SEEN), np.uint8))
    center = GRID.centers_of(index)[0]
    towards = float(-np.degrees(np.arctan2(center[1], center[0]))) % 360
    assert read(distances, towards) <= 100 * np.hypot(*center[:2])
    assert read(distances, (towards + 90) % 360) == MAX_CM + 1


@READERS
@given(degrees=st.floats(0, 359.9))
def test_no_direction_is_free_that_was_not_seen(read: Callable[[Distances, float], int], degrees: float) -> None:
    x, y, _ = np.moveaxis(GRID.centers().reshape(*GRID.size, 3), -1, 0)
    apart = np.abs((-np.degrees(np.arctan2(y, x)) - degrees + 180) % 360 - 180)
    labels = np.zeros(GRID.size, np.uint8)
    visibility = np.full(GRID.size, int(Visibility.SEEN), np.uint8)
    labels[apart < 6], visibility[apart < 6] = 255, int(Visibility.OUTSIDE)
    distances = sectors(labels, visibility)
    assert read(distances, degrees) == UNKNOWN_CM
    assert read(distances, (degrees + 90) % 360) == MAX_CM + 1
