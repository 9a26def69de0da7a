"""One byte per voxel of a prediction: what the map needs of its label, confidence and visibility.

Bit 7: occupied. Bit 6: seen (else completed). Bit 5: confidence of at least one half. Bits 0 to 4: the class id of an
occupied voxel, 1 of a free one. A code whose bits 0 to 4 are zero stands for an unknown voxel.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY
from occdepth_ros.errors import GridError
from occdepth_ros.mapping.config import MapConfig
from occdepth_ros.prediction import OccupancyPrediction, Visibility

OCCUPIED, SEEN, SURE = 0x80, 0x40, 0x20
CLASS_MASK = 0x1F
ROWS = 16
UNIT = 3.5 / 127
"""Log-odds of one step of the stored int8."""


def encode(prediction: OccupancyPrediction) -> npt.NDArray[np.uint8]:
    """Codes of all voxels, `[X, Y, Z]` uint8.

    Raises:
        GridError: the class table has more than 31 classes.
    """
    if len(prediction.classes) > CLASS_MASK + 1:
        raise GridError(
            f"the map keeps at most {CLASS_MASK} classes, the prediction has {len(prediction.classes) - 1}",
            where="classes",
            remedy="Use a class table with fewer classes.",
        )
    labels, confidence, visibility = prediction.labels, prediction.confidence, prediction.visibility
    codes = np.empty(prediction.grid.size, np.uint8)
    # a few rows at a time, which stay in the cache of the core between the steps
    for first in range(0, len(labels), ROWS):
        rows = slice(first, first + ROWS)
        part = labels[rows]
        out = np.asarray(cv2.LUT(part.reshape(-1, part.shape[2]), _OF_LABEL), np.uint8).reshape(part.shape)
        sure = confidence[rows] >> np.uint8(2)
        sure &= np.uint8(SURE)
        out |= sure
        # an enum member would be compared as int64, many times slower
        seen = np.equal(visibility[rows], np.uint8(Visibility.SEEN)).view(np.uint8)
        out |= np.left_shift(seen, 6, out=seen)
        codes[rows] = out
    return codes


def increments(config: MapConfig) -> npt.NDArray[np.int8]:
    """Steps of log-odds that each code adds, `[256, 2]` int8: column 0 for seen, 1 for completed evidence."""
    table = np.zeros((256, 2), np.float64)
    for code in range(256):
        if code & CLASS_MASK:
            value = config.hit if code & OCCUPIED else -config.miss
            column = 0 if code & SEEN else 1
            table[code, column] = (
                value * (1.0 if code & SURE else 0.5) * (1.0 if column == 0 else config.completed_weight)
            )
    steps = np.rint(table / UNIT)
    # an increment that rounds to nothing would leave an observed voxel unknown
    steps = np.where((table != 0) & (steps == 0), np.sign(table), steps)
    return steps.clip(-127, 127).astype(np.int8)


def _table(values: dict[int, int]) -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for index, value in values.items():
        table[index] = value
    return table


_OF_LABEL = _table({EMPTY: 1} | {label: OCCUPIED | label for label in range(1, CLASS_MASK + 1)})
