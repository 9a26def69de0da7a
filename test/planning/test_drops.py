"""From voxels to a path: no lethal cell, and no cell behind the edge of a drop that was not seen."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.predictions import predict

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs.occupancy_grid import FREE, LETHAL, traversability
from occdepth_ros.planning.astar import shortest_path, traversable

ROAD, BUILDING = 9, 13
GRID = VoxelGrid((0.0, -8.0, -2.0), (80, 80, 16), 0.2, "map")


def terrain(*, bridge: bool) -> np.ndarray:
    """A plateau that ends 8 m ahead, free space without ground beyond, and lower ground behind it."""
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :, 8] = ROAD
    labels[40:56, :, 8] = 0  # the cameras do not see the ground behind the edge
    labels[56:, :, 8] = 0
    labels[56:, :, 3] = ROAD
    labels[20:22, 10:70, 9:14] = BUILDING
    if bridge:
        labels[40:, 60:72, 3], labels[40:, 60:72, 8] = 0, ROAD
    return labels


@pytest.mark.parametrize("bridge", [True, False])
def test_paths_cross_no_drop_and_no_obstacle(bridge: bool) -> None:
    costs = traversability(predict(terrain(bridge=bridge), grid=GRID))
    assert (costs[44:54, 20:50] == -1).all() and (costs[20:22, 20:50] == LETHAL).all()
    cells = traversable(costs, 2.0)
    path = shortest_path(cells, (4, 40), (75, 66))
    if not bridge:
        assert path is None
        return
    assert path is not None and path[-1] == (75, 66)
    crossed = np.array(path)
    assert (costs[crossed[:, 0], crossed[:, 1]] == FREE).all()
    over = crossed[(crossed[:, 0] >= 40) & (crossed[:, 0] < 56)]
    assert len(over) and ((over[:, 1] >= 60) & (over[:, 1] < 72)).all()
