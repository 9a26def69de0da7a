"""Encoding of label, confidence and visibility of a voxel in one byte, for the map.

Bit 7: occupied. Bit 6: seen (else completed). Bit 5: confidence of at least `SURE_CONFIDENCE`. Bits 0 to 4: the class
id of an occupied voxel, 1 of a free one. The code of an unknown voxel is 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY
from occdepth_ros.compiled import compiled
from occdepth_ros.errors import GridError
from occdepth_ros.mapping.config import MapConfig
from occdepth_ros.prediction import OccupancyPrediction, Visibility

OCCUPIED, SEEN, SURE = 0x80, 0x40, 0x20
CLASS_MASK = 0x1F
SURE_CONFIDENCE = 96
"""Smallest confidence of full weight. Of the occupied voxels below it, which the networks' thresholds add for the sake
of recall, a third is occupied; of those above it, three quarters (occdepth-edge, two KITTI drives, label `long`)."""
UNSURE_WEIGHT = 0.15
"""Weight of evidence of less confidence. Chosen with `SURE_CONFIDENCE` on KITTI 00, 03, 09, 10 and raw drive 0009."""
UNIT = 3.5 / 127
"""Log-odds of one step of the stored int8."""
_SEEN = int(Visibility.SEEN)
Bytes = npt.NDArray[np.uint8]


def encode(prediction: OccupancyPrediction) -> Bytes:
    """Return the codes of all voxels, `[X, Y, Z]` uint8.

    Raises:
        GridError: the class table has more than 31 classes.
    """
    if len(prediction.classes) > CLASS_MASK + 1:
        raise GridError(
            f"the map keeps at most {CLASS_MASK} classes, the prediction has {len(prediction.classes) - 1}",
            where="classes",
            remedy="Use a class table with fewer classes.",
        )
    codes = np.empty(prediction.grid.size, np.uint8)
    fields = (prediction.labels, prediction.confidence, prediction.visibility)
    labels, confidence, visibility = (np.ascontiguousarray(field).reshape(-1) for field in fields)
    _encode(labels, confidence, visibility, codes.reshape(-1))
    return codes


@compiled
def _encode(labels: Bytes, confidence: Bytes, visibility: Bytes, codes: Bytes) -> None:
    for i in range(codes.size):
        label = labels[i]
        is_occupied = label != EMPTY and label <= CLASS_MASK
        value = OCCUPIED | label if is_occupied else 1
        value |= SEEN if visibility[i] == _SEEN else 0
        value |= SURE if confidence[i] >= SURE_CONFIDENCE else 0
        codes[i] = value if is_occupied or label == EMPTY else 0


def increments(config: MapConfig) -> npt.NDArray[np.int8]:
    """Return the log-odds steps that each code adds, `[256, 2]` int8: column 0 for seen, 1 for completed evidence."""
    table = np.zeros((256, 2), np.float64)
    for code in range(256):
        if code & CLASS_MASK:
            is_seen = bool(code & SEEN)
            if code & OCCUPIED:
                value = config.hit if is_seen else config.hit * config.completed_weight
            else:
                value = -(config.miss if is_seen else config.completed_miss)
            table[code, 0 if is_seen else 1] = value * (1.0 if code & SURE else UNSURE_WEIGHT)
    steps = np.rint(table / UNIT)
    # an increment that rounds to 0 would leave an observed voxel unknown
    steps = np.where((table != 0) & (steps == 0), np.sign(table), steps)
    return steps.clip(-127, 127).astype(np.int8)
