"""Selection of voxels by visibility and confidence."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.predictions import predictions
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.selection import INCLUDES, Selection, select, selected_labels
from occdepth_ros.prediction import OccupancyPrediction, Visibility

ALLOWED = {
    "seen": {Visibility.SEEN},
    "seen+completed": {Visibility.SEEN, Visibility.HIDDEN},
    "all": set(Visibility),
}


@given(predictions(), st.sampled_from(INCLUDES), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_voxels_are_selected_by_visibility_and_confidence(
    prediction: OccupancyPrediction, include: str, least: float
) -> None:
    before = prediction.labels.copy()
    labels = selected_labels(prediction, Selection(include, least))
    occupied, free = select(prediction, Selection(include, least))
    for index in np.ndindex(prediction.grid.size):
        allowed = prediction.visibility[index] in ALLOWED[include] and prediction.confidence[index] >= 255 * least
        label = prediction.labels[index]
        assert labels[index] == (label if allowed else 255)
        assert occupied[index] == (allowed and label not in (0, 255))
        assert free[index] == (allowed and label == 0)
    assert np.array_equal(prediction.labels, before)


def test_an_invalid_selection_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(OccDepthError, match=r"seen\+completed"):
        Selection("everything")


@given(predictions(), st.sampled_from(INCLUDES))
def test_completed_free_space_is_unknown_on_request(prediction: OccupancyPrediction, include: str) -> None:
    careful = selected_labels(prediction, Selection(include, completed_free=False))
    usual = selected_labels(prediction, Selection(include))
    guessed = (usual == 0) & (prediction.visibility != int(Visibility.SEEN))
    assert (careful[guessed] == 255).all()
    np.testing.assert_array_equal(careful[~guessed], usual[~guessed])
