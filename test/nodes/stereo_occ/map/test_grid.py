"""Full grids and updates of the map: what nav2's static layer has after them equals the map."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from helpers.maps import BUILDING, GRID, ROAD, predict
from hypothesis import given
from hypothesis import strategies as st

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
from occdepth_ros.outputs.occupancy_grid import encode_costs, traversability

pytestmark = pytest.mark.ros
WINDOW = VoxelGrid((-3.2, -4.8, -0.8), (48, 48, 8), 0.2, "map")
MOVED = replace(WINDOW, origin=(0.0, -4.8, -0.8))
SETTINGS = Settings()


class StaticLayer:
    """Applies messages as nav2's static layer does."""

    def __init__(self) -> None:
        self.costs: npt.NDArray[np.int8] | None = None
        self.full_grids = 0
        self.is_late = False
        """Whether updates arrive before the full grid of the same time is taken over."""

    def receive(self, grid: MapGrid, result: Result) -> None:
        for content, kind in (
            (grid.full(result, SETTINGS), OccupancyGrid),
            (grid.update(result, SETTINGS), OccupancyGridUpdate),
        ):
            if content is None or (kind is OccupancyGridUpdate and self.is_late):
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


def result(seed: int, window: VoxelGrid = WINDOW, at_s: float = 0.0) -> Result:
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :, 0] = ROAD
    labels[np.random.default_rng(seed).random(GRID.size[:2]) < 0.1, 1:] = BUILDING
    return Result(predict(labels, grid=replace(GRID, frame_id="map"), at_s=at_s), "map", window=window)


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


@given(late=st.integers(1, 4), seeds=st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_updates_before_a_full_grid_is_taken_over_are_repeated(late: int, seeds: list[int]) -> None:
    """nav2's static layer applies updates to the grid that a received full grid is about to replace."""
    grid, layer = MapGrid(), StaticLayer()
    grid.grid_subscribers = grid.update_subscribers = lambda: 1
    for i, seed in enumerate(seeds):
        layer.is_late = i < late
        shown = result(seed, at_s=float(i))
        layer.receive(grid, shown)
        if not layer.is_late:
            np.testing.assert_array_equal(layer.costs, expected(shown))


def test_updates_are_not_repeated_for_ever() -> None:
    grid = MapGrid()
    grid.grid_subscribers = grid.update_subscribers = lambda: 1
    assert grid.full(result(1), SETTINGS)
    assert grid.update(result(2, at_s=1.0), SETTINGS) and grid.update(result(2, at_s=4.0), SETTINGS)
    assert grid.update(result(2, at_s=60.0), SETTINGS) is None


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


@pytest.mark.parametrize("cells", [-1024, -17, 0, 3, 129])
def test_nav2_finds_the_origin_on_the_lattice_of_the_resolution(cells: int) -> None:
    """nav2's static layer warns if the remainder by the resolution, a float32, is above 1e-5 m."""
    window = replace(WINDOW, origin=(cells * 0.2, -4.8, -0.8))
    content = encode_costs(np.zeros((4, 4), np.int8), window, 0, "map")
    info = deserialize_message(content, OccupancyGrid).info
    position = info.origin.position
    assert math.fmod(position.x, info.resolution) == math.fmod(position.y, info.resolution) == 0.0
    assert position.x == pytest.approx(cells * 0.2, abs=1e-5)
