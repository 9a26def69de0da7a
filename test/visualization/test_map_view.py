"""Figures of the map: the track, class colours, and the distance driven."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from helpers.maps import BUILDING, GRID, ROAD, predict

from occdepth_ros.classes import SEMANTIC_KITTI
from occdepth_ros.visualization.map_view import PATH_COLOR, TRACK_COLOR, draw_along, draw_cloud, draw_drive

STRAIGHT = np.array([[0.1, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.1, 0.0, 0.0]])


def count(figure: np.ndarray, color: object) -> int:
    return int((figure == np.array(color, np.uint8)).all(axis=2).sum())


def test_the_figure_along_the_drive_shows_height_over_distance() -> None:
    labels = np.zeros(GRID.size, np.uint8)
    labels[:, :, 0] = ROAD
    labels[8:10, 9, 1:6] = BUILDING  # 1.6 to 2.0 m along the track, beside it
    figure = draw_along(predict(labels), STRAIGHT)
    scale = figure.shape[1] / 16
    assert figure.shape[0] == round(8 * scale)
    road, building = SEMANTIC_KITTI.colors[ROAD], SEMANTIC_KITTI.colors[BUILDING]
    assert (figure[-1, 2] == road).all()
    wall = np.flatnonzero((figure[round(5.5 * scale)] == building).all(axis=1)) / scale * GRID.resolution
    assert 1.3 < wall.min() < wall.max() < 2.2
    assert count(figure, TRACK_COLOR) > 10


def test_a_track_outside_the_map_is_no_error() -> None:
    far = replace(GRID, origin=(500.0, 0.0, 0.0))
    assert draw_drive(predict(ROAD, grid=far), STRAIGHT).ndim == 3
    assert draw_along(predict(ROAD), STRAIGHT[:1]).shape[2] == 3


def test_clouds_are_drawn_with_track_and_path() -> None:
    points = np.array([[0.1, 0.1, 0.0], [0.1, 0.1, 1.0], [5.1, 3.1, 0.0]], np.float32)
    colors = np.array([[255, 0, 255], [0, 200, 0], [9, 9, 9]], np.uint8)
    path = np.array([[1.0, 1.0, 0.0], [4.0, 2.0, 0.0]])
    figure = draw_cloud(points, colors, 0.2, STRAIGHT + np.array([0.5, 1.0, 0.0]), path)
    # x is up and y to the left, so that the first point is at the lower right; the higher of two is drawn,
    # and what is lower is darker
    assert (figure[-1, -1] == (0, 200, 0)).all() and (figure[0, 0] == 4).all()
    assert count(figure, PATH_COLOR) > 10 and count(figure, TRACK_COLOR) > 5
