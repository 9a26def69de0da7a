"""nav_msgs/OccupancyGrid for nav2: where a robot on the ground can drive.

Heights are measured from the ground of each column, so that slopes and ramps stay free and objects above the robot
(branches, signs, bridges) do not block it. Only ground that the cameras measured is free; see docs/costmap.md.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.selection import Include, selected_labels
from occdepth_ros.prediction import OccupancyPrediction, Visibility

FREE, LETHAL, NO_INFORMATION = 0, 100, -1

MAX_STEP_M = 0.25
"""Default difference in height between neighbouring ground above which its edge is lethal, metres."""

_EPSILON = 1e-6


def encode_occupancy_grid(
    prediction: OccupancyPrediction,
    frame_id: str,
    include: Include = "seen+completed",
    min_height: float = 0.3,
    max_height: float = 2.0,
    min_confidence: float = 0.0,
    *,
    max_step: float = MAX_STEP_M,
    completed_cost: int = NO_INFORMATION,
) -> bytes:
    """Serialised nav_msgs/OccupancyGrid; cell (0, 0) starts at the grid's lower corner, x runs fastest.

    Args:
        prediction: labels and visibility.
        frame_id: frame of the header.
        include: which voxels count.
        min_height, max_height: band above the local ground in which an occupied voxel is an obstacle, metres.
        min_confidence: probability below which a voxel is unknown, 0..1.
        max_step: difference in height between neighbouring ground above which its edge is lethal, metres; differences
            of one voxel edge are below the grid's resolution and never lethal.
        completed_cost: cost of ground that was completed and not seen: -1 unknown, 0 free, up to 99.

    Raises:
        OccDepthError: the band is empty, or `max_step` or `completed_cost` is out of range.
    """
    grid = prediction.grid
    costs = traversability(
        prediction,
        include,
        min_height,
        max_height,
        min_confidence,
        max_step=max_step,
        completed_cost=completed_cost,
    )
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
    *,
    max_step: float = MAX_STEP_M,
    completed_cost: int = NO_INFORMATION,
) -> npt.NDArray[np.int8]:
    """Cost of each column, `[X, Y]` int8: 100 lethal, 0 free, -1 unknown.

    * Lethal: an occupied voxel that is no ground class lies in the band, or the ground of the column and its eight
      neighbours differs by more than `max_step`. Columns without ground take the height of the nearest ground for the
      band; if there is no ground at all, all columns with occupied voxels are lethal.
    * Free: the column has ground, and a ray ended in it (`Visibility.SEEN`).
    * `completed_cost`: the column has ground that no ray reached.
    * Unknown: all others. Free space above the height of the ground does not make a column free: beyond an edge there
      may be a drop.

    Arguments and errors as in `encode_occupancy_grid`.
    """
    _check_arguments(min_height, max_height, max_step, completed_cost)
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

    bottom, top = np.zeros((2, nx * ny), np.int64)
    own = np.flatnonzero(has_ground)
    bottom[own], top[own] = _lowest_run(is_ground[own])
    seen = (prediction.visibility.reshape(nx * ny, nz) == int(Visibility.SEEN)) & is_ground
    is_seen = _any_between(seen, bottom, top) & has_ground
    resolution = prediction.grid.resolution
    steps = int(np.floor(max(max_step, resolution) / resolution + _EPSILON))
    edge = _edges(top.reshape(nx, ny), has_ground.reshape(nx, ny), steps).reshape(-1)
    top = _nearest(top, has_ground.reshape(nx, ny))
    # the voxel d layers above the top of the ground spans the heights from d - 1 to d edges
    low = top + int(np.floor(min_height / resolution + _EPSILON)) + 1
    high = top + int(np.ceil(max_height / resolution - _EPSILON))
    costs = np.where(has_ground, completed_cost, NO_INFORMATION)
    costs[is_seen] = FREE
    costs[edge | _any_between(occupied, low, high)] = LETHAL
    return costs.astype(np.int8).reshape(nx, ny)


def _check_arguments(min_height: float, max_height: float, max_step: float, completed_cost: int) -> None:
    if not (np.isfinite([min_height, max_height]).all() and min_height < max_height):
        raise OccDepthError(
            f"the band from {min_height:g} m to {max_height:g} m is empty",
            where="min_height, max_height",
            remedy="Give a lower and an upper height above the ground.",
        )
    if not (np.isfinite(max_step) and max_step > 0):
        raise OccDepthError(
            f"a step of {max_step:g} m is not positive", where="max_step", remedy="Give metres above 0."
        )
    if not NO_INFORMATION <= completed_cost < LETHAL:
        raise OccDepthError(
            f"the cost {completed_cost} is not within -1 to 99", where="completed_cost", remedy="-1 means unknown."
        )


def _edges(top: npt.NDArray[np.int64], has_ground: npt.NDArray[np.bool_], largest: int) -> npt.NDArray[np.bool_]:
    """Columns with ground whose height differs by more than `largest` layers within their 3x3 window, `[X, Y]`."""
    window = np.ones((3, 3), np.uint8)
    # int16 holds every layer, and columns without ground take no part in the maximum or the minimum
    highest = cv2.dilate(np.where(has_ground, top, -1).astype(np.int16), window)
    lowest = cv2.erode(np.where(has_ground, top, np.iinfo(np.int16).max).astype(np.int16), window)
    return has_ground & (highest.astype(np.int32) - lowest > largest)


def _lowest_run(ground: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last layer of the lowest unbroken run of each column `[N, Z]`, `[N]` each.

    The lowest run is the ground that the column stands on; a bridge deck above it is another run.
    """
    layers = ground.shape[1]
    first = ground.argmax(axis=1)
    solid = np.arange(layers, dtype=np.uint16) < first.astype(np.uint16)[:, None]
    solid |= ground
    end = solid.argmin(axis=1)
    end[solid[np.arange(len(end)), end]] = layers  # solid up to the highest layer
    return first, end - 1


def _nearest(values: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Values `[X*Y]`, with those of the nearest valid column `[X, Y]` in all others."""
    holes = np.where(valid, 0, 1).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value_of = np.zeros(int(nearest.max()) + 1, np.int64)
    value_of[nearest[valid]] = values[valid.reshape(-1)]
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
