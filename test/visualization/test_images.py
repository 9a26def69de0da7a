"""Figures: position and colour of voxels; free and unknown voxels are not drawn."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from helpers.drawing import SMALL, make_prediction, make_rig
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.classes import SEMANTIC_KITTI, ClassTable
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.visualization import draw_frame
from occdepth_ros.visualization.canvas import NO_DATA
from occdepth_ros.visualization.panels import FREE_SPACE, Window, draw_depth, draw_from_above, draw_legend
from occdepth_ros.visualization.voxels import Viewpoint, render_voxels

RED_BLUE = ClassTable(
    names=("empty", "red", "blue"),
    rgb=((0, 0, 0), (230, 0, 0), (0, 0, 230)),
    raw_to_class={},
    class_to_raw={},
    ground=frozenset(),
)


def view(width: int = 160, height: int = 120) -> Viewpoint:
    return Viewpoint((-3.0, 0.4, 2.5), (3.0, 0.0, 0.0), 60.0, width, height)


def test_free_and_unknown_space_is_not_drawn() -> None:
    empty = render_voxels(np.zeros(SMALL.size, np.uint8), SMALL, view(), SEMANTIC_KITTI)
    unknown = render_voxels(np.full(SMALL.size, 255, np.uint8), SMALL, view(), SEMANTIC_KITTI)
    assert np.array_equal(empty, unknown)
    one = np.zeros(SMALL.size, np.uint8)
    one[10, 10, 3] = 1
    assert not np.array_equal(render_voxels(one, SMALL, view(), SEMANTIC_KITTI), empty)


def test_equal_inputs_give_equal_pixels() -> None:
    prediction = make_prediction()
    first, second = (render_voxels(prediction.labels, SMALL, view(), SEMANTIC_KITTI, rig=make_rig()) for _ in range(2))
    assert (first == second).mean() > 0.999


def test_a_voxel_appears_where_it_projects_to_in_its_colour() -> None:
    labels = np.zeros(SMALL.size, np.uint8)
    labels[12, 8, 4] = 1
    point = SMALL.centers_of(np.array([[12, 8, 4]]))
    pixel, depth = view().project(point)
    assert depth[0] > 0
    column, row = np.rint(pixel[0]).astype(int)
    red, green, blue = render_voxels(labels, SMALL, view(), RED_BLUE)[row, column].astype(int)
    assert red > 100 and red > 3 * green and red > 3 * blue


def test_completed_voxels_have_greyer_colours() -> None:
    labels = np.zeros(SMALL.size, np.uint8)
    labels[10:14, 10:14, 3] = 1
    pixel, _ = view().project(SMALL.centers_of(np.array([[12, 12, 3]])))
    column, row = np.rint(pixel[0]).astype(int)
    seen = render_voxels(labels, SMALL, view(), RED_BLUE)[row, column]
    guessed = render_voxels(labels, SMALL, view(), RED_BLUE, completed=labels > 0)[row, column]
    assert guessed[1] > seen[1] + 60 and guessed[0] > guessed[1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), position=st.tuples(st.floats(-4, -1), st.floats(-4, 4), st.floats(-2, 4)))
def test_near_voxels_hide_far_ones(seed: int, position: tuple[float, float, float]) -> None:
    """Comparison with ray marching: the painter's algorithm shows the first voxel on every ray."""
    rng = np.random.default_rng(seed)
    grid = VoxelGrid((0.0, -1.5, -0.5), (12, 12, 6), 0.25)
    labels = np.where(rng.random(grid.size) < 0.15, rng.integers(1, 3, grid.size), 0).astype(np.uint8)
    viewpoint = Viewpoint(position, (1.5, 0.0, 0.25), 60.0, 384, 288)
    image = render_voxels(labels, grid, viewpoint, RED_BLUE).astype(int)
    forward = np.subtract(viewpoint.target, position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rows, columns = np.mgrid[16:288:24, 16:384:24].reshape(2, -1)
    focal = 192 / np.tan(np.radians(30))
    distance = np.arange(0.3, 9, 0.02)
    answers = []
    for dx, dy in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)):
        across, up = (columns + dx + 0.5 - 192) / focal, (rows + dy + 0.5 - 144) / focal
        rays = forward + across[:, None] * right + up[:, None] * down
        path = np.asarray(position) + rays[:, None, :] * distance[None, :, None]
        cells, inside = grid.index_of(path.reshape(-1, 3))
        met = np.where(inside, labels[tuple(cells.T)], 0).reshape(len(rays), -1)
        answers.append(met[np.arange(len(rays)), (met > 0).argmax(axis=1)])
    # pixels on an outline mix two colours: compare only pixels whose neighbours show the same voxel
    clear = np.all(np.equal(answers, answers[0]), axis=0)
    red, blue = image[rows, columns, 0], image[rows, columns, 2]
    shown = np.where(red > 2 * blue, 1, np.where(blue > 2 * red, 2, 0))
    assert clear.sum() > 50
    assert (shown == answers[0])[clear].mean() > 0.98


def test_pixels_without_depth_are_marked() -> None:
    depth = np.full((40, 100), 5.0, np.float32)
    depth[:, :50] = np.nan
    panel = draw_depth(depth, 200)
    assert tuple(panel[20, 20]) == NO_DATA
    assert tuple(panel[20, 150]) != NO_DATA
    near = draw_depth(np.full((40, 100), 3.0, np.float32), 200)[20, 100].astype(int).sum()
    far = draw_depth(np.full((40, 100), 60.0, np.float32), 200)[20, 100].astype(int).sum()
    assert near > far + 100


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0, 1e30])
def test_depth_accepts_any_number(value: float) -> None:
    assert draw_depth(np.full((10, 20), value, np.float32), 80).shape[1:] == (80, 3)


def test_the_view_from_above_has_forward_up_and_left_at_the_left() -> None:
    labels = np.zeros(SMALL.size, np.uint8)
    labels[20, 20, 1] = 1
    panel = draw_from_above(labels, SMALL, make_rig(), RED_BLUE, 240).astype(int)
    rows, columns = np.nonzero((panel[..., 0] > 100) & (panel[..., 2] < 60))
    assert len(rows) > 20
    assert rows.mean() == pytest.approx(240 - 20.5 * 10, abs=6)
    assert columns.mean() == pytest.approx(240 - 20.5 * 10, abs=6)


def test_the_view_from_above_distinguishes_free_and_unknown() -> None:
    labels = np.full(SMALL.size, 255, np.uint8)
    labels[:, :12] = 0
    panel = draw_from_above(labels, SMALL, make_rig(), RED_BLUE, 240)
    assert tuple(panel[200, 228]) == FREE_SPACE
    assert tuple(panel[200, 12]) == NO_DATA


def test_the_window_excludes_empty_columns() -> None:
    known = np.zeros((256, 256), bool)
    known[10:100, 120:150] = True
    window = Window.around(VoxelGrid.semantic_kitti(), known)
    assert window.x == (0, 105)
    assert window.y[0] <= 115 and window.y[1] >= 155 and window.y[1] - window.y[0] == 105
    assert Window.around(VoxelGrid.semantic_kitti(), np.zeros((256, 256), bool)) == Window((0, 256), (0, 256))


def test_the_legend_names_the_present_classes_only() -> None:
    few = draw_legend(SEMANTIC_KITTI, np.array([0, 9, 255]), 900)
    many = draw_legend(SEMANTIC_KITTI, np.arange(20), 900)
    assert many.shape[0] > few.shape[0]
    assert (few == np.array(SEMANTIC_KITTI.rgb[9])).all(axis=2).sum() > 100
    assert not (few == np.array(SEMANTIC_KITTI.rgb[13])).all(axis=2).any()


def test_a_frame_has_every_panel() -> None:
    prediction = make_prediction()
    left = np.full((96, 320, 3), 90, np.uint8)
    ground_truth = SceneGroundTruth(prediction.labels, SMALL, "synthetic")
    start = time.perf_counter()
    images = draw_frame(
        prediction, left, make_rig(), title="frame 000000", ground_truth=ground_truth, scores={"SC IoU": 0.5}
    )
    assert time.perf_counter() - start < 5
    assert set(images.panels) == {
        "input",
        "depth",
        "view",
        "above",
        "ground_truth_view",
        "ground_truth_above",
        "legend",
    }
    assert images.overview.shape[1] == 1920 and images.overview.dtype == np.uint8
    without = draw_frame(prediction, left, make_rig(), title="frame 000000")
    assert set(without.panels) == {"input", "depth", "view", "above", "legend"}
    assert without.overview.shape[0] < images.overview.shape[0]


def test_a_shifted_ground_truth_and_an_empty_prediction_are_drawn() -> None:
    prediction = make_prediction()
    nothing = replace(prediction, labels=np.full(SMALL.size, 255, np.uint8))
    shifted = replace(SMALL, origin=(0.5, -3.0, -1.25))
    ground_truth = SceneGroundTruth(prediction.labels, shifted, "synthetic")
    images = draw_frame(nothing, np.zeros((96, 320, 3), np.uint8), make_rig(), title="frame", ground_truth=ground_truth)
    assert "ground_truth_view" in images.panels
