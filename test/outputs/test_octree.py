"""Octree streams and files: round trips for arbitrary grids, and detection of damaged streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.predictions import predict, predictions, random_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import ClassTable
from occdepth_ros.errors import GridError, OccDepthError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.outputs import octomap
from occdepth_ros.outputs.octree import (
    LeafTable,
    binary_stream,
    color_stream,
    node_count,
    read_binary_stream,
    read_color_stream,
    write_octree,
)
from occdepth_ros.outputs.selection import Selection, select
from occdepth_ros.prediction import OccupancyPrediction

GRID = VoxelGrid((0.0, -0.8, -0.4), (8, 8, 4), 0.2)


@given(predictions())
def test_binary_streams_round_trip(prediction: OccupancyPrediction) -> None:
    occupied, free = select(prediction, Selection("all"))
    stream = binary_stream(occupied, free, prediction.grid)
    assert stream == octomap.occupancy_stream(prediction, Selection("all"))
    back = read_binary_stream(stream, prediction.grid)
    assert np.array_equal(back[0], occupied)
    assert np.array_equal(back[1], free)


@given(predictions())
def test_color_streams_round_trip(prediction: OccupancyPrediction) -> None:
    cells, leaves = octomap.leaf_cells(prediction.labels, prediction.confidence, prediction.classes)
    log_odds, rgb = read_color_stream(color_stream(cells, leaves, prediction.grid), prediction.grid)
    assert np.array_equal(np.isnan(log_odds), prediction.unknown)
    assert np.array_equal(log_odds >= 0, prediction.occupied)
    assert np.array_equal(log_odds, np.where(cells == 0, np.nan, leaves.log_odds[cells]), equal_nan=True)
    assert np.array_equal(rgb[prediction.occupied], prediction.classes.colors[prediction.labels[prediction.occupied]])
    assert (rgb[~prediction.occupied] == 255).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(300, 1000))
def test_uint16_cells_round_trip(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    leaves = LeafTable(
        np.concatenate([[0], np.sort(rng.normal(size=count - 1))]).astype(np.float32),
        rng.integers(0, 255, (count, 3), dtype=np.uint8),
    )
    cells = rng.integers(0, count, (7, 5, 6), dtype=np.uint16).repeat(2, axis=1)
    grid = VoxelGrid((-0.6, 0.2, 0.4), cells.shape, 0.2)
    log_odds, rgb = read_color_stream(color_stream(cells, leaves, grid), grid)
    assert np.array_equal(np.isnan(log_odds), cells == 0)
    assert np.array_equal(log_odds[cells > 0], leaves.log_odds[cells[cells > 0]])
    assert np.array_equal(rgb[cells > 0], leaves.rgb[cells[cells > 0]])


def test_a_grid_of_unknown_cells_gives_an_empty_stream() -> None:
    nothing = np.zeros(GRID.size, bool)
    assert binary_stream(nothing, nothing, GRID) == b""
    assert (
        color_stream(nothing.astype(np.uint8), LeafTable(np.zeros(1, np.float32), np.zeros((1, 3), np.uint8)), GRID)
        == b""
    )
    assert not read_binary_stream(b"", GRID)[0].any()
    assert np.isnan(read_color_stream(b"", GRID)[0]).all()


def test_a_full_aligned_block_is_one_leaf() -> None:
    grid = VoxelGrid((0.0, 0.0, 0.0), (16, 16, 16), 0.2)
    full = np.ones(grid.size, bool)
    stream = binary_stream(full, ~full, grid)
    # There is one inner node per level from 16 to 5; the first child of the last one is the block of 16 voxels.
    assert len(stream) == 2 * 12
    assert node_count("OcTree", stream) == 13


def test_cells_marked_occupied_and_free_are_occupied() -> None:
    both = np.ones(GRID.size, bool)
    occupied, free = read_binary_stream(binary_stream(both, both, GRID), GRID)
    assert occupied.all()
    assert not free.any()


def test_the_origin_snaps_to_the_lattice_or_is_refused() -> None:
    full = np.ones(GRID.size, bool)
    near = VoxelGrid((0.0001, -0.8001, -0.4), GRID.size, 0.2)
    assert binary_stream(full, ~full, near) == binary_stream(full, ~full, GRID)
    with pytest.raises(GridError, match="whole number"):
        binary_stream(full, ~full, VoxelGrid((0.05, -0.8, -0.4), GRID.size, 0.2))
    with pytest.raises(GridError, match="65536"):
        binary_stream(full, ~full, VoxelGrid((6553.0, 0.0, 0.0), GRID.size, 0.2))


def test_cells_must_fit_the_grid_and_the_table() -> None:
    leaves = LeafTable(np.array([0, 1], np.float32), np.zeros((2, 3), np.uint8))
    with pytest.raises(GridError, match="grid"):
        binary_stream(np.zeros((2, 2, 2), bool), np.zeros(GRID.size, bool), GRID)
    with pytest.raises(GridError, match="entry 2"):
        color_stream(np.full(GRID.size, 2, np.uint8), leaves, GRID)
    with pytest.raises(GridError, match="ascending"):
        LeafTable(np.array([0, 1, -1], np.float32), np.zeros((3, 3), np.uint8))
    with pytest.raises(GridError, match="ascending"):
        LeafTable(np.array([0, np.nan], np.float32), np.zeros((2, 3), np.uint8))


def damaged_streams(stream: bytes, node: int) -> list[tuple[bytes, str]]:
    return [(stream[:-node], "is truncated"), (stream[:-1], "ends within a node"), (stream + stream, "continues after")]


def test_damaged_streams_are_refused() -> None:
    prediction = predict(random_labels(np.random.default_rng(1), GRID.size), grid=GRID)
    for stream, message in damaged_streams(octomap.occupancy_stream(prediction, octomap.OBSERVED), 2):
        with pytest.raises(OccDepthError, match=message):
            read_binary_stream(stream, GRID)
    color = octomap.semantic_stream(prediction, octomap.OBSERVED)
    for stream, message in damaged_streams(color, 8):
        with pytest.raises(OccDepthError, match=message):
            read_color_stream(stream, GRID)
    with pytest.raises(OccDepthError, match="deeper than 16"):
        read_binary_stream(b"\x03\x00" * 40, GRID)
    with pytest.raises(OccDepthError, match="not finite"):
        read_color_stream(np.float32(np.nan).tobytes() + color[4:], GRID)


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_random_bytes_are_read_or_raise_a_named_error(garbage: bytes) -> None:
    for read in (read_binary_stream, read_color_stream):
        try:
            read(garbage, GRID)
        except OccDepthError as error:
            assert "octree" in str(error)


def test_log_odds_are_clamped_and_their_sign_follows_the_label() -> None:
    leaves = octomap.leaf_table(predict(np.zeros((1, 1, 1), np.uint8)).classes)
    low, high = (np.log(p / (1 - p)) for p in octomap.CLAMP)
    log_odds = leaves.log_odds[1:]
    assert (np.diff(log_odds) >= 0).all()
    assert log_odds.min() == pytest.approx(low)
    assert log_odds.max() < high + 1e-6
    assert (log_odds[: octomap.LEVELS] < 0).all()
    assert (log_odds[octomap.LEVELS :] > 0).all()


def test_tables_of_many_classes_use_uint16_cells() -> None:
    names = tuple(f"class {i}" for i in range(150))
    table = ClassTable(names, tuple((i, 255 - i, 7) for i in range(150)), {}, {}, frozenset({1}))
    labels = np.random.default_rng(0).integers(0, 150, (6, 6, 6), dtype=np.uint8)
    labels[0] = 200  # a label without a class
    prediction = predict(labels, classes=table)
    cells, leaves = octomap.leaf_cells(labels, prediction.confidence, table)
    assert cells.dtype == np.uint16
    _, rgb = read_color_stream(color_stream(cells, leaves, prediction.grid), prediction.grid)
    known = (labels > 0) & (labels < 150)
    assert np.array_equal(rgb[known], table.colors[labels[known]])
    assert (cells[0] == 0).all()


def test_failed_writes_leave_no_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "map.bt"
    write_octree(path, "OcTree", b"", 0.2)
    assert path.read_bytes().startswith(b"# Octomap OcTree binary file\n")
    with pytest.raises(OccDepthError, match=r"\.ot"):
        write_octree(tmp_path / "map.bt", "ColorOcTree", b"", 0.2)
    with pytest.raises(OccDepthError, match="cannot write"):
        write_octree(path / "map.bt", "OcTree", b"", 0.2)
    (tmp_path / "folder.bt").mkdir()
    with pytest.raises(OccDepthError, match="cannot write"):
        write_octree(tmp_path / "folder.bt", "OcTree", b"", 0.2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.bt", "map.bt"]
