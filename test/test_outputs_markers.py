"""Marker cubes: the surface, all of it, merged where one class fills an aligned block, and never too many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from making_predictions import predict, predictions

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


def boxes(size: Cubes) -> list[tuple[tuple[slice, ...], int]]:
    edge = 1 << size.level
    return [
        (tuple(slice(edge * int(a), edge * (int(a) + 1)) for a in corner), int(key))
        for *corner, key in zip(*size.index, size.keys, strict=True)
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
    for most in (0, 1, 100):
        cubes, dropped = surface_cubes(prediction, "all", most)
        assert sum(size.count for size in cubes) == most
        assert dropped == prediction.occupied.sum() - most
        distance = np.linalg.norm(prediction.grid.centers_of(np.stack(everything.index, 1)), axis=1)
        kept = np.linalg.norm(prediction.grid.centers_of(np.stack(cubes[0].index, 1)), axis=1)
        assert np.allclose(np.sort(kept), np.sort(distance)[:most], atol=1e-4)


def test_a_negative_cap_is_refused() -> None:
    with pytest.raises(OccDepthError, match="max_markers"):
        surface_cubes(predict(np.zeros((2, 2, 2), np.uint8)), "all", -1)
