"""Path search: never through blocked cells, as short as possible, and none where there is none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.planning.astar import STEPS, nearest, shortest_path, traversable


def dijkstra(cells: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> float:
    """Length of the shortest path by relaxation of all edges, infinite without one."""
    distance = np.full(cells.shape, math.inf)
    distance[start] = 0
    for _ in range(cells.size):
        before = distance.copy()
        for x, y in np.argwhere(cells):
            for dx, dy, length in STEPS:
                a, b = x + dx, y + dy
                if not (0 <= a < cells.shape[0] and 0 <= b < cells.shape[1] and cells[a, b]):
                    continue
                if dx and dy and not (cells[a, y] and cells[x, b]):
                    continue
                distance[a, b] = min(distance[a, b], distance[x, y] + length)
        if np.array_equal(before, distance):
            break
    return float(distance[goal])


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.3, 1.0))
def test_paths_are_as_short_as_possible_and_stay_on_free_cells(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.random((6, 7)) < share
    cells[0, 0] = cells[5, 6] = True
    path = shortest_path(cells, (0, 0), (5, 6))
    best = dijkstra(cells, (0, 0), (5, 6))
    if path is None:
        assert math.isinf(best)
        return
    assert path[0] == (0, 0) and path[-1] == (5, 6)
    assert all(cells[cell] for cell in path)
    length = 0.0
    for (a, b), (c, d) in itertools.pairwise(path):
        assert max(abs(a - c), abs(b - d)) == 1 and cells[a, d] and cells[c, b]
        length += math.hypot(a - c, b - d)
    assert length == pytest.approx(best)


@given(seed=st.integers(0, 2**32 - 1), clearance=st.floats(0, 4))
def test_clearance_is_kept_to_lethal_and_unknown_cells(seed: int, clearance: float) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.choice([0, 0, 0, 0, 0, 0, 0, 0, 40, 100, -1], (20, 20)).astype(np.int8)
    cells = traversable(costs, clearance)
    blocked = np.argwhere((costs < 0) | (costs >= 65))
    for x, y in np.argwhere(cells):
        assert costs[x, y] in (0, 40)
        if len(blocked):
            assert np.hypot(blocked[:, 0] - x, blocked[:, 1] - y).min() - 0.5 >= clearance - 1e-3


def test_a_wall_with_a_gap_is_passed_through_the_gap() -> None:
    costs = np.zeros((40, 40), np.int8)
    costs[20, :] = 100
    costs[20, 30:37] = 0
    cells = traversable(costs, 2.0)
    path = shortest_path(cells, (5, 5), (35, 5))
    assert path is not None and any(x == 20 and 31 < y < 36 for x, y in path)
    costs[20, 30:37] = -1
    assert shortest_path(traversable(costs, 2.0), (5, 5), (35, 5)) is None


def test_the_nearest_free_cell_within_the_radius_is_chosen() -> None:
    cells = np.zeros((10, 10), bool)
    cells[7, 2] = cells[9, 9] = True
    assert nearest(cells, (5.0, 2.0), 3.0) == (7, 2)
    assert nearest(cells, (5.0, 2.0), 1.0) is None
    assert nearest(np.zeros((3, 3), bool), (0.0, 0.0), 9.0) is None


def test_blocked_ends_have_no_path() -> None:
    cells = np.ones((4, 4), bool)
    cells[0, 0] = False
    assert shortest_path(cells, (0, 0), (3, 3)) is None
    assert shortest_path(cells, (3, 3), (0, 0)) is None
