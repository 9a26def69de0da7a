"""Surface boxes and rectangles: every voxel and exposed face is covered once, equal ones are merged, and the maximum
number holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from helpers.predictions import predict, predictions, surface_of
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import OccDepthError
from occdepth_ros.outputs.boxes import Boxes, surface_boxes
from occdepth_ros.outputs.faces import Rectangles, exposed_rectangles
from occdepth_ros.outputs.markers import SHADES, class_colors, frustum_lines
from occdepth_ros.outputs.selection import ALL, Selection
from occdepth_ros.prediction import OccupancyPrediction, Visibility

PLENTY = 1_000_000


def exposed(occupied: npt.NDArray[np.bool_], axis: int, is_upper: bool) -> npt.NDArray[np.bool_]:
    """Return the voxels with an exposed face in this direction, computed voxel by voxel from the definition."""
    padded = np.pad(occupied, 1)
    return occupied & ~np.roll(padded, -1 if is_upper else 1, axis)[1:-1, 1:-1, 1:-1]


def voxels_of(found: Rectangles, index: int) -> tuple[slice, ...]:
    lower, size = found.lower[index].copy(), found.size[index].copy()
    lower[found.axis] -= found.is_upper
    size[found.axis] = 1
    return tuple(slice(int(a), int(a + n)) for a, n in zip(lower, size, strict=True))


@given(predictions())
def test_each_exposed_face_is_in_one_rectangle_of_its_class(prediction: OccupancyPrediction) -> None:
    directions, dropped = exposed_rectangles(prediction, ALL, PLENTY)
    assert dropped == 0 and len(directions) == 6
    for found in directions:
        drawn = np.zeros(prediction.grid.size, int)
        for index, key in enumerate(found.keys):
            box = voxels_of(found, index)
            drawn[box] += 1
            assert (prediction.labels[box] == (key & 255)).all()
            assert ((prediction.visibility[box] != Visibility.SEEN) == (key > 255)).all()
        np.testing.assert_array_equal(drawn, exposed(prediction.occupied, found.axis, found.is_upper))


def box_of(found: Boxes, index: int) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(a + n)) for a, n in zip(found.lower[index], found.size[index], strict=True))


@given(predictions())
def test_each_surface_voxel_is_in_one_box_of_its_class(prediction: OccupancyPrediction) -> None:
    found, dropped = surface_boxes(prediction, ALL, PLENTY)
    assert dropped == 0
    drawn = np.zeros(prediction.grid.size, int)
    for index, key in enumerate(found.keys):
        box = box_of(found, index)
        drawn[box] += 1
        assert (prediction.labels[box] == (key & 255)).all()
        assert ((prediction.visibility[box] != Visibility.SEEN) == (key > 255)).all()
    np.testing.assert_array_equal(drawn, surface_of(prediction.occupied))


@pytest.mark.parametrize(("length", "boxes"), [(1, 1), (7, 3), (8, 1), (9, 2), (24, 3), (255, 34), (256, 32)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_row_of_voxels_is_cut_into_boxes_of_eight_four_two_and_one(axis: int, length: int, boxes: int) -> None:
    shape = [3, 3, 3]
    shape[axis] = length
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(None) if other == axis else 1 for other in range(3))] = 9
    found, _ = surface_boxes(predict(labels), ALL, PLENTY)
    assert len(found.keys) == boxes and found.size[:, axis].sum() == length
    assert (np.delete(found.size, axis, axis=1) == 1).all()


def test_the_codes_of_large_grids_do_not_overflow() -> None:
    labels = np.zeros((1100, 70, 66), np.uint8)
    labels[[0, 1099], [69, 0], [65, 0]] = [9, 11]
    labels[1099, 1] = 9
    found, _ = surface_boxes(predict(labels), ALL, PLENTY)
    corners = {tuple(map(int, row)) for row in found.lower[found.size.prod(axis=1) == 1]}
    assert corners == {(0, 69, 65), (1099, 0, 0)}
    assert found.size.prod(axis=1).sum() == 68


@given(predictions(), st.integers(0, 60))
def test_the_number_of_boxes_is_the_maximum_or_all(prediction: OccupancyPrediction, most: int) -> None:
    every, _ = surface_boxes(prediction, ALL, PLENTY)
    found, dropped = surface_boxes(prediction, ALL, most)
    assert len(found.keys) == min(most, len(every.keys))
    assert dropped == max(0, len(every.keys) - most)
    distances = np.hypot(*every.centers(prediction.grid)[:, :2].T)
    kept = np.hypot(*found.centers(prediction.grid)[:, :2].T)
    np.testing.assert_allclose(np.sort(kept), np.sort(distances)[:most], err_msg="the farthest are dropped")


def test_a_block_of_one_class_has_six_rectangles() -> None:
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[8:17, 3:16, 9:12] = 9
    directions, _ = exposed_rectangles(predict(labels), ALL, PLENTY)
    assert [len(found.keys) for found in directions] == [1] * 6
    full, _ = exposed_rectangles(predict(np.full((5, 6, 7), 9, np.uint8)), ALL, PLENTY)
    assert [len(found.keys) for found in full] == [1] * 6, "the faces of the grid are exposed"


def test_triangles_cover_the_rectangle_and_have_outward_normals() -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:5, 3:7, 1:3] = 11
    prediction = predict(labels)
    low = np.asarray(prediction.grid.origin) + prediction.grid.resolution * np.array([2, 3, 1])
    high = np.asarray(prediction.grid.origin) + prediction.grid.resolution * np.array([5, 7, 3])
    for found in exposed_rectangles(prediction, ALL, PLENTY)[0]:
        (points,) = found.triangles(prediction.grid)
        expected_low, expected_high = low.copy(), high.copy()
        plane = high if found.is_upper else low
        expected_low[found.axis] = expected_high[found.axis] = plane[found.axis]
        np.testing.assert_allclose(points.min(axis=0), expected_low)
        np.testing.assert_allclose(points.max(axis=0), expected_high)
        area = 0.0
        for a, b, c in points.reshape(2, 3, 3):
            normal = np.cross(b - a, c - a) / 2
            area += float(np.linalg.norm(normal))
            assert np.sign(normal[found.axis]) == (1 if found.is_upper else -1)
        assert area == pytest.approx(np.prod((expected_high - expected_low)[np.arange(3) != found.axis]))


def test_the_farthest_rectangles_are_dropped() -> None:
    labels = np.zeros((30, 20, 10), np.uint8)
    labels[3, 10, 4] = labels[28, 10, 4] = 15
    prediction = predict(labels)
    origin = np.array(prediction.grid.origin[:2])
    near = np.hypot(*(origin + 0.2 * np.array([3.5, 10.5]))) < np.hypot(*(origin + 0.2 * np.array([28.5, 10.5])))
    directions, dropped = exposed_rectangles(prediction, ALL, 6)
    assert dropped == 6
    expected = 3 if near else 28
    for found in directions:
        assert len(found.keys) == 1 and voxels_of(found, 0)[0].start == expected


@given(predictions(), st.integers(0, 60))
def test_the_number_of_rectangles_is_the_maximum_or_all(prediction: OccupancyPrediction, most: int) -> None:
    total = sum(len(found.keys) for found in exposed_rectangles(prediction, ALL, PLENTY)[0])
    directions, dropped = exposed_rectangles(prediction, ALL, most)
    assert sum(len(found.keys) for found in directions) == min(most, total)
    assert dropped == max(0, total - most)


def test_a_negative_number_is_refused() -> None:
    empty = predict(np.zeros((2, 2, 2), np.uint8))
    for merge in (exposed_rectangles, surface_boxes):
        with pytest.raises(OccDepthError, match="max_markers"):
            merge(empty, ALL, -1)


def test_the_border_excludes_completed_voxels_but_not_seen_ones() -> None:
    labels = np.zeros((12, 12, 6), np.uint8)
    labels[1, 6, 2] = labels[6, 10, 2] = labels[6, 6, 2] = labels[11, 3, 2] = 9
    prediction = predict(labels)
    visibility = np.full(labels.shape, Visibility.HIDDEN, np.uint8)
    visibility[11, 3, 2] = Visibility.SEEN
    prediction = OccupancyPrediction(
        prediction.grid, labels, prediction.confidence, visibility, prediction.depth, classes=prediction.classes
    )

    def shown(border: int) -> set[tuple[int, ...]]:
        top = exposed_rectangles(prediction, Selection("all", border=border), PLENTY)[0][4]
        return {tuple(int(n) for n in lower) for lower in top.lower[:, :2]}

    assert shown(0) == {(1, 6), (6, 10), (6, 6), (11, 3)}
    assert shown(2) == {(6, 6), (11, 3)}
    assert shown(1) == {(1, 6), (6, 10), (6, 6), (11, 3)}, "the column at index 1 is inside a border of one voxel"


def test_top_faces_have_the_class_colour_and_completed_voxels_are_lighter() -> None:
    prediction = predict(np.zeros((2, 2, 2), np.uint8))
    seen, completed = class_colors(prediction.classes)
    assert SHADES[2, True] == 1.0 == max(SHADES.values())
    np.testing.assert_allclose(seen * 255, prediction.classes.colors, atol=1e-4)
    dark = seen.mean(axis=1) < 0.7
    assert dark.any() and (completed.mean(axis=1) > seen.mean(axis=1))[dark].all()


def test_the_frusta_start_at_the_cameras_and_end_at_the_image_corners() -> None:
    left = np.array([[100.0, 0, 80, 0], [0, 100, 48, 0], [0, 0, 1, 0]])
    right = left.copy()
    right[0, 3] = -50.0
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    pose[:3, 3] = [0.0, -0.1, -0.3]
    rig = StereoRig(PinholeCamera(left, 160, 96), PinholeCamera(right, 160, 96), pose)
    lines = frustum_lines(rig, 2.0).reshape(2, 8, 2, 3)
    for side, pose_of_side in enumerate((rig.left_from_grid, rig.right_from_grid)):
        in_camera = lines[side] @ pose_of_side[:3, :3].T + pose_of_side[:3, 3]
        np.testing.assert_allclose(in_camera[:4, 0], 0, atol=1e-12)
        corners = in_camera[:4, 1]
        np.testing.assert_allclose(corners[:, 2], 2.0)
        pixels = corners[:, :2] / corners[:, 2:] * 100 + (80, 48)
        np.testing.assert_allclose(pixels, [(0, 0), (160, 0), (160, 96), (0, 96)], atol=1e-9)
