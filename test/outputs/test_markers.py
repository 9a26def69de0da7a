"""Marker cubes: the surface, all of it, merged where one class fills an aligned block, and never too many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from helpers.predictions import predict, predictions
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.markers import Cubes, surface_cubes
from occdepth_ros.prediction import OccupancyPrediction, Visibility

PLENTY = 1_000_000


def on_surface(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    padded = np.pad(occupied, 1)
    buried = occupied.copy()
    for axis in range(3):
        for step in (-1, 1):
            buried &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return occupied & ~buried


def corners(size: Cubes) -> npt.NDArray[np.int64]:
    return np.stack([*np.divmod(size.column, size.shape[1]), size.layer], axis=1)


def boxes(size: Cubes) -> list[tuple[tuple[slice, ...], int]]:
    edge = 1 << size.level
    return [
        (tuple(slice(edge * int(a), edge * (int(a) + 1)) for a in corner), int(key))
        for corner, key in zip(corners(size), size.keys, strict=True)
    ]


@given(predictions())
def test_each_surface_voxel_is_drawn_once_by_a_cube_of_its_class(prediction: OccupancyPrediction) -> None:
    cubes, dropped = surface_cubes(prediction, "all", PLENTY)
    assert dropped == 0
    drawn = np.zeros(prediction.grid.size, int)
    surface = on_surface(prediction.occupied)
    for size in cubes:
        for box, key in boxes(size):
            completed, label = divmod(key, len(prediction.classes))
            inside = prediction.labels[box]
            assert inside.shape == (1 << size.level,) * 3
            assert (inside == label).all()
            assert ((prediction.visibility[box] != Visibility.SEEN) == completed).all()
            assert surface[box].any()
            drawn[box] += 1
    assert drawn.max() <= 1
    assert (drawn[surface] == 1).all()
    assert (drawn[~prediction.occupied] == 0).all()


def test_a_block_of_one_class_is_one_cube_and_what_is_inside_is_left_out() -> None:
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[8:16, 8:16, 8:16] = 9
    cubes, _ = surface_cubes(predict(labels), "all", PLENTY)
    assert [size.count for size in cubes] == [0, 0, 0, 1]
    cubes, _ = surface_cubes(predict(np.full((24, 24, 24), 9, np.uint8)), "all", PLENTY)
    assert [size.count for size in cubes] == [0, 0, 0, 26]


def test_the_farthest_cubes_are_dropped() -> None:
    rng = np.random.default_rng(2)
    prediction = predict(np.where(rng.random((30, 20, 10)) < 0.2, 15, 0).astype(np.uint8))
    (everything, *_), _ = surface_cubes(prediction, "all", PLENTY)
    far = np.sort(np.hypot(*everything.centers(prediction.grid)[:, :2].T))
    for most in (0, 1, 100):
        cubes, dropped = surface_cubes(prediction, "all", most)
        assert sum(size.count for size in cubes) == most
        assert dropped == prediction.occupied.sum() - most
        kept = np.sort(np.hypot(*cubes[0].centers(prediction.grid)[:, :2].T))
        assert np.allclose(kept, far[:most], atol=0.01)


@given(predictions(), st.integers(0, 60))
def test_the_cap_is_kept_exactly(prediction: OccupancyPrediction, most: int) -> None:
    cubes, dropped = surface_cubes(prediction, "all", most)
    total = sum(size.count for size in surface_cubes(prediction, "all", PLENTY)[0])
    assert sum(size.count for size in cubes) == min(most, total)
    assert dropped == max(0, total - most)


def test_centers_are_those_of_the_blocks() -> None:
    prediction = predict(np.full((9, 5, 3), 9, np.uint8))
    for size in surface_cubes(prediction, "all", PLENTY)[0]:
        expected = prediction.grid.centers_of(corners(size) * 2**size.level + (2**size.level - 1) / 2)
        assert np.allclose(size.centers(prediction.grid), expected)


def test_a_negative_cap_is_refused() -> None:
    with pytest.raises(OccDepthError, match="max_markers"):
        surface_cubes(predict(np.zeros((2, 2, 2), np.uint8)), "all", -1)
