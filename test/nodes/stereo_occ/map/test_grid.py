"""Full grids and updates of the map: what nav2's static layer has after them equals the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from helpers.maps import BUILDING, GRID, ROAD, predict

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("map_msgs.msg", reason="map_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.srv", reason="the interfaces are not built: run make env")

from map_msgs.msg import OccupancyGridUpdate
from nav_msgs.msg import OccupancyGrid
from rclpy.serialization import deserialize_message

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.stereo_occ.map.grid import MapGrid
from occdepth_ros.nodes.stereo_occ.output_specs import Result
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.outputs.occupancy_grid import traversability

pytestmark = pytest.mark.ros
WINDOW = VoxelGrid((-3.2, -4.8, -0.8), (48, 48, 8), 0.2, "map")
MOVED = replace(WINDOW, origin=(0.0, -4.8, -0.8))
SETTINGS = Settings()


class StaticLayer:
    """Applies messages as nav2's static layer does."""

    def __init__(self) -> None:
        self.costs: npt.NDArray[np.int8] | None = None
        self.full_grids = 0

    def receive(self, grid: MapGrid, result: Result) -> None:
        for content, kind in (
            (grid.full(result, SETTINGS), OccupancyGrid),
            (grid.update(result, SETTINGS), OccupancyGridUpdate),
        ):
            if content is None:
                continue
            message = deserialize_message(content, kind)
            assert message.header.frame_id == "map"
            if kind is OccupancyGrid:
                self.costs = np.array(message.data, np.int8).reshape(message.info.height, message.info.width)
                self.full_grids += 1
            else:
                assert self.costs is not None
                rows, columns = (
                    slice(message.y, message.y + message.height),
                    slice(message.x, message.x + message.width),
                )
                self.costs[rows, columns] = np.array(message.data, np.int8).reshape(message.height, message.width)


def result(seed: int, window: VoxelGrid = WINDOW) -> Result:
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :, 0] = ROAD
    labels[np.random.default_rng(seed).random(GRID.size[:2]) < 0.1, 1:] = BUILDING
    return Result(predict(labels, grid=replace(GRID, frame_id="map")), "map", window=window)


def expected(shown: Result) -> npt.NDArray[np.int8]:
    assert shown.window is not None
    out = np.full(shown.window.size[:2], -1, np.int8)
    x, y, _ = shown.prediction.grid.offset_to(shown.window)
    out[x : x + 16, y : y + 16] = traversability(shown.prediction)
    return out.T


def test_updates_replace_full_grids_until_the_window_moves() -> None:
    grid, layer = MapGrid(), StaticLayer()
    grid.grid_subscribers = grid.update_subscribers = lambda: 1
    for seed in (1, 2, 2, 3):
        shown = result(seed)
        layer.receive(grid, shown)
        np.testing.assert_array_equal(layer.costs, expected(shown))
    assert layer.full_grids == 1
    moved = result(3, MOVED)
    assert grid.update(moved, SETTINGS) is None, "an update must lie in the last full grid"
    layer.receive(grid, moved)
    np.testing.assert_array_equal(layer.costs, expected(moved))
    assert layer.full_grids == 2


def test_new_subscribers_get_a_full_grid() -> None:
    grid, late = MapGrid(), StaticLayer()
    grid.update_subscribers = lambda: 1
    StaticLayer().receive(grid, result(1))
    grid.grid_subscribers = lambda: 1
    late.receive(grid, result(2))
    np.testing.assert_array_equal(late.costs, expected(result(2)))


def test_without_subscribers_of_updates_every_grid_is_full() -> None:
    grid = MapGrid()
    assert all(grid.full(result(seed), SETTINGS) for seed in (1, 2))
    assert grid.update(result(2), SETTINGS) is None, "nothing changed"
