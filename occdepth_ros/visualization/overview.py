"""All images of one frame: the panels, and a figure that combines them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.registry import MODELS
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.visualization.canvas import INK, LINE, MUTED, ImageArray, blank, text, to_array
from occdepth_ros.visualization.panels import Window, draw_depth, draw_from_above, draw_legend
from occdepth_ros.visualization.voxels import Viewpoint, render_voxels

WIDTH, MARGIN, GAP, CAPTION = 1920, 32, 20, 30
PLAN = 560
"""Side of the square panel from above, pixels; the panel from the camera's view takes the remaining width."""
VIEW = WIDTH - 2 * MARGIN - GAP - PLAN
HALF = (WIDTH - 2 * MARGIN - GAP) // 2


@dataclass(frozen=True)
class FrameImages:
    """The images of one frame, RGB `[H, W, 3]` each.

    Args:
        overview: all panels in one figure.
        panels: the panels by name: `input`, `depth`, `view`, `above`, `legend`, and with ground truth
            `ground_truth_view`, `ground_truth_above`.
    """

    overview: ImageArray
    panels: Mapping[str, ImageArray]


def frame_title(source: str, frame: str) -> str:
    """Return a title from the name of a source (the last two parts of a path) and of a frame."""
    return f"{'/'.join(Path(source).parts[-2:])}  ·  frame {frame}"


def draw_frame(
    prediction: OccupancyPrediction,
    left: ImageArray,
    rig: StereoRig,
    *,
    title: str,
    ground_truth: SceneGroundTruth | None = None,
    scores: Mapping[str, float] | None = None,
) -> FrameImages:
    """Draw the result of one stereo pair.

    Args:
        prediction: the prediction.
        left: the left image, `[H, W, 3]` RGB.
        rig: the cameras with their pose in the grid's frame.
        title: title of the frame, see `frame_title`.
        ground_truth: ground truth; drawn in the same views next to the prediction.
        scores: name to value in 0..1, written into the title.
    """
    classes, grid = prediction.classes, prediction.grid
    view = Viewpoint.behind(rig, grid, VIEW, PLAN)
    marked = [(prediction.labels != UNKNOWN).any(axis=2), prediction.occupied.any(axis=2)]
    windows = [Window.around(grid, marked[1])]
    present = [np.unique(prediction.labels)]
    if ground_truth is not None:
        filled = (ground_truth.labels != UNKNOWN) & (ground_truth.labels != EMPTY)
        windows.append(Window.around(ground_truth.grid, filled.any(axis=2)))
        present.append(np.unique(ground_truth.labels))
    same_plan = ground_truth is None or _plan_of(ground_truth.grid) == _plan_of(grid)
    window = _union(windows, grid) if same_plan else None
    completed = prediction.completed
    panels: dict[str, ImageArray] = {
        "input": _fit(left, HALF),
        "depth": draw_depth(prediction.depth, HALF),
        "view": render_voxels(prediction.labels, grid, view, classes, completed=completed, rig=rig),
        "above": draw_from_above(
            prediction.labels, grid, rig, classes, PLAN, window=window or windows[0], completed=completed
        ),
    }
    if ground_truth is not None:
        panels["ground_truth_view"] = render_voxels(ground_truth.labels, ground_truth.grid, view, classes, rig=rig)
        panels["ground_truth_above"] = draw_from_above(
            ground_truth.labels, ground_truth.grid, rig, classes, PLAN, window=window or windows[-1]
        )
    panels["legend"] = draw_legend(classes, np.concatenate(present), WIDTH - 2 * MARGIN)
    summary = f": {MODELS[prediction.model].summary}" if prediction.model in MODELS else ""
    subtitle = (
        f"{prediction.model}{summary}  ·  {grid.size[0]}x{grid.size[1]}x{grid.size[2]} voxels of {grid.resolution:g} m"
    )
    return FrameImages(_compose(panels, title, subtitle, ground_truth, scores or {}), panels)


def _plan_of(grid: VoxelGrid) -> tuple[float | int, ...]:
    return (*grid.origin[:2], *grid.size[:2], grid.resolution)


def _union(windows: list[Window], grid: VoxelGrid) -> Window:
    """Return the smallest square within the grid that contains all windows."""
    mask = np.zeros(grid.size[:2], bool)
    for w in windows:
        mask[w.x[0] : w.x[1], w.y[0] : w.y[1]] = True
    return Window.around(grid, mask)


def _fit(image: npt.NDArray[np.uint8], width: int) -> ImageArray:
    height = round(width * image.shape[0] / image.shape[1])
    shrink = image.shape[1] > width
    method = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=method)  # type: ignore[return-value]


def _compose(
    panels: Mapping[str, ImageArray],
    title: str,
    subtitle: str,
    ground_truth: SceneGroundTruth | None,
    scores: Mapping[str, float],
) -> ImageArray:
    rows: list[list[tuple[str, str]]] = [
        [("input", "Left image of the stereo pair"), ("depth", "Depth")],
        [("view", "Semantic occupancy, behind the camera"), ("above", "From above")],
    ]
    if ground_truth is not None:
        rows.append(
            [
                ("ground_truth_view", f"Ground truth ({ground_truth.name})"),
                ("ground_truth_above", "Ground truth from above"),
            ]
        )
    header = 96
    heights = [max(panels[name].shape[0] for name, _ in row) for row in rows]
    total = header + sum(h + CAPTION + GAP for h in heights) + panels["legend"].shape[0] + MARGIN
    figure = blank(WIDTH, total)
    draw = ImageDraw.Draw(figure)
    text(draw, (MARGIN, 22), title, 30, bold=True)
    text(draw, (MARGIN, 62), subtitle, 17, color=MUTED)
    line = "    ".join(f"{name} {100 * value:.1f} %" for name, value in scores.items())
    text(draw, (WIDTH - MARGIN, 24), line, 26, anchor="ra", color=INK)
    y = header
    for row, height in zip(rows, heights, strict=True):
        x = MARGIN
        for name, caption in row:
            panel = panels[name]
            text(draw, (x, y + CAPTION - 8), caption, 18, anchor="ls", color=INK)
            figure.paste(Image.fromarray(panel), (x, y + CAPTION))
            if name not in ("input", "depth"):
                draw.rectangle([x, y + CAPTION, x + panel.shape[1] - 1, y + CAPTION + panel.shape[0] - 1], outline=LINE)
            x += panel.shape[1] + GAP
        y += CAPTION + height + GAP
    figure.paste(Image.fromarray(panels["legend"]), (MARGIN, y))
    return to_array(figure)
