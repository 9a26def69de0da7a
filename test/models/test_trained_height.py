"""Grids a layer or two beside the taught one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.evaluation.alignment import aligned_labels
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.trained_height import FARTHEST, TAUGHT_Z, raised, taught_grid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

GRID = replace(VoxelGrid.semantic_kitti(), size=(4, 6, 8))


@given(layers=st.integers(-4, 4))
def test_grids_within_reach_are_predicted_at_the_taught_height(layers: int) -> None:
    grid = replace(GRID, origin=(1.0, -3.0, TAUGHT_Z + layers * GRID.resolution))
    taught, found = taught_grid(grid)
    if abs(layers) <= FARTHEST:
        assert found == layers and taught.origin == (1.0, -3.0, taught.origin[2]) and taught.size == grid.size
        assert abs(taught.origin[2] - TAUGHT_Z) < 1e-9
    else:
        assert found == 0 and taught is grid


def test_a_grid_between_two_layers_is_left_where_it_is() -> None:
    grid = replace(GRID, origin=(0.0, 0.0, TAUGHT_Z + 0.5 * GRID.resolution))
    assert taught_grid(grid) == (grid, 0)
    assert taught_grid(BENCHMARK_GRID) == (BENCHMARK_GRID, 0)


@given(layers=st.integers(-FARTHEST, FARTHEST), seed=st.integers(0, 99))
def test_what_was_predicted_stays_at_its_place(layers: int, seed: int) -> None:
    grid = replace(GRID, origin=(1.0, -3.0, TAUGHT_Z + layers * GRID.resolution))
    taught, _ = taught_grid(grid)
    labels = np.random.default_rng(seed).integers(1, 20, grid.size, dtype=np.uint8)
    moved = raised(torch.from_numpy(labels), layers).numpy()
    expected = aligned_labels(labels, taught, grid)
    inside = expected != 255
    assert inside.sum() == labels.size * (1 - abs(layers) / GRID.size[2])
    np.testing.assert_array_equal(moved[inside], expected[inside])
    assert not moved[~inside].any()
