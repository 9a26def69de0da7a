"""Costs of slopes, overhangs and columns without ground."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.predictions import predict, predictions
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.occupancy_grid import FREE, LETHAL, NO_INFORMATION, CostRules, traversability
from occdepth_ros.outputs.selection import ALL, IN_VIEW, Selection
from occdepth_ros.prediction import OccupancyPrediction

ROAD, CAR, VEGETATION, SIGN = 9, 1, 15, 19
"""Height band in metres. It contains the second to the tenth voxel of 0.2 m above the ground."""


def cost(column: dict[int, int], fill: int = 255) -> int:
    """Return the cost of a column with labels by layer, `fill` elsewhere, next to a column with road in layer 2."""
    labels = np.full((2, 1, 24), 255, np.uint8)
    labels[0, 0] = fill
    for layer, label in column.items():
        labels[0, 0, layer] = label
    labels[1, 0, 2] = ROAD
    return int(traversability(predict(labels), ALL)[0, 0])


@pytest.mark.parametrize(
    ("column", "fill", "expected"),
    [
        ({2: ROAD}, 255, FREE),
        ({2: ROAD}, 0, FREE),
        ({}, 255, NO_INFORMATION),
        ({}, 0, NO_INFORMATION),  # free space above, but no ground: it may be a drop
        ({2: ROAD, 5: CAR}, 0, LETHAL),
        ({2: ROAD, 3: CAR}, 0, FREE),  # 0.2 m high: below the band
        ({2: ROAD, 4: CAR}, 0, LETHAL),  # from 0.2 to 0.4 m
        ({2: ROAD, 12: SIGN}, 0, LETHAL),  # from 1.8 to 2.0 m
        ({2: ROAD, 13: SIGN, 14: VEGETATION}, 0, FREE),  # from 2.0 m: above the robot
        ({13: VEGETATION}, 255, NO_INFORMATION),  # above the height of the neighbour's ground
        ({5: CAR}, 255, LETHAL),
        ({2: ROAD, 3: ROAD, 5: CAR}, 0, LETHAL),  # a ramp: heights are relative to its own top
        ({2: ROAD, 3: ROAD, 4: CAR}, 0, FREE),
        ({4: ROAD}, 0, LETHAL),  # 0.4 m above its neighbour
        ({0: ROAD}, 0, LETHAL),  # 0.4 m below it
        ({3: ROAD}, 0, FREE),  # 0.2 m is below the resolution
        ({2: ROAD, 20: ROAD, 22: CAR}, 0, FREE),  # a bridge with a car on it
        ({4: 200}, 255, LETHAL),  # a label without a class is an obstacle
    ],
)
def test_columns(column: dict[int, int], fill: int, expected: int) -> None:
    assert cost(column, fill) == expected


def test_no_column_is_free_without_ground() -> None:
    labels = np.zeros((2, 2, 8), np.uint8)
    labels[0, 0, 7] = VEGETATION
    assert traversability(predict(labels), ALL).tolist() == [[LETHAL, NO_INFORMATION], [NO_INFORMATION] * 2]


def test_columns_without_ground_use_the_height_of_the_nearest_ground() -> None:
    labels = np.full((9, 1, 20), 255, np.uint8)
    labels[0, 0, 1] = ROAD
    labels[8, 0, 12] = ROAD
    labels[1:8, 0, 5] = CAR  # 0.6 m above the low ground, below the high one
    assert traversability(predict(labels), ALL)[:, 0].tolist()[:4] == [FREE, LETHAL, LETHAL, LETHAL]
    assert traversability(predict(labels), ALL)[5:, 0].tolist() == [NO_INFORMATION] * 3 + [FREE]


def test_voxels_that_are_not_selected_have_no_effect() -> None:
    labels = np.full((1, 2, 8), 255, np.uint8)
    labels[0, :, 1] = ROAD
    labels[0, 0, 4] = CAR
    visibility = np.ones_like(labels)
    visibility[0, 0, 4] = 2
    prediction = predict(labels, visibility=visibility)
    assert traversability(prediction, Selection("seen")).tolist() == [[FREE, FREE]]
    assert traversability(prediction, IN_VIEW).tolist() == [[LETHAL, FREE]]


@given(predictions(), st.integers(-3, 6), st.integers(1, 9))
def test_costs_agree_with_a_column_by_column_computation(
    prediction: OccupancyPrediction, low: int, extent: int
) -> None:
    resolution = prediction.grid.resolution
    costs = traversability(prediction, ALL, CostRules(low * resolution, (low + extent) * resolution, max_step=100.0))
    ground = prediction.classes.is_ground[prediction.labels]
    for x, y in np.argwhere(ground.any(axis=2)):
        column = prediction.labels[x, y]
        top = int(ground[x, y].argmax())
        while top + 1 < len(column) and ground[x, y, top + 1]:
            top += 1
        seen = (prediction.visibility[x, y, int(ground[x, y].argmax()) : top + 1] == 1).any()
        # layers from low * resolution to (low + extent) * resolution above the ground's top
        band = range(max(0, top + 1 + low), min(len(column), top + 1 + low + extent))
        blocked = any(column[z] not in (0, 255) and not ground[x, y, z] for z in band)
        assert costs[x, y] == (LETHAL if blocked else FREE if seen else NO_INFORMATION)


@pytest.mark.parametrize("band", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_an_empty_band_is_refused(band: tuple[float, float]) -> None:
    with pytest.raises(OccDepthError, match="empty"):
        CostRules(*band)


def test_completed_ground_has_the_configured_cost() -> None:
    labels = np.full((1, 2, 8), 255, np.uint8)
    labels[0, :, 1] = ROAD
    visibility = np.ones_like(labels)
    visibility[0, 0] = 2
    prediction = predict(labels, visibility=visibility)
    for cost in (NO_INFORMATION, FREE, 60):
        assert traversability(prediction, ALL, CostRules(completed_cost=cost)).tolist() == [[cost, FREE]]
    assert traversability(prediction, ALL).tolist() == [[NO_INFORMATION, FREE]]


@given(predictions())
def test_only_seen_ground_is_free(prediction: OccupancyPrediction) -> None:
    free = traversability(prediction, ALL) == FREE
    ground = prediction.classes.is_ground[prediction.labels] & (prediction.visibility == 1)
    assert not (free & ~ground.any(axis=2)).any()


@pytest.mark.parametrize("arguments", [{"max_step": 0.0}, {"max_step": float("nan")}, {"completed_cost": 100}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(OccDepthError):
        CostRules(**arguments)  # type: ignore[arg-type]


def test_confidence_becomes_cost_on_request_and_steps_stay_lethal() -> None:
    labels = np.zeros((4, 1, 24), np.uint8)
    labels[:, 0, 2] = ROAD
    labels[0, 0, 5:7] = CAR
    labels[3, 0, 2:6] = ROAD  # a step next to column 2
    confidence = np.full(labels.shape, 255, np.uint8)
    confidence[0, 0, 5:7] = 51, 102
    prediction = predict(labels, confidence=confidence)
    costs = traversability(prediction, ALL, CostRules(confidence_cost=True))[:, 0]
    assert costs.tolist() == [40, FREE, LETHAL, LETHAL]
    assert traversability(prediction, ALL)[0, 0] == LETHAL
