"""Selection of the voxels of a prediction by visibility, confidence and distance from the grid's side faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.compiled import compiled
from occdepth_ros.errors import OccDepthError
from occdepth_ros.prediction import OccupancyPrediction, Visibility

Include = str
"""One of `INCLUDES`. The value of a ROS parameter, therefore validated at run time."""

Bytes = npt.NDArray[np.uint8]
_SEEN, _OUTSIDE = int(Visibility.SEEN), int(Visibility.OUTSIDE)
BORDER_VOXELS = 2
"""Border, see `Selection`, of the outputs of the node and of what enters the map."""
INCLUDES: tuple[Include, ...] = ("seen", "seen+completed", "all")
"""`seen`: voxels that a ray reached. `seen+completed`: also hidden voxels inside the field of view of the left camera.
`all`: also voxels outside the field of view."""


@dataclass(frozen=True)
class Selection:
    """Rules by which voxels of a prediction are selected; all other voxels are unknown.

    Args:
        include: voxels to select by visibility, one of `INCLUDES`.
        min_confidence: probability below which a voxel is unknown, 0..1.
        border: distance from the four side faces of the grid, in voxels, up to which completed voxels are unknown.
            Padding inside networks causes artefacts of terrain there.
        completed_free: whether free voxels that no ray passed through are selected; False makes them unknown.

    Raises:
        OccDepthError: `include` is not one of `INCLUDES`.
    """

    include: Include = "seen+completed"
    min_confidence: float = 0.0
    border: int = 0
    completed_free: bool = True

    def __post_init__(self) -> None:
        if self.include not in INCLUDES:
            raise OccDepthError(
                f"the selection {self.include!r} does not exist",
                where="include",
                remedy=f"Use one of {', '.join(INCLUDES)}.",
            )


ALL = Selection("all")
"""Every voxel of a prediction."""
IN_VIEW = Selection("seen+completed")
"""Voxels inside the field of view of the left camera, seen or completed."""


def selected_labels(prediction: OccupancyPrediction, selection: Selection) -> npt.NDArray[np.uint8]:
    """Return the labels with 255 (unknown) for voxels that are not selected, `[X, Y, Z]` uint8.

    The result may share memory with the prediction and must not be modified.
    """
    include, border = selection.include, selection.border
    threshold = int(np.clip(np.ceil(selection.min_confidence * 255), 0, 255))
    drops_free = not selection.completed_free and include != "seen"
    if include == "all" and threshold <= 0 and border <= 0 and not drops_free:
        return prediction.labels
    fields = (prediction.labels, prediction.confidence, prediction.visibility)
    labels, confidence, visibility = (np.ascontiguousarray(field) for field in fields)
    out = np.empty(labels.shape, np.uint8)
    rules = np.uint8(threshold), include == "seen", include != "all", drops_free
    if threshold == 0:
        confidence = labels  # no value is below 0, so a mask would have no effect
    _select(labels.reshape(-1), confidence.reshape(-1), visibility.reshape(-1), out.reshape(-1), *rules)
    if border > 0:
        for edge in (np.s_[:border], np.s_[-border:], np.s_[:, :border], np.s_[:, -border:]):
            out[edge][visibility[edge] != _SEEN] = UNKNOWN
    return out


@compiled
def _select(
    labels: Bytes,
    confidence: Bytes,
    visibility: Bytes,
    out: Bytes,
    threshold: np.uint8,
    only_seen: bool,
    only_inside: bool,
    drops_free: bool,
) -> None:
    for i in range(labels.size):
        label, completed = labels[i], visibility[i] != _SEEN
        drop = (only_seen & completed) | (only_inside & (visibility[i] == _OUTSIDE)) | (confidence[i] < threshold)
        drop |= drops_free & completed & (label == EMPTY)
        # all bits of a byte are the label of unknown voxels
        out[i] = label | np.uint8(UNKNOWN * drop)


def select(
    prediction: OccupancyPrediction, selection: Selection
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the selected occupied and free voxels, each `[X, Y, Z]` bool; all others are unknown."""
    labels = selected_labels(prediction, selection)
    return (labels - np.uint8(1)) < np.uint8(UNKNOWN - 1), labels == EMPTY
