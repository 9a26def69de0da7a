"""Map files: equal after many rounds, refused when damaged, whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.maps import SMALL, pose, predict, street
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.errors import OutputError, SourceError
from occdepth_ros.mapping import MapConfig, OccupancyMap
from occdepth_ros.mapping.files import load_map, save_map
from occdepth_ros.outputs.octree.reader import read_binary_stream


def drive() -> OccupancyMap:
    world = OccupancyMap(SMALL)
    for i in range(12):
        world.integrate(predict(street(i), at_s=0.1 * i), pose(1.5 * i, yaw=0.05 * i))
    return world


def test_a_hundred_rounds_of_saving_and_loading_are_equal(tmp_path: Path) -> None:
    world = drive()
    first = world.whole()
    path = tmp_path / "map.npz"
    save_map(path, world)
    content = path.read_bytes()
    for _ in range(100):
        again = OccupancyMap(SMALL)
        load_map(path, again)
        save_map(path, again)
    assert path.read_bytes() == content
    assert np.array_equal(again.whole().labels, first.labels)
    assert np.array_equal(again.whole().visibility, first.visibility)


def test_a_loaded_map_is_extended_by_predictions(tmp_path: Path) -> None:
    world = drive()
    save_map(tmp_path / "map.npz", world)
    again = OccupancyMap(SMALL)
    load_map(tmp_path / "map.npz", again)
    again.integrate(predict(street(12), at_s=1.2), pose(18.0))
    before, after = world.whole(), again.whole()
    assert after.occupied.sum() > before.occupied.sum()


def test_octomap_files_hold_the_occupied_and_the_free_voxels(tmp_path: Path) -> None:
    world = drive()
    save_map(tmp_path / "map.bt", world)
    save_map(tmp_path / "map.ot", world)
    whole = world.whole()
    stream = (tmp_path / "map.bt").read_bytes().split(b"data\n", 1)[1]
    occupied, free = read_binary_stream(stream, whole.grid)
    assert np.array_equal(occupied, whole.occupied) and np.array_equal(free, whole.free)
    assert (tmp_path / "map.ot").stat().st_size > 1000


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
