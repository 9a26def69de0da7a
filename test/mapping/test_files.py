"""Map files: equal after many rounds, refused when damaged, whole or absent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.maps import BUILDING, CAR, ROAD, SMALL, pose, predict, street
from helpers.predictions import predictions
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.errors import OutputError, SourceError
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.files import SUFFIXES, load_map, save_map
from occdepth_ros.outputs.octomap import write_bt, write_ot
from occdepth_ros.outputs.selection import Selection, select
from occdepth_ros.prediction import OccupancyPrediction


def drive() -> OccupancyMap:
    world = OccupancyMap(SMALL)
    for i in range(12):
        world.integrate(predict(street(i), at_s=0.1 * i), pose(1.5 * i, yaw=0.05 * i))
    return world


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_hundred_rounds_of_saving_and_loading_are_equal(tmp_path: Path, suffix: str) -> None:
    world = drive()
    first = world.whole()
    path = tmp_path / f"map{suffix}"
    save_map(path, world)
    content = path.read_bytes()
    for _ in range(100):
        again = OccupancyMap(SMALL)
        load_map(path, again)
        save_map(path, again)
    assert path.read_bytes() == content
    whole = again.whole()
    index, inside = whole.grid.index_of(first.grid.centers())
    occupied, free = (
        part.reshape(-1)[np.ravel_multi_index(index.T, whole.grid.size)] for part in (whole.occupied, whole.free)
    )
    assert inside.all()
    assert np.array_equal(occupied, first.occupied.reshape(-1)) and np.array_equal(free, first.free.reshape(-1))
    if suffix != ".bt":
        assert np.array_equal(whole.labels, first.labels)
    if suffix == ".npz":
        assert np.array_equal(whole.visibility, first.visibility)


def test_a_loaded_map_is_extended_by_predictions(tmp_path: Path) -> None:
    world = drive()
    save_map(tmp_path / "map.npz", world)
    again = OccupancyMap(SMALL)
    load_map(tmp_path / "map.npz", again)
    again.integrate(predict(street(12), at_s=1.2), pose(18.0))
    before, after = world.whole(), again.whole()
    assert after.occupied.sum() > before.occupied.sum()


@settings(max_examples=60)
@given(predictions(), st.sampled_from([".bt", ".ot"]))
def test_octree_files_hold_the_seen_cells_of_any_prediction(
    tmp_path_factory: pytest.TempPathFactory, prediction: OccupancyPrediction, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("octree") / f"map{suffix}"
    (write_bt if suffix == ".bt" else write_ot)(path, prediction, Selection("seen"))
    world = OccupancyMap(replace(SMALL, resolution=prediction.grid.resolution))
    load_map(path, world)
    occupied, free = select(prediction, Selection("seen"))
    if not (occupied.any() or free.any()):
        assert not world.blocks()
        return
    whole = world.whole()
    assert whole.occupied.sum() == occupied.sum() and whole.free.sum() == free.sum()
    known = np.argwhere(occupied | free)
    index, inside = whole.grid.index_of(prediction.grid.centers_of(known))
    labels = whole.labels[tuple(index.T)]
    assert inside.all()
    named = prediction.labels[tuple(known.T)]
    assert np.array_equal(labels, named if suffix == ".ot" else np.where(named == 0, 0, BUILDING))


def test_a_loaded_octree_gets_its_classes_from_the_first_observation(tmp_path: Path) -> None:
    world = drive()
    save_map(tmp_path / "map.bt", world)
    again = OccupancyMap(SMALL)
    load_map(tmp_path / "map.bt", again)
    assert set(np.unique(again.whole().labels[again.whole().occupied])) == {BUILDING}
    again.integrate(predict(ROAD, at_s=100.0), pose())
    here = again.snapshot((0, -8, -4), (16, 16, 8))
    assert here is not None and (here.labels[here.occupied] == ROAD).all()


def test_a_map_of_a_later_time_ages_after_it_is_loaded(tmp_path: Path) -> None:
    world = OccupancyMap(SMALL)
    world.integrate(predict(CAR, at_s=5000.0), pose())
    save_map(tmp_path / "map.npz", world)
    again = OccupancyMap(SMALL)
    load_map(tmp_path / "map.npz", again)
    for at_s in (10.0, 10.0 + SMALL.dynamic_s + 0.2):
        again.integrate(predict(UNKNOWN, at_s=at_s), pose())
    assert again.stamp_ns == round((10.0 + SMALL.dynamic_s + 0.2) * 1e9)
    assert not again.whole().occupied.any()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"# Octomap OcTree file\nid ColorOcTree\nsize 1\nres 0.2\ndata\n" + 7 * b"\0", "ends within a node"),
        (b"# Octomap OcTree file\nid ColorOcTree\nsize 1\nres 0.2\ndata\n" + 8 * b"\0", "covers"),
        (b"# Octomap OcTree file\nid CountingOcTree\nsize 1\nres 0.2\ndata\n" + 8 * b"\0", "CountingOcTree"),
        (b"# Octomap OcTree file\nid OcTree\nsize 1\nres nan\ndata\n" + 5 * b"\0", "nan m"),
        (b"# Octomap OcTree file\nsize 1\nres 0.2\ndata\n", "id and res"),
        (b"# Octomap OcTree binary file\nid OcTree\nsize 1\nres 0.1\ndata\n", r"0\.1 m"),
        (b"# Octomap OcTree binary file\nid OcTree\nres 0.2\ndata\n\x03\0", "truncated"),
        (b"PK", "no header"),
    ],
)
def test_octree_files_that_cannot_be_used_are_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "map.ot"
    path.write_bytes(content)
    world = drive()
    before = world.whole().labels
    with pytest.raises(SourceError, match=sentence) as raised:
        load_map(path, world)
    assert "map.ot" in str(raised.value)
    assert np.array_equal(world.whole().labels, before)


@settings(max_examples=60)
@given(position=st.floats(0, 1), value=st.integers(0, 255))
def test_damaged_files_are_refused_or_read_and_never_change_the_map_in_part(
    tmp_path_factory: pytest.TempPathFactory, position: float, value: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "map.npz"
    world = OccupancyMap(SMALL)
    world.integrate(predict(street(0)), pose())
    save_map(path, world)
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] = value
    path.write_bytes(content)
    other = drive()
    before = other.whole().labels
    try:
        load_map(path, other)
    except SourceError:
        assert np.array_equal(other.whole().labels, before)


@pytest.mark.parametrize("content", [b"", b"PK", b"no map", b"\x93NUMPY"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "map.npz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        load_map(path, OccupancyMap(SMALL))


def test_errors_name_file_and_remedy(tmp_path: Path) -> None:
    world = drive()
    with pytest.raises(SourceError, match="suffix"):
        save_map(tmp_path / "map.txt", world)
    with pytest.raises(SourceError, match="empty"):
        save_map(tmp_path / "map.npz", OccupancyMap(SMALL))
    with pytest.raises(SourceError, match="absent"):
        load_map(tmp_path / "absent.npz", world)
    save_map(tmp_path / "map.npz", world)
    with pytest.raises(SourceError, match=r"0\.2 m"):
        load_map(tmp_path / "map.npz", OccupancyMap(MapConfig(resolution=0.4, size=(48, 48, 32))))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_map(tmp_path / "file" / "map.npz", world)
    assert not list(tmp_path.glob(".*"))
