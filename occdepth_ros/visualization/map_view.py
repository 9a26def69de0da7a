"""The fused map from above and along the drive, with the track of the vehicle."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization.canvas import PAGE, Color, ImageArray

UNKNOWN_GREY, FREE_GREY = 128, 245
MAX_SIDE = 1600
"""Longer side of the figures, pixels."""
TRACK_COLOR: Color = (220, 20, 60)
PATH_COLOR: Color = (0, 90, 255)
REACH_M = 8.0
"""Distance from the track up to which voxels are drawn along the drive, metres."""

Positions = Sequence[tuple[float, float, float]] | npt.NDArray[np.float64]


def draw_drive(snapshot: OccupancyPrediction, positions: Positions) -> ImageArray:
    """Draw a map from above, and below it the voxels next to the track over the distance driven.

    Args:
        snapshot: the map.
        positions: track of the vehicle in the map's frame, `[N, 3]` metres.

    Returns:
        `[H, W, 3]` RGB uint8.
    """
    return stacked([draw_map(snapshot, positions), draw_along(snapshot, positions)])


def draw_map(snapshot: OccupancyPrediction, positions: Positions) -> ImageArray:
    """Draw the highest occupied voxel of each column in its class colour, shaded by height.

    Completed voxels are drawn lighter than seen ones, free columns nearly white, unknown columns grey. North of the
    figure is x, west is y. Arguments and result are those of `draw_drive`.
    """
    labels, grid = snapshot.labels, snapshot.grid
    height = grid.size[2]
    occupied = snapshot.occupied
    top = height - 1 - np.argmax(occupied[:, :, ::-1], axis=2)
    filled = occupied.any(axis=2)
    columns = np.ix_(np.arange(grid.size[0]), np.arange(grid.size[1]))
    color = snapshot.classes.colors[labels[columns[0], columns[1], top]].astype(np.float32)
    color *= (0.55 + 0.45 * top / max(1, height - 1))[..., None]
    completed = snapshot.completed[columns[0], columns[1], top]
    color[completed] = 0.5 * color[completed] + 0.5 * 235
    observed = (labels != UNKNOWN).any(axis=2)
    color[~filled] = np.where(observed[~filled, None], FREE_GREY, UNKNOWN_GREY)
    plan = color.clip(0, 255).astype(np.uint8)
    return _finished(plan, (grid.origin[0], grid.origin[1]), grid.resolution, [(positions, TRACK_COLOR)])


def draw_along(snapshot: OccupancyPrediction, positions: Positions) -> ImageArray:
    """Draw the occupied voxels within `REACH_M` of the track over the distance driven: height is upwards.

    Of the voxels with the same distance and height, the one nearest to the track is drawn. Arguments and result are
    those of `draw_drive`.
    """
    grid, r = snapshot.grid, snapshot.grid.resolution
    track, driven = _dense(np.asarray(positions, np.float64).reshape(-1, 3), r)
    cells = np.floor((track[:, :2] - grid.origin[:2]) / r).astype(np.int64)
    inside = ((cells >= 0) & (cells < grid.size[:2])).all(axis=1)
    length = max(1, int(np.ceil(driven[-1] / r)) + 1) if len(driven) else 1
    figure = np.full((grid.size[2], length, 3), UNKNOWN_GREY, np.uint8)
    if inside.any():
        x, y = cells[inside].T
        away = np.ones(grid.size[:2], np.uint8)
        away[x, y] = 0
        distance, nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        at = np.zeros(int(nearest.max()) + 1)
        at[nearest[x, y]] = driven[inside]
        near = np.asarray(distance) * r <= REACH_M
        for voxels, colors in (
            (snapshot.free & near[..., None], None),
            (snapshot.occupied & near[..., None], snapshot.classes.colors),
        ):
            vx, vy, vz = np.nonzero(voxels)
            order = np.argsort(-np.asarray(distance)[vx, vy], kind="stable")
            vx, vy, vz = vx[order], vy[order], vz[order]
            column = np.minimum((at[nearest[vx, vy]] / r).astype(np.int64), length - 1)
            figure[vz, column] = FREE_GREY if colors is None else colors[snapshot.labels[vx, vy, vz]]
        row = ((track[inside, 2] - grid.origin[2]) / r).astype(np.int64).clip(0, grid.size[2] - 1)
        figure[row, np.minimum((driven[inside] / r).astype(np.int64), length - 1)] = TRACK_COLOR
    scale = min(MAX_SIDE / length, 4.0)
    return _scaled(figure[::-1], scale)


def draw_cloud(
    points: npt.NDArray[np.float32],
    colors: npt.NDArray[np.uint8],
    resolution: float,
    positions: Positions,
    path: Positions,
) -> ImageArray:
    """Draw the points of a map from above, shaded by height, with the track of the vehicle and a planned path.

    Args:
        points: centres of the occupied voxels in the map's frame, `[N, 3]` metres; at least one.
        colors: their colours, `[N, 3]`.
        resolution: edge of a voxel, metres.
        positions: track of the vehicle in the map's frame, `[M, 3]` metres.
        path: planned path, `[P, 3]` metres.

    Returns:
        `[H, W, 3]` RGB uint8.
    """
    cells = np.floor(points[:, :2] / resolution).astype(np.int64)
    low = cells.min(axis=0)
    cells -= low
    order = np.argsort(points[:, 2], kind="stable")
    plan = np.full((*(cells.max(axis=0) + 1), 3), UNKNOWN_GREY, np.uint8)
    height = points[order, 2]
    shade = 0.55 + 0.45 * (height - height[0]) / max(resolution, float(height[-1] - height[0]))
    plan[cells[order, 0], cells[order, 1]] = (colors[order] * shade[:, None]).astype(np.uint8)
    origin = (float(low[0] * resolution), float(low[1] * resolution))
    return _finished(plan, origin, resolution, [(positions, TRACK_COLOR), (path, PATH_COLOR)])


def stacked(figures: Sequence[ImageArray]) -> ImageArray:
    """Return figures below each other, on the colour of the page."""
    width = max(figure.shape[1] for figure in figures)
    rows = []
    for figure in figures:
        row = np.empty((figure.shape[0] + 8, width, 3), np.uint8)
        row[:] = PAGE
        row[: figure.shape[0], : figure.shape[1]] = figure
        rows.append(row)
    return np.concatenate(rows)


def _dense(track: npt.NDArray[np.float64], step: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a track with at most half a step between points, `[M, 3]`, and the distance driven to each, `[M]`."""
    if len(track) < 2:
        return track, np.zeros(len(track))
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(track[:, :2], axis=0), axis=1))])
    driven = np.linspace(0, lengths[-1], max(2, int(np.ceil(lengths[-1] / (step / 2)))))
    # a stationary vehicle repeats a distance, which interpolation does not allow
    moved = np.concatenate([[True], np.diff(lengths) > 0])
    return np.stack([np.interp(driven, lengths[moved], track[moved, axis]) for axis in range(3)], axis=1), driven


def _finished(
    plan: npt.NDArray[np.uint8],
    origin: tuple[float, float],
    resolution: float,
    lines: Sequence[tuple[Positions, Color]],
) -> ImageArray:
    """Turn a plan `[X, Y, 3]` into a figure with x upwards and y to the left, and draw lines in metres."""
    scale = min(MAX_SIDE / max(plan.shape[:2]), 4.0)
    figure = _scaled(plan[::-1, ::-1], scale)
    for positions, color in lines:
        xy = np.asarray(positions, np.float64).reshape(-1, 3)[:, :2]
        cells = (xy - origin) / resolution
        pixels = np.stack([plan.shape[1] - cells[:, 1], plan.shape[0] - cells[:, 0]], axis=1) * scale
        points = np.rint(pixels).astype(np.int32)
        # a white border keeps the lines apart from every class colour; a dot marks the vehicle and the goal
        for edge, edge_color in ((2, PAGE), (0, color)):
            cv2.polylines(figure, [points], False, edge_color, 3 + edge, cv2.LINE_AA)
            for point in points[-1:]:
                cv2.circle(figure, point.tolist(), 6 + edge, edge_color, cv2.FILLED, cv2.LINE_AA)
    return figure


def _scaled(figure: npt.NDArray[np.uint8], scale: float) -> ImageArray:
    size = [max(1, round(n * scale)) for n in figure.shape[1::-1]]
    return np.asarray(cv2.resize(np.ascontiguousarray(figure), size, interpolation=cv2.INTER_NEAREST), np.uint8).copy()
