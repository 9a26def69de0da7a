from __future__ import annotations

import numpy as np
import pytest

from occdepth_ros.classes import SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.data.street.labels import Panorama, benchmark_labels, solid_labels
from occdepth_ros.data.street.materials import Textured, reference
from occdepth_ros.data.street.scene import Solid
from occdepth_ros.data.street.shapes import Convex, Cylinder
from occdepth_ros.grid import VoxelGrid

REFERENCE = Textured(reference((0.5, 0.5, 0.5)))
GRID = VoxelGrid((0.0, -4.0, -2.0), (40, 40, 20), 0.2)
ROAD, BUILDING, POLE = (SEMANTIC_KITTI.id_of(name) for name in ("road", "building", "pole"))
LEVEL = np.eye(4)
Corner = tuple[float, float, float]


def box(
    lower: tuple[float, float, float], upper: tuple[float, float, float], label: int, *, ground: bool = False
) -> Solid:
    return Solid(Convex.box(lower, upper), REFERENCE, label, ground=ground)


def street() -> list[Solid]:
    return [
        box((-5, -9, -5), (20, 9, -1.65), ROAD, ground=True),
        box((2, 2.1, -1.65), (6, 9, 5), BUILDING),
        Solid(Cylinder(0.05, 3.0), REFERENCE, POLE, position=np.array([3.1, -1.1, -1.65], np.float32)),
    ]


def test_the_ground_is_one_layer_and_unknown_below() -> None:
    labels = solid_labels(street(), GRID, LEVEL)
    layer = int((-1.65 + 2.0) / 0.2)
    assert (labels[:, :20, layer] == ROAD).mean() > 0.99
    assert (labels[:, :20, :layer] == UNKNOWN).all()
    above = labels[:, :20, layer + 1 :]
    assert set(np.unique(above)) == {0, POLE}


def test_thin_things_are_not_lost_between_samples() -> None:
    for shift in np.linspace(0, 0.2, 9):
        pole = Solid(Cylinder(0.035, 2.0), REFERENCE, POLE, position=np.array([3 + shift, shift / 2, -1.5], np.float32))
        labels = solid_labels([pole], GRID, LEVEL)
        assert (labels == POLE).any(axis=(0, 1)).sum() >= 10


def test_the_inside_of_a_house_is_unknown_behind_its_walls() -> None:
    labels = solid_labels(street(), GRID, LEVEL)
    assert labels[20, 31, 10] == BUILDING
    assert labels[20, 36, 10] == UNKNOWN


def test_a_moved_grid_sees_the_same_world() -> None:
    pose = np.eye(4)
    pose[:3, 3] = [0.4, 0.2, 0.0]
    still, moved = solid_labels(street(), GRID, LEVEL), solid_labels(street(), GRID, pose)
    np.testing.assert_array_equal(moved[:-2, :-1], still[2:, 1:])


def test_what_no_viewpoint_sees_is_unknown() -> None:
    wall = box((3, -1, -1.65), (3.4, 1, 5), BUILDING)
    solids = [box((-5, -9, -5), (20, 9, -1.65), ROAD, ground=True), wall]
    front = Panorama.of(solids, (0.5, 0, 0))
    labels = benchmark_labels(solids, GRID, LEVEL, [front])
    assert labels[5, 20, 12] == 0
    assert labels[15, 20, 12] == BUILDING
    assert labels[25, 20, 12] == UNKNOWN
    assert labels[30, 20, 1] == UNKNOWN
    both = benchmark_labels(solids, GRID, LEVEL, [front, Panorama.of(solids, (7.0, 0, 0))])
    assert both[25, 20, 12] == 0
    assert both[30, 20, 1] == ROAD


@pytest.mark.parametrize("azimuth", [0.0, 2.0, -3.1])
def test_a_panorama_sees_up_to_the_surface_and_a_margin_behind(azimuth: float) -> None:
    center = np.array([5 * np.cos(azimuth), 5 * np.sin(azimuth), 0], np.float32)
    panorama = Panorama.of(
        [Solid(Cylinder(1.0, 4.0), REFERENCE, 1, position=center - np.array([0, 0, 2], np.float32))], (0, 0, 0)
    )
    along = np.array([3.9, 4.2, 4.6, 6.5], np.float32)[None] * center[:, None] / 5
    margin = np.full(4, 0.3, np.float32)
    np.testing.assert_array_equal(panorama.sees(along, margin), [True, True, False, False])
