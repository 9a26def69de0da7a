"""Labels of voxels: which the solids fill, and which no viewpoint sees."""

from __future__ import annotations

import numpy as np

from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.synthetic.labels.complete import complete_labels
from occdepth_ros.data.synthetic.labels.voxels import solid_labels
from occdepth_ros.data.synthetic.rendering.relief import Backdrop
from occdepth_ros.data.synthetic.scene.ground import EAST, SIDE, STEP, WEST, Ground
from occdepth_ros.data.synthetic.scene.layout import Scene
from occdepth_ros.data.synthetic.scene.sides import Side
from occdepth_ros.data.synthetic.scene.solids import Part, World, box, post
from occdepth_ros.grid import VoxelGrid

GRID = VoxelGrid((0.0, -4.0, -2.0), (40, 40, 20), 0.2)
ROAD, BUILDING, POLE = (SEMANTIC_KITTI.id_of(name) for name in ("road", "building", "pole"))
GREY = (0.5, 0.5, 0.5)
LEVEL = -1.65
LAYER = int((LEVEL + 2.0) / 0.2)


def scene(*parts: Part) -> Scene:
    """A level road of 40 m width with parts on it."""
    columns, rows = int((EAST - WEST) / STEP) + 1, int(2 * SIDE / STEP) + 1
    ground = Ground(np.zeros(columns), np.full((columns, rows), LEVEL, np.float32), (), (ROAD,), 20.0, ())
    side = Side(1.0, 20, 20, 20, 20, 20, ("road",) * 5, False, False, 0.0)
    backdrop = Backdrop(np.full(64, -1, np.float32))
    return Scene("flat", World.of(parts), ground, backdrop, 0.0, 0, (side, side), parts, ())


def house_and_pole() -> Scene:
    house = box("building", (2.03, 2.13, -1.65), (6.03, 9, 5), GREY)
    return scene(house, post("pole", 0.05, 3.0, GREY, (3.1, -1.1, -1.65)))


def test_the_ground_is_one_layer_and_unknown_below() -> None:
    labels = solid_labels(house_and_pole(), GRID, np.eye(4))
    assert (labels[:, :20, LAYER] == ROAD).mean() > 0.99
    assert (labels[:, :20, :LAYER] == UNKNOWN).all()
    assert set(np.unique(labels[:, :20, LAYER + 1 :])) == {EMPTY, POLE}


def test_thin_objects_are_not_lost_between_voxel_centres() -> None:
    for shift in np.linspace(0, 0.2, 9):
        pole = post("pole", 0.035, 2.0, GREY, (3 + shift, shift / 2, -1.5))
        labels = solid_labels(scene(pole), GRID, np.eye(4))
        assert (labels == POLE).any(axis=(0, 1)).sum() >= 9


def test_the_inside_of_a_house_is_unknown_behind_its_walls() -> None:
    labels = solid_labels(house_and_pole(), GRID, np.eye(4))
    assert labels[20, 31, 10] == BUILDING
    assert labels[20, 36, 10] == UNKNOWN


def test_a_translated_grid_contains_the_same_world() -> None:
    pose = np.eye(4)
    pose[:3, 3] = [0.4, 0.2, 0.0]
    still, translated = (solid_labels(house_and_pole(), GRID, p) for p in (np.eye(4), pose))
    # a voxel centre on a border may fall on either side
    assert (translated[:-2, :-1] == still[2:, 1:]).mean() > 0.999


def test_voxels_hidden_from_all_viewpoints_are_unknown() -> None:
    wall = box("building", (3, -1, -1.65), (3.6, 1, 5), GREY)
    solid = solid_labels(scene(wall), GRID, np.eye(4))
    front = np.array([[0.5, 0.0, 0.0]])
    labels = complete_labels(solid, GRID, front)
    assert labels[5, 20, 12] == EMPTY
    assert labels[15, 20, 12] == BUILDING
    assert labels[25, 20, 12] == UNKNOWN
    assert labels[30, 20, LAYER] == UNKNOWN
    both = complete_labels(solid, GRID, np.vstack([front, [[7.0, 0.0, 0.0]]]))
    assert both[25, 20, 12] == EMPTY
    assert both[30, 20, LAYER] == ROAD


def test_complete_labels_never_change_the_class_of_a_voxel() -> None:
    solid = solid_labels(house_and_pole(), GRID, np.eye(4))
    labels = complete_labels(solid, GRID, np.array([[0.5, 0.0, 0.0], [4.0, 0.0, 0.0]]))
    known = labels != UNKNOWN
    np.testing.assert_array_equal(labels[known], solid[known])
    assert 0.1 < known.mean() < 0.9
