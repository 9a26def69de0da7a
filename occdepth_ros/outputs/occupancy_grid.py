"""Encoder of nav_msgs/OccupancyGrid for nav2: costs for a ground robot.

Heights are relative to the ground of each column, so that slopes and ramps are free, and objects above the robot
(branches, signs, bridges) are not obstacles. Only ground that the cameras observed is free; see docs/costmap.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import EMPTY, UNKNOWN, ClassTable
from occdepth_ros.errors import OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.cdr import CdrWriter
from occdepth_ros.outputs.selection import IN_VIEW, Selection, selected_labels
from occdepth_ros.outputs.sparse import column_words
from occdepth_ros.prediction import OccupancyPrediction, Visibility

FREE, LETHAL, NO_INFORMATION = 0, 100, -1
_GROUND, _OBSTACLE = 1, 2

_EPSILON = 1e-6


@dataclass(frozen=True)
class CostRules:
    """Rules by which the voxels of a column become its cost; see `traversability`.

    Args:
        min_height, max_height: band above the local ground in which an occupied voxel is an obstacle, metres.
        max_step: maximum height difference between neighbouring ground cells, metres; larger differences are lethal.
            A difference of one voxel is within the resolution of the grid and is never lethal.
        completed_cost: cost of ground that was completed but not observed: -1 = unknown, 0 = free, at most 99.
        confidence_cost: whether an obstacle costs 99 times its probability instead of 100.

    Raises:
        OccDepthError: the band is empty, or `max_step` or `completed_cost` is out of range.
    """

    min_height: float = 0.3
    max_height: float = 2.0
    max_step: float = 0.25
    completed_cost: int = NO_INFORMATION
    confidence_cost: bool = False

    def __post_init__(self) -> None:
        low, high = self.min_height, self.max_height
        if not (np.isfinite([low, high]).all() and low < high):
            raise OccDepthError(
                f"the band from {low:g} m to {high:g} m is empty",
                where="min_height, max_height",
                remedy="Set min_height below max_height, both finite, in metres above the ground.",
            )
        if not (np.isfinite(self.max_step) and self.max_step > 0):
            raise OccDepthError(
                f"a step of {self.max_step:g} m is not positive", where="max_step", remedy="Set a value above 0 m."
            )
        if not NO_INFORMATION <= self.completed_cost < LETHAL:
            raise OccDepthError(
                f"the cost {self.completed_cost} is not within -1 to 99",
                where="completed_cost",
                remedy="Set -1 (unknown), or 0 (free) to 99.",
            )


DEFAULT_RULES = CostRules()


def encode_occupancy_grid(
    prediction: OccupancyPrediction,
    frame_id: str,
    selection: Selection = IN_VIEW,
    rules: CostRules = DEFAULT_RULES,
) -> bytes:
    """Return a serialised nav_msgs/OccupancyGrid with the costs of `traversability`.

    Cell (0, 0) is at the grid's lower corner, and x varies fastest.

    Args:
        prediction: labels and visibility.
        frame_id: frame of the header.
        selection: the voxels to use.
        rules: rules of the costs.
    """
    costs = traversability(prediction, selection, rules)
    return encode_costs(costs, prediction.grid, prediction.stamp_ns, frame_id)


def encode_costs(costs: npt.NDArray[np.int8], grid: VoxelGrid, stamp_ns: int, frame_id: str) -> bytes:
    """Return a serialised nav_msgs/OccupancyGrid with the costs `[X, Y]` of the columns of a grid."""
    message = CdrWriter()
    message.header(stamp_ns, frame_id)
    message.stamp(stamp_ns)
    message.primitives("fII", grid.resolution, *costs.shape)
    message.pose(_aligned_origin(grid))
    message.sequence(np.ascontiguousarray(costs.T).reshape(-1))
    return message.finish()


def _aligned_origin(grid: VoxelGrid) -> tuple[float, float, float]:
    """Return the origin of a grid as multiples of the resolution in the message, which is a float32, where it has any.

    nav2's static layer warns of a grid whose origin is not a multiple of its resolution (processMap, nav2 a3a9704).
    The shift is 1.5 micrometres at 100 m.
    """
    cells = np.asarray(grid.origin) / grid.resolution
    nearest = np.rint(cells)
    aligned = np.where(np.abs(cells - nearest) < _EPSILON, nearest * float(np.float32(grid.resolution)), grid.origin)
    return float(aligned[0]), float(aligned[1]), grid.origin[2]


def encode_update(costs: npt.NDArray[np.int8], x: int, y: int, stamp_ns: int, frame_id: str) -> bytes:
    """Return a serialised map_msgs/OccupancyGridUpdate with the costs `[X, Y]` of the cells from `(x, y)` on."""
    message = CdrWriter()
    message.header(stamp_ns, frame_id)
    message.primitives("iiII", x, y, *costs.shape)
    message.sequence(np.ascontiguousarray(costs.T).reshape(-1))
    return message.finish()


def traversability(
    prediction: OccupancyPrediction, selection: Selection = IN_VIEW, rules: CostRules = DEFAULT_RULES
) -> npt.NDArray[np.int8]:
    """Return the cost of each column, `[X, Y]` int8: 100 = lethal, 0 = free, -1 = unknown.

    * Lethal: an occupied voxel in the band has no ground class, or the ground heights of the column and its eight
      neighbours differ by more than `max_step`. For columns without ground, the band is relative to the nearest
      ground. If no column has ground, all columns with occupied voxels are lethal.
    * Free: the column has ground, and a ray ended in it (`Visibility.SEEN`).
    * `completed_cost`: the column has ground, and no ray ended in it.
    * Unknown: all other columns. A column with free voxels but without ground is unknown, because it may be a drop.

    With `confidence_cost`, a column that is lethal because of occupied voxels costs 99 times the probability of the
    most certain of them, rounded up. Steps of the ground stay lethal.

    Args:
        prediction: labels and visibility; with `confidence_cost` also the confidence.
        selection: the voxels to use; all others are unknown.
        rules: band of obstacles, largest step, and costs.
    """
    nx, ny, nz = prediction.grid.size
    resolution = prediction.grid.resolution
    labels = selected_labels(prediction, selection).reshape(nx * ny, nz)
    kind = np.asarray(cv2.LUT(labels, _kinds(prediction.classes)), np.uint8)
    ground, occupied = column_words(kind == _GROUND), column_words(kind == _OBSTACLE)
    has_ground = _any(ground)
    if not has_ground.any():
        return np.where(_any(occupied), LETHAL, NO_INFORMATION).astype(np.int8).reshape(nx, ny)

    upwards = _upwards(nz)
    bottom = _lowest_set(ground).clip(max=nz)
    # the ground of a column is its lowest contiguous run; a bridge deck above it is a separate run
    end = _lowest_set(~(ground | ~upwards.take(bottom, axis=0))).clip(max=nz)
    seen = column_words(prediction.visibility.reshape(nx * ny, nz) == np.uint8(Visibility.SEEN)) & ground
    is_seen = _any(seen & ~upwards.take(end, axis=0))
    steps = int(np.floor(max(rules.max_step, resolution) / resolution + _EPSILON))
    top = (end - 1).reshape(nx, ny)
    edge = _edges(top, has_ground.reshape(nx, ny), steps).reshape(-1)
    top = _nearest(top.reshape(-1), has_ground.reshape(nx, ny))
    # The voxel d layers above the top ground layer spans heights from (d - 1) to d times the resolution.
    low = top + int(np.floor(rules.min_height / resolution + _EPSILON)) + 1
    high = top + int(np.ceil(rules.max_height / resolution - _EPSILON))
    costs = np.where(has_ground, rules.completed_cost, NO_INFORMATION)
    costs[is_seen] = FREE
    band = upwards.take(low.clip(0, nz), axis=0) & ~upwards.take((high + 1).clip(0, nz), axis=0)
    hit = np.flatnonzero(_any(occupied & band))
    costs[hit] = LETHAL
    if rules.confidence_cost:
        layer = np.arange(nz)
        within = (kind[hit] == _OBSTACLE) & (layer >= low[hit, None]) & (layer <= high[hit, None])
        certain = np.where(within, prediction.confidence.reshape(nx * ny, nz)[hit], 0).max(axis=1)
        costs[hit] = np.ceil(certain * ((LETHAL - 1) / 255) - _EPSILON)
    costs[edge] = LETHAL
    return costs.astype(np.int8).reshape(nx, ny)


def _kinds(classes: ClassTable) -> npt.NDArray[np.uint8]:
    """Return `_GROUND`, `_OBSTACLE` or 0 for each label, `[256]`."""
    table = np.full(256, _OBSTACLE, np.uint8)
    table[[EMPTY, UNKNOWN]] = 0
    table[classes.is_ground] = _GROUND
    return table


def _edges(top: npt.NDArray[np.int64], has_ground: npt.NDArray[np.bool_], largest: int) -> npt.NDArray[np.bool_]:
    """Return the ground columns with a height range above `largest` layers in their 3x3 neighbourhood, `[X, Y]`."""
    window = np.ones((3, 3), np.uint8)
    # The fill values exclude columns without ground from the maximum and the minimum; int16 can hold every layer.
    highest = cv2.dilate(np.where(has_ground, top, -1).astype(np.int16), window)
    lowest = cv2.erode(np.where(has_ground, top, np.iinfo(np.int16).max).astype(np.int16), window)
    return has_ground & (highest.astype(np.int32) - lowest > largest)


def _nearest(values: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return values `[X*Y]` with those of columns outside `valid`, `[X, Y]`, replaced by the nearest valid value."""
    holes = np.where(valid, 0, 1).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value_of = np.zeros(int(nearest.max()) + 1, np.int64)
    value_of[nearest[valid]] = values[valid.reshape(-1)]
    return value_of[nearest].reshape(-1)


def _any(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return whether any bit of each row is set, `[N]`."""
    result = words[:, 0] != 0
    for column in words.T[1:]:
        result |= column != 0
    return result


def _lowest_set(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the lowest layer of each row `[N, W]` whose bit is set, 64 W if there is none, `[N]`."""
    lowest = np.full(len(words), 64 * words.shape[1], np.int64)
    for index in range(words.shape[1] - 1, -1, -1):
        word = words[:, index]
        bit = word & (~word + np.uint64(1))
        # the exponent of a power of two is exact in a float
        layer = (bit.astype(np.float32).view(np.int32) >> 23).astype(np.int64) + (64 * index - 127)
        lowest = np.where(bit != 0, layer, lowest)
    return lowest


@lru_cache(maxsize=8)
def _upwards(layers: int) -> npt.NDArray[np.uint64]:
    """Return words in which row b holds the layers from b upwards, `[layers + 1, W]`."""
    return column_words(np.arange(layers) >= np.arange(layers + 1)[:, None])
