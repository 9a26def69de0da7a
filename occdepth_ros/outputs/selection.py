"""Selection of the voxels of a prediction by visibility, confidence and distance from the grid's side faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import OccDepthError
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Include = str
"""One of `INCLUDES`. The value of a ROS parameter, therefore validated at run time."""

INCLUDES: tuple[Include, ...] = ("seen", "seen+completed", "all")
"""`seen`: voxels that a ray reached. `seen+completed`: also hidden voxels inside the field of view of the left camera.
`all`: also voxels outside the field of view."""


def selected_labels(
    prediction: OccupancyPrediction,
    include: Include,
    min_confidence: float = 0.0,
    border: int = 0,
    *,
    completed_free: bool = True,
) -> npt.NDArray[np.uint8]:
    """Return the labels with 255 (unknown) for voxels that are not selected, `[X, Y, Z]` uint8.

    The result may share memory with the prediction and must not be modified.

    Args:
        prediction: prediction to select from.
        include: voxels to select by visibility, one of `INCLUDES`.
        min_confidence: probability below which a voxel is unknown, 0..1.
        border: distance from the four side faces of the grid, in voxels, up to which completed voxels are unknown.
            Padding inside networks causes artefacts of terrain there.
        completed_free: whether free voxels that no ray passed through are selected; False makes them unknown.

    Raises:
        OccDepthError: `include` is not one of `INCLUDES`.
    """
    if include not in INCLUDES:
        raise OccDepthError(
            f"the selection {include!r} does not exist", where="include", remedy=f"Use one of {', '.join(INCLUDES)}."
        )
    # Comparison with an enum member would convert to int64, which is ten times slower.
    drop: npt.NDArray[np.bool_] | None = None
    if include == "seen":
        drop = prediction.visibility != int(Visibility.SEEN)
    elif include == "seen+completed":
        drop = prediction.visibility == int(Visibility.OUTSIDE)
    least = int(np.ceil(min_confidence * 255))
    if least > 0:
        unsure = prediction.confidence < least
        drop = unsure if drop is None else np.bitwise_or(drop, unsure, out=drop)
    if border > 0:
        completed = np.zeros(prediction.grid.size, bool)
        for side in (np.s_[:border], np.s_[-border:], np.s_[:, :border], np.s_[:, -border:]):
            completed[side] = prediction.visibility[side] != int(Visibility.SEEN)
        drop = completed if drop is None else np.bitwise_or(drop, completed, out=drop)
    if not completed_free and include != "seen":
        guessed = prediction.labels == EMPTY
        guessed &= prediction.visibility != int(Visibility.SEEN)
        drop = guessed if drop is None else np.bitwise_or(drop, guessed, out=drop)
    if drop is None:
        return prediction.labels
    # The negative of True (byte 1) is 255, so a bitwise or sets the masked labels to unknown.
    mask = np.negative(drop.view(np.uint8))
    labels: npt.NDArray[np.uint8] = np.bitwise_or(prediction.labels, mask, out=mask)
    return labels


def select(
    prediction: OccupancyPrediction, include: Include, min_confidence: float = 0.0, border: int = 0
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the selected occupied and free voxels, each `[X, Y, Z]` bool; all others are unknown.

    Arguments and errors are those of `selected_labels`.
    """
    labels = selected_labels(prediction, include, min_confidence, border)
    return (labels - np.uint8(1)) < np.uint8(UNKNOWN - 1), labels == EMPTY
