"""The costs of the map as full grids and as updates of the cells that changed.

A full grid makes nav2's static layer allocate its costmap again. While the updates have a subscriber, a full grid is
therefore published only when the window has moved and for new subscribers; all other changes are updates.

The static layer takes over a full grid at its next cycle only, and applies updates that arrive before that to the grid
that it replaces (incomingMap and incomingUpdate of nav2 a3a9704). Updates therefore repeat everything that has changed
since the last full grid until the costmap has had `REPEAT_NS` for one cycle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.stereo_occ.output_specs import Result, cost_map_inputs
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.outputs.occupancy_grid import NO_INFORMATION, encode_costs, encode_update, traversability

Costs = npt.NDArray[np.int8]
REPEAT_NS = 5_000_000_000
"""Time after a full grid in which updates repeat earlier ones, nanoseconds; nav2's slowest usual cycle is 1 s."""


class MapGrid:
    """Encoders of `~/map/occupancy_grid` and `~/map/occupancy_grid_updates`."""

    def __init__(self) -> None:
        self.grid_subscribers: Callable[[], int] = lambda: 0
        self.update_subscribers: Callable[[], int] = lambda: 0
        self._computed: tuple[object, Costs, VoxelGrid] | None = None
        self._sent: tuple[Costs, VoxelGrid] | None = None
        self._full: tuple[Costs, int] | None = None
        self._subscribers = 0

    def full(self, result: Result, settings: Settings) -> bytes | None:
        """Return a serialised nav_msgs/OccupancyGrid of the window; None if updates are sufficient."""
        costs, grid = self._costs(result, settings)
        before, self._subscribers = self._subscribers, self.grid_subscribers()
        is_moved = self._sent is None or self._sent[1] != grid
        if self.update_subscribers() and not is_moved and self._subscribers <= before:
            return None
        self._sent, self._full = (costs, grid), (costs, result.prediction.stamp_ns)
        return encode_costs(costs, grid, result.prediction.stamp_ns, grid.frame_id)

    def update(self, result: Result, settings: Settings) -> bytes | None:
        """Return a serialised map_msgs/OccupancyGridUpdate; None if nothing changed or a full grid must come first."""
        costs, grid = self._costs(result, settings)
        if self._sent is None or self._sent[1] != grid:
            return None
        changed, stamp_ns = self._sent[0] != costs, result.prediction.stamp_ns
        if self._full is not None and abs(stamp_ns - self._full[1]) <= REPEAT_NS:
            changed |= self._full[0] != costs
        rectangle = bounding_rectangle(changed)
        if rectangle is None:
            return None
        self._sent = costs, grid
        x, y = rectangle
        return encode_update(costs[x, y], x.start, y.start, stamp_ns, grid.frame_id)

    def _costs(self, result: Result, settings: Settings) -> tuple[Costs, VoxelGrid]:
        """Return the costs of all columns of the window, `[X, Y]`, and the window."""
        if self._computed is None or self._computed[0] is not result.prediction:
            costs = traversability(result.prediction, *cost_map_inputs(settings))
            grid = result.window or result.prediction.grid
            whole = np.full(grid.size[:2], NO_INFORMATION, np.int8)
            x, y, _ = result.prediction.grid.offset_to(grid)
            whole[x : x + costs.shape[0], y : y + costs.shape[1]] = costs
            self._computed = result.prediction, whole, grid
        return self._computed[1], self._computed[2]


def bounding_rectangle(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the smallest rectangle with all set cells, None if there are none."""
    x, y = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(x):
        return None
    return slice(int(x[0]), int(x[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1)
