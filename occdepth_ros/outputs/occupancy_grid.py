"""nav_msgs/OccupancyGrid for nav2: where a robot on the ground can drive.

Heights count from the ground below, column by column, so slopes and ramps stay free and what hangs higher than the
robot (branches, signs, bridges) does not block it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.prediction import OccupancyPrediction

FREE, LETHAL, NO_INFORMATION = 0, 100, -1

_EPSILON = 1e-6


def encode_occupancy_grid(
    prediction: OccupancyPrediction,
    frame_id: str,
    include: Include = "seen+completed",
    min_height: float = 0.3,
    max_height: float = 2.0,
    min_confidence: float = 0.0,
) -> bytes:
    """Serialised nav_msgs/OccupancyGrid; cell (0, 0) starts at the grid's lower corner, x runs fastest.

    Args:
        prediction: what is where.
        frame_id: frame of the header.
        include: which voxels count.
        min_height, max_height: band above the local ground in which a thing is an obstacle, metres.
        min_confidence: probability below which a voxel is unknown.

    Raises:
        OccDepthError: the band is empty.
    """
    grid = prediction.grid
    costs = traversability(prediction, include, min_height, max_height, min_confidence)
    message = CdrWriter()
    message.header(prediction.stamp_ns, frame_id)
    message.stamp(prediction.stamp_ns)
    message.primitives("fII", grid.resolution, grid.size[0], grid.size[1])
    message.pose(grid.origin)
    message.sequence(np.ascontiguousarray(costs.T).reshape(-1))
    return message.finish()


def traversability(
    prediction: OccupancyPrediction,
    include: Include,
    min_height: float,
    max_height: float,
    min_confidence: float = 0.0,
) -> npt.NDArray[np.int8]:
    """Cost of each column, `[X, Y]` int8: 100 obstacle, 0 free, -1 unknown.

    A column is lethal where an occupied voxel that is no ground class reaches into the band; else free where its own
    ground is known, or a voxel of the band is known to be free; else unknown. A column without ground of its own
    takes the height of the nearest column that has some. Where there is no ground at all, every occupied column is
    lethal and nothing is free. Arguments and errors as in `encode_occupancy_grid`.
    """
    if not (np.isfinite([min_height, max_height]).all() and min_height < max_height):
        raise OccDepthError(
            f"the band from {min_height:g} m to {max_height:g} m is empty",
            where="min_height, max_height",
            remedy="Give a lower and an upper height above the ground.",
        )
    nx, ny, nz = prediction.grid.size
    labels = selected_labels(prediction, include, min_confidence).reshape(nx * ny, nz)
    occupied = (labels - np.uint8(1)) < np.uint8(UNKNOWN - 1)
    is_ground = np.zeros_like(occupied)
    for label in prediction.classes.ground:
        is_ground |= labels == label
    occupied &= ~is_ground
    has_ground = _any(_bits(is_ground))
    if not has_ground.any():
        return np.where(_any(_bits(occupied)), LETHAL, NO_INFORMATION).astype(np.int8).reshape(nx, ny)

    top = np.zeros(nx * ny, np.int64)
    top[has_ground] = _top_of_lowest_run(is_ground[has_ground])
    top = _nearest(top, has_ground.reshape(nx, ny))
    # a voxel d above the top of the ground spans (d - 1) to d voxels of height
    resolution = prediction.grid.resolution
    low = top + int(np.floor(min_height / resolution + _EPSILON)) + 1
    high = top + int(np.ceil(max_height / resolution - _EPSILON))
    obstacle = _any_between(occupied, low, high)
    passable = _any_between(labels == EMPTY, low, high)
    costs = np.where(obstacle, LETHAL, np.where(has_ground | passable, FREE, NO_INFORMATION))
    return costs.astype(np.int8).reshape(nx, ny)


def _top_of_lowest_run(ground: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Layer of the highest voxel of the lowest unbroken run of each column `[N, Z]`, `[N]`.

    The lowest run is the ground that the column stands on: a bridge's deck above it is another one.
    """
    layers = ground.shape[1]
    start = ground.argmax(axis=1).astype(np.uint16)
    solid = np.arange(layers, dtype=np.uint16) < start[:, None]
    solid |= ground
    end = solid.argmin(axis=1)
    end[solid[np.arange(len(end)), end]] = layers  # solid all the way up
    return end - 1


def _nearest(values: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Fill values `[X*Y]` from the nearest column where they are known `[X, Y]`."""
    holes = np.where(known, 0, 1).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value_of = np.zeros(int(nearest.max()) + 1, np.int64)
    value_of[nearest[known]] = values[known.reshape(-1)]
    return value_of[nearest].reshape(-1)


def _bits(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Columns `[N, Z]` as bits, 64 layers a word, `[N, ceil(Z / 64)]`."""
    columns, layers = mask.shape
    words = np.zeros((columns, -(-layers // 64)), np.uint64)
    # far faster without an axis
    octets = np.packbits(mask, axis=1) if layers % 8 else np.packbits(mask).reshape(columns, layers // 8)
    words.view(np.uint8)[:, : octets.shape[1]] = octets
    return words


def _any(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Whether any bit of a row is set, `[N]`."""
    result = words[:, 0] != 0
    for column in words.T[1:]:
        result |= column != 0
    return result


def _any_between(
    mask: npt.NDArray[np.bool_], low: npt.NDArray[np.integer[Any]], high: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.bool_]:
    """Whether a column `[N, Z]` is set anywhere from layer `low` to `high`, both included, `[N]`."""
    layers = mask.shape[1]
    # row b: the layers from b upwards
    upwards = _bits(np.arange(layers) >= np.arange(layers + 1)[:, None])
    from_low = upwards.take(low.clip(0, layers), axis=0)
    above_high = upwards.take((high + 1).clip(0, layers), axis=0)
    return _any(_bits(mask) & from_low & ~above_high)
