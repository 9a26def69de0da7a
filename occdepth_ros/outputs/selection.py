"""Which voxels of a prediction enter a message: what was seen, what was completed, how sure it must be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import OccDepthError
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Include = str
"""One of `INCLUDES`; a parameter's text, so it is checked where it is used."""

INCLUDES: tuple[Include, ...] = ("seen", "seen+completed", "all")
"""`seen`: voxels that a line of sight reached. `seen+completed`: also those hidden behind them, inside the left
camera's view. `all`: also those outside the view."""


def selected_labels(
    prediction: OccupancyPrediction, include: Include, min_confidence: float = 0.0, border: int = 0
) -> npt.NDArray[np.uint8]:
    """Labels with 255 (unknown) wherever the voxel is left out, `[X, Y, Z]` uint8; read only, it may be shared.

    Args:
        prediction: what is where.
        include: which voxels count.
        min_confidence: probability below which a voxel is unknown, 0..1.
        border: completed voxels up to this far from the grid's four side faces are unknown, in voxels. Networks pad
            their input there and predict thin rims of terrain.

    Raises:
        OccDepthError: `include` is none of the three words.
    """
    if include not in INCLUDES:
        raise OccDepthError(
            f"{include!r} is not a choice of voxels", where="include", remedy=f"Use one of {', '.join(INCLUDES)}."
        )
    # an enum member would be compared as int64, ten times slower
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
    if drop is None:
        return prediction.labels
    # True is the byte 1, so its negative is 255: a masked fill without a branch
    mask = np.negative(drop.view(np.uint8))
    labels: npt.NDArray[np.uint8] = np.bitwise_or(prediction.labels, mask, out=mask)
    return labels


def select(
    prediction: OccupancyPrediction, include: Include, min_confidence: float = 0.0, border: int = 0
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the occupied and the free voxels that count, each `[X, Y, Z]` bool; the rest is unknown.

    Arguments and errors as in `selected_labels`.
    """
    labels = selected_labels(prediction, include, min_confidence, border)
    return (labels - np.uint8(1)) < np.uint8(UNKNOWN - 1), labels == EMPTY
