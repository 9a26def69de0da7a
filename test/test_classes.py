"""Class tables: raw ids, colours, ground."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN, ClassTable


@given(st.lists(st.integers(0, 19), max_size=50))
def test_class_ids_are_unchanged_after_mapping_to_raw_ids_and_back(labels: list[int]) -> None:
    array = np.array(labels, np.uint8)
    raw = SEMANTIC_KITTI.to_raw(array)
    assert raw.dtype == np.uint16
    np.testing.assert_array_equal(SEMANTIC_KITTI.from_raw(raw), array)


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_instance_ids_in_the_upper_bits_are_ignored(raw: int, instance: int) -> None:
    both = np.array([raw, raw | instance << 16], np.uint32)
    first, second = SEMANTIC_KITTI.from_raw(both)
    assert first == second


def test_moving_classes_map_to_the_static_class() -> None:
    raw = np.array([252, 253, 254, 255, 256, 257, 258, 259], np.uint16)
    names = [SEMANTIC_KITTI.names[i] for i in SEMANTIC_KITTI.from_raw(raw)]
    assert names == [
        "car",
        "bicyclist",
        "person",
        "motorcyclist",
        "other-vehicle",
        "other-vehicle",
        "truck",
        "other-vehicle",
    ]


@pytest.mark.parametrize("raw", [1, 52, 99, 12, 65535])
def test_unlisted_raw_ids_are_unknown(raw: int) -> None:
    assert SEMANTIC_KITTI.from_raw(np.array([raw], np.uint16))[0] == UNKNOWN


def test_unknown_becomes_raw_zero() -> None:
    np.testing.assert_array_equal(SEMANTIC_KITTI.to_raw(np.array([UNKNOWN, 20, 9], np.uint8)), [0, 0, 40])


def test_colors_match_the_semantic_kitti_configuration() -> None:
    assert len(SEMANTIC_KITTI) == len(SEMANTIC_KITTI.rgb) == 20
    assert SEMANTIC_KITTI.colors.shape == (256, 3)
    assert SEMANTIC_KITTI.colors[SEMANTIC_KITTI.id_of("road")].tolist() == [255, 0, 255]
    assert SEMANTIC_KITTI.colors[SEMANTIC_KITTI.id_of("car")].tolist() == [100, 150, 245]
    assert SEMANTIC_KITTI.colors[UNKNOWN].tolist() == SEMANTIC_KITTI.colors[20].tolist() == [128, 128, 128]
    assert len(set(SEMANTIC_KITTI.rgb)) == 20


def test_ground() -> None:
    ground = {SEMANTIC_KITTI.names[i] for i in np.flatnonzero(SEMANTIC_KITTI.is_ground)}
    assert ground == {"road", "parking", "sidewalk", "other-ground", "terrain"}
    assert not SEMANTIC_KITTI.is_ground[[EMPTY, UNKNOWN]].any()


def test_names() -> None:
    assert [SEMANTIC_KITTI.id_of(name) for name in SEMANTIC_KITTI.names] == list(range(20))
    with pytest.raises(KeyError, match=r"no class 'tree'; known: empty, car"):
        SEMANTIC_KITTI.id_of("tree")


def test_custom_class_tables() -> None:
    table = ClassTable(("empty", "floor"), ((0, 0, 0), (1, 2, 3)), {0: 0, 7: 1}, {0: 0, 1: 7}, frozenset({1}))
    np.testing.assert_array_equal(table.from_raw(np.array([0, 7, 8], np.uint8)), [0, 1, UNKNOWN])
    np.testing.assert_array_equal(table.to_raw(np.array([0, 1, 255], np.uint8)), [0, 7, 0])
