"""Voxel grids: indices, centres, lattices, and invalid arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.errors import GridError
from occdepth_ros.grid import MAX_VOXELS, VoxelGrid

coordinate = st.floats(-1e3, 1e3)
grids = st.builds(
    VoxelGrid,
    origin=st.tuples(coordinate, coordinate, coordinate),
    size=st.tuples(*[st.integers(1, 9)] * 3),
    resolution=st.floats(0.01, 5),
)


@given(grids, st.data())
def test_the_centre_of_a_voxel_is_in_the_voxel(grid: VoxelGrid, data: st.DataObject) -> None:
    index = np.array([[data.draw(st.integers(0, n - 1)) for n in grid.size]])
    found, inside = grid.index_of(grid.centers_of(index))
    assert inside.all()
    np.testing.assert_array_equal(found, index)


@given(grids, st.tuples(*[st.floats(-0.3, 1.3)] * 3))
def test_points_are_within_half_an_edge_of_the_centre_of_their_voxel(
    grid: VoxelGrid, share: tuple[float, float, float]
) -> None:
    point = np.asarray(grid.origin) + np.asarray(share) * grid.extent
    index, inside = grid.index_of(point[None])
    margin = 1e-9 * (1 + np.abs(point).max())
    if inside[0]:
        distance = np.abs(grid.centers_of(index)[0] - point).max()
        assert distance <= grid.resolution / 2 + margin
    else:
        low, high = np.asarray(grid.origin), np.asarray(grid.origin) + grid.extent
        assert ((point < low + margin) | (point >= high - margin)).any()


@given(grids)
def test_centers_are_in_c_order(grid: VoxelGrid) -> None:
    index = np.stack(np.unravel_index(np.arange(grid.count), grid.size), 1)
    centers = grid.centers()
    assert centers.dtype == np.float32
    assert centers.shape == (grid.count, 3)
    np.testing.assert_allclose(centers, grid.centers_of(index), rtol=1e-6, atol=1e-6)
    for axis in range(3):
        np.testing.assert_allclose(np.unique(index[:, axis]), np.arange(grid.size[axis]))
        np.testing.assert_allclose(grid.axis_centers(axis)[index[:, axis]], grid.centers_of(index)[:, axis], atol=1e-9)


def test_points_that_are_not_finite_are_outside() -> None:
    grid = VoxelGrid.semantic_kitti()
    bad = np.array([[np.nan, 0, 0], [np.inf, 0, 0], [0, -np.inf, 0], [1, 1, 1e300]])
    index, inside = grid.index_of(bad)
    assert not inside.any()
    assert (index == 0).all()


def test_benchmark_grid() -> None:
    grid = VoxelGrid.semantic_kitti("base")
    assert (grid.size, grid.resolution, grid.origin, grid.frame_id) == (
        (256, 256, 32),
        0.2,
        (0.0, -25.6, -2.0),
        "base",
    )
    assert grid.count == 256 * 256 * 32
    np.testing.assert_allclose(grid.extent, (51.2, 51.2, 6.4))


@given(grids, st.integers(1, 4))
def test_coarsening_keeps_the_extent(grid: VoxelGrid, factor: int) -> None:
    nx, ny, nz = grid.size
    fine = VoxelGrid(grid.origin, (factor * nx, factor * ny, factor * nz), grid.resolution)
    coarse = fine.coarsened(factor)
    assert coarse.size == grid.size
    np.testing.assert_allclose(coarse.extent, fine.extent)
    assert coarse.origin == fine.origin


@pytest.mark.parametrize("factor", [0, -2, 3])
def test_coarsening_by_a_factor_that_does_not_divide_the_size_is_refused(factor: int) -> None:
    with pytest.raises(GridError, match="not divisible"):
        VoxelGrid((0, 0, 0), (4, 4, 4), 0.1).coarsened(factor)


@given(grids, st.tuples(*[st.integers(-50, 50)] * 3))
def test_offset_of_a_shifted_grid_is_the_shift(grid: VoxelGrid, shift: tuple[int, int, int]) -> None:
    x, y, z = np.asarray(grid.origin) + np.asarray(shift) * grid.resolution
    moved = VoxelGrid((x, y, z), (2, 3, 4), grid.resolution)
    assert moved.offset_to(grid) == shift
    assert grid.offset_to(moved) == (-shift[0], -shift[1], -shift[2])


@pytest.mark.parametrize("other", [VoxelGrid((0.05, 0, 0), (4, 4, 4), 0.1), VoxelGrid((0, 0, 0), (4, 4, 4), 0.2)])
def test_grids_on_different_lattices_have_no_offset(other: VoxelGrid) -> None:
    with pytest.raises(GridError, match="lattice"):
        VoxelGrid((0, 0, 0), (4, 4, 4), 0.1).offset_to(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"origin": (0, 0)}, "origin"),
        ({"origin": (0, np.nan, 0)}, "origin"),
        ({"origin": (0, np.inf, 0)}, "origin"),
        ({"origin": ("a", 0, 0)}, "not all numbers"),
        ({"origin": 5}, "not all numbers"),
        ({"size": (4, 4)}, "size"),
        ({"size": (4, 0, 4)}, "size"),
        ({"size": (4, -1, 4)}, "size"),
        ({"size": (4, 2.5, 4)}, "not all numbers"),
        ({"size": (4, np.nan, 4)}, "not all numbers"),
        ({"size": (4, np.inf, 4)}, "not all numbers"),
        ({"size": (MAX_VOXELS, 2, 1)}, "more than"),
        ({"size": (2**40, 2**40, 1)}, "more than"),
        ({"resolution": 0}, "resolution"),
        ({"resolution": -0.1}, "resolution"),
        ({"resolution": np.nan}, "resolution"),
        ({"resolution": np.inf}, "resolution"),
        ({"resolution": "fine"}, "not all numbers"),
    ],
)
def test_unusable_grids_are_refused(arguments: dict[str, Any], message: str) -> None:
    usable: dict[str, Any] = {"origin": (0, 0, 0), "size": (4, 4, 4), "resolution": 0.1}
    with pytest.raises(GridError, match=message):
        VoxelGrid(**(usable | arguments))
