"""OccupancyPrediction: masks and argument checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import OccupancyPrediction, Visibility

GRID = VoxelGrid((0, 0, 0), (4, 8, 8), 0.1)


def make(labels: npt.NDArray[np.uint8], visibility: npt.NDArray[np.uint8] | None = None) -> OccupancyPrediction:
    zeros = np.zeros(GRID.size, np.uint8)
    return OccupancyPrediction(
        GRID, labels, zeros, zeros if visibility is None else visibility, np.zeros((2, 2), np.float32)
    )


def test_every_label_is_exactly_one_of_free_occupied_unknown() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(GRID.size)
    prediction = make(labels)
    states = np.stack([prediction.free, prediction.occupied, prediction.unknown])
    assert (states.sum(0) == 1).all()
    np.testing.assert_array_equal(prediction.occupied.ravel(), [False] + [True] * 254 + [False])
    assert prediction.free.ravel()[0]
    assert prediction.unknown.ravel()[255]


@given(
    hnp.arrays(np.uint8, GRID.size, elements=st.sampled_from([0, 1, 9, 255])),
    hnp.arrays(np.uint8, GRID.size, elements=st.sampled_from([v.value for v in Visibility])),
)
def test_completed_is_occupied_and_not_seen(labels: npt.NDArray[np.uint8], visibility: npt.NDArray[np.uint8]) -> None:
    prediction = make(labels, visibility)
    expected = ((labels > 0) & (labels < 255)) & (visibility != Visibility.SEEN)
    np.testing.assert_array_equal(prediction.completed, expected)


@pytest.mark.parametrize("name", ["labels", "confidence", "visibility"])
@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 8, 7), np.uint8), np.zeros(GRID.size, np.int64), np.zeros(256, np.uint8)]
)
def test_arrays_of_another_shape_than_the_grid_are_refused(name: str, wrong: npt.NDArray[np.uint8]) -> None:
    arrays: dict[str, Any] = {key: np.zeros(GRID.size, np.uint8) for key in ("labels", "confidence", "visibility")}
    with pytest.raises(GridError, match=f"{name} is {wrong.dtype}"):
        OccupancyPrediction(GRID, **(arrays | {name: wrong}), depth=np.zeros((2, 2), np.float32))
