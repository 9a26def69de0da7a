"""The distance field in a box of the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.maps import BUILDING, GRID, predict

pytest.importorskip("edt", reason="edt is not installed: pip install edt")

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.errors import GridError
from occdepth_ros.mapping.distance import distance_field

LABELS = np.zeros(GRID.size, np.uint8)
LABELS[12, 5, 3] = BUILDING
LABELS[0] = UNKNOWN
MAP = predict(LABELS)
LOW = GRID.origin
HIGH = (1.59, 1.59, 0.79)


def test_distances_are_those_between_centres_up_to_the_limit() -> None:
    field = distance_field(MAP, HIGH, LOW, 1.5)
    assert field.distances.shape == (8, 16, 8) and field.origin == pytest.approx(GRID.origin)
    obstacle = GRID.centers_of(np.array([[12, 5, 3]]))[0]
    centers = GRID.centers_of(np.argwhere(np.ones((8, 16, 8), bool)))
    expected = np.minimum(np.linalg.norm(centers - obstacle, axis=1), 1.5).reshape(8, 16, 8)
    # the obstacle lies outside the box
    np.testing.assert_allclose(field.distances, expected, rtol=1e-4)


def test_unknown_voxels_count_as_occupied_on_request() -> None:
    field = distance_field(MAP, LOW, HIGH, 1.0, unknown_is_occupied=True)
    assert (field.distances[0] == 0).all() and field.distances[1].max() == pytest.approx(0.2)
    # beyond the map all is unknown
    outside = distance_field(MAP, (90.0, 0.0, 0.0), (91.0, 1.0, 0.5), unknown_is_occupied=True)
    assert not outside.distances.any()
    assert (distance_field(MAP, (90.0, 0.0, 0.0), (91.0, 1.0, 0.5)).distances == 5.0).all()


@pytest.mark.parametrize(
    ("low", "high", "limit"),
    [
        ((0.0, 0.0, 0.0), (np.nan, 1.0, 1.0), 1.0),
        ((0.0, 0.0, 0.0), (1e5, 1e5, 1e5), 1.0),
        ((0.1, 0.1, 0.11), (0.11, 0.11, 0.12), 1.0),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), -1.0),
    ],
)
def test_invalid_boxes_are_refused(low: tuple[float, ...], high: tuple[float, ...], limit: float) -> None:
    with pytest.raises(GridError):
        distance_field(replace(MAP), low, high, limit)  # type: ignore[arg-type]
