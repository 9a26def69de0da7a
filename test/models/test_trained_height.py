"""Grids one or two layers above or below the trained one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.evaluation.alignment import aligned_labels
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.trained_height import MAX_SHIFT, TRAINED_Z, shifted, trained_grid
from occdepth_ros.sources.ground_truth import BENCHMARK_GRID

GRID = replace(VoxelGrid.semantic_kitti(), size=(4, 6, 8))


@given(layers=st.integers(-4, 4))
def test_grids_within_reach_are_predicted_at_the_trained_height(layers: int) -> None:
    grid = replace(GRID, origin=(1.0, -3.0, TRAINED_Z + layers * GRID.resolution))
    trained, found = trained_grid(grid)
    if abs(layers) <= MAX_SHIFT:
        assert found == layers and trained.origin == (1.0, -3.0, trained.origin[2]) and trained.size == grid.size
        assert abs(trained.origin[2] - TRAINED_Z) < 1e-9
    else:
        assert found == 0 and trained is grid


def test_a_grid_between_two_layers_is_not_shifted() -> None:
    grid = replace(GRID, origin=(0.0, 0.0, TRAINED_Z + 0.5 * GRID.resolution))
    assert trained_grid(grid) == (grid, 0)
    assert trained_grid(BENCHMARK_GRID) == (BENCHMARK_GRID, 0)


@given(layers=st.integers(-MAX_SHIFT, MAX_SHIFT), seed=st.integers(0, 99))
def test_shifted_predictions_keep_their_position(layers: int, seed: int) -> None:
    grid = replace(GRID, origin=(1.0, -3.0, TRAINED_Z + layers * GRID.resolution))
    trained, _ = trained_grid(grid)
    labels = np.random.default_rng(seed).integers(1, 20, grid.size, dtype=np.uint8)
    moved = shifted(torch.from_numpy(labels), layers).numpy()
    expected = aligned_labels(labels, trained, grid)
    inside = expected != 255
    assert inside.sum() == labels.size * (1 - abs(layers) / GRID.size[2])
    np.testing.assert_array_equal(moved[inside], expected[inside])
    assert not moved[~inside].any()
